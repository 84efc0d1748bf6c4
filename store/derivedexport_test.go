package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestExportOfDerivedTokens(t *testing.T) {
	t.Parallel()
	const shops = 25
	r := newMigration(t, legacyFleet(shops)...)
	left := store.DerivedLeft{Underived: shops}
	derivedTokens := func() map[string]string {
		t.Helper()
		got := map[string]string{}
		n, err := r.ExportDerived(t.Context(), r.app.ID, func(row shopfile.Row) error {
			got[row.Domain] = row.AccessToken.Reveal()
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		if n != left {
			t.Errorf("left out: %+v, want %+v", n, left)
		}
		return got
	}
	if got := derivedTokens(); len(got) > 0 {
		t.Errorf("before anything is derived: %v", got)
	}
	r.deriveAll(t)
	left.Underived = 0
	want := map[string]string{}
	for _, row := range legacyFleet(shops) {
		want[row.Domain] = "planted-derived-of-" + row.LegacyToken.Reveal()
	}
	if diff := cmp.Diff(want, derivedTokens()); diff != "" {
		t.Errorf("derived tokens (-want +got):\n%s", diff)
	}
	// Another shop's token is nobody's.
	exec(t, r.DB, "update rotator.items set state = 'parked', class = 'wrong_shop', detail = 'x' where position = 1")
	delete(want, "legacy-0.myharavan.com")
	left.Refused = 1
	if diff := cmp.Diff(want, derivedTokens()); diff != "" {
		t.Errorf("derived tokens (-want +got):\n%s", diff)
	}
	// A shop whose legacy token is another by now is derived again, one that came to
	// an OAuth token keeps that, and a late one is still to come.
	r.importLegacy(t, shopfile.Row{Domain: "legacy-1.myharavan.com", LegacyToken: secret.New("planted-other")},
		shopfile.Row{Domain: "legacy-2.myharavan.com", AccessToken: secret.New("planted-installed")},
		shopfile.Row{Domain: "late.myharavan.com", LegacyToken: secret.New("planted-late")})
	delete(want, "legacy-1.myharavan.com")
	delete(want, "legacy-2.myharavan.com")
	left.Underived = 2
	if diff := cmp.Diff(want, derivedTokens()); diff != "" {
		t.Errorf("after an import (-want +got):\n%s", diff)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.reread(t)) })
	if _, err := r.ExportDerived(t.Context(), r.app.ID, nil); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("without an open token migration: %v", err)
	}
}
