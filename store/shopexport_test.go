package store_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/store"
)

// equalSecrets lets cmp compare what must not be printed.
var equalSecrets = cmp.Comparer(func(a, b secret.String) bool { return a.Equal(b) })

func TestExportGivesBackWhatWasImported(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	high := 12
	want := []shopfile.Row{
		{Domain: "full.myharavan.com", OrgID: 200000123456, AccessToken: secret.New("token-a"), LegacyToken: secret.New("legacy-a"), InstalledAt: time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC), Priority: &high},
		{Domain: "password.myharavan.com", LegacyPassword: secret.New("password-b")},
		{Domain: "excluded.myharavan.com", ExcludedReason: "asked us\nto wait"},
	}
	for n := range 4100 { // more than two pages
		want = append(want, shopfile.Row{Domain: fmt.Sprintf("s%d.myharavan.com", n), AccessToken: secret.New(fmt.Sprintf("t%d", n))})
	}
	rows := make([]shopfile.Row, len(want))
	for n, r := range want {
		rows[n] = r
		rows[n].Line = n + 2
	}
	i.load(t, store.ImportResult{Rows: len(want), Added: len(want)}, i.first, rows...)
	byDomain := map[string]shopfile.Row{}
	err := i.ExportShops(t.Context(), i.app.ID, func(r shopfile.Row) error {
		if _, twice := byDomain[r.Domain]; twice {
			t.Errorf("%s is exported twice", r.Domain)
		}
		byDomain[r.Domain] = r
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	wantBy := map[string]shopfile.Row{}
	for _, r := range want {
		if r.Priority == nil { // stored and written as 0
			r.Priority = new(int)
		}
		wantBy[r.Domain] = r
	}
	if diff := cmp.Diff(wantBy, byDomain, equalSecrets); diff != "" {
		t.Errorf("exported (-want +got):\n%s", diff)
	}
}

func TestExportEndsWithItsReader(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	i.load(t, store.ImportResult{Rows: 2, Added: 2}, i.first, row(2, "a.myharavan.com", "a"), row(3, "b.myharavan.com", "b"))
	errFull := errors.New("disk full")
	n := 0
	if err := i.ExportShops(t.Context(), i.app.ID, func(shopfile.Row) error { n++; return errFull }); !errors.Is(err, errFull) || n != 1 {
		t.Errorf("after %d rows: %v", n, err)
	}
}
