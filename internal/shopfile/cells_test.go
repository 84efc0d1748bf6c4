package shopfile_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/internal/shopfile"
)

func TestCellsAreCheckedLikeARow(t *testing.T) {
	t.Parallel()
	row, err := shopfile.Cells{Key: "17", Domain: "HTTPS://One.myharavan.com/", AccessToken: "token-1", LegacyToken: "legacy-1"}.Row()
	if err != nil || row.Key != "17" || row.Domain != "one.myharavan.com" || row.AccessToken.Reveal() != "token-1" || row.LegacyToken.Reveal() != "legacy-1" {
		t.Errorf("%+v, %v", row, err)
	}
}

func TestBadCellsAreNamedByTheirKey(t *testing.T) {
	t.Parallel()
	for what, tc := range map[string]struct {
		cells shopfile.Cells
		want  string
	}{
		"domain":      {shopfile.Cells{Key: "17", Domain: "evil.example.com", AccessToken: "planted-token"}, "row 17: domain: "},
		"no domain":   {shopfile.Cells{Key: "17", AccessToken: "planted-token"}, "row 17: domain: "},
		"white space": {shopfile.Cells{Key: "17", Domain: "one", AccessToken: "planted-token "}, "row 17: access_token: has white space"},
		"NUL":         {shopfile.Cells{Key: "17", Domain: "one", LegacyToken: "planted-token\x00"}, "row 17: legacy_token: has a control character"},
		"Unicode":     {shopfile.Cells{Key: "17", Domain: "one", AccessToken: "planted-token\u200b"}, "row 17: access_token: has a character outside ASCII"},
		"not UTF-8":   {shopfile.Cells{Key: "17", Domain: "one", AccessToken: "planted-token\xff"}, "row 17: access_token: is not UTF-8"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			_, err := tc.cells.Row()
			var bad *shopfile.BadRow
			if !errors.As(err, &bad) || len(bad.Problems) != 1 {
				t.Fatalf("error %v", err)
			}
			if got := bad.Problems[0].String(); !strings.HasPrefix(got, tc.want) || strings.Contains(got, "planted") {
				t.Errorf("problem %q", got)
			}
		})
	}
}
