package main

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestAReportTellsBrokenShopsFromOldTokens(t *testing.T) {
	t.Parallel()
	const link = "https://one.myharavan.com/admin/oauth/authorize"
	both := brokenKey{Domain: "both"}
	alive := make([]brokenKey, 12)
	for i := range alive {
		alive[i] = brokenKey{Domain: fmt.Sprintf("alive-%02d", i), NewAlive: true}
	}
	for name, tt := range map[string]struct {
		report runReport
		want   string
	}{
		"a link": {runReport{BrokenTotal: 1, Broken: []brokenKey{{Domain: "one", OldDead: true, InstallURL: link}}}, `
Broken after the revoke (1)
  one  no working token: ` + link + `
`},
		"no scopes": {runReport{App: "main", BrokenTotal: 3, Broken: []brokenKey{{Domain: "one", OldDead: true}, both}}, `
Broken after the revoke (3)
  one  no working token, and no re-install link while the app's scopes are not set
  both  its new token is dead, its old one still answers
  and 1 more: rotator rotation report --exceptions
  For re-install links set the app's scopes: rotator app set --name main --scope SCOPE
`},
		"said too early": {runReport{OldAliveTotal: 299, OldAlive: alive}, `
Old tokens that still answer (299): is the old secret revoked?
  alive-00
  alive-01
  alive-02
  alive-03
  alive-04
  alive-05
  alive-06
  alive-07
  alive-08
  alive-09
  and 289 more: rotator rotation report --exceptions
`},
		"nothing": {runReport{}, ""},
	} {
		var stdout, stderr bytes.Buffer
		c := newCLI(nil, nil, &stdout, &stderr)
		if err := c.printBroken(tt.report); err != nil {
			t.Fatal(err)
		}
		if err := c.printOldAlive(tt.report); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(tt.want, stdout.String()+stderr.String()); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
