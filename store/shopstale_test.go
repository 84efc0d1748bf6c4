package store_test

import (
	"fmt"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestAListOlderThanARotationBringsNoTokenBack(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	app := db.App(t, "shopbot", "old secret", "new secret")
	db.Import(t, app, storetest.Fleet(3))
	secrets, err := db.Secrets(t.Context(), app.ID)
	if err != nil {
		t.Fatal(err)
	}
	// What a swap leaves behind, without a run around it.
	replaced := db.Keys.Fingerprint(secret.New("token-1"))
	if _, err := db.Pool.Exec(t.Context(), `update rotator.shops set former_fingerprints = array[$1], access_token_fingerprint = 'new', rotated_at = now()
		where access_token_fingerprint = $1`, replaced); err != nil {
		t.Fatal(err)
	}
	list := func(yield func(shopfile.Row, error) bool) {
		for i := range 4 {
			row := shopfile.Row{Line: i + 2, Domain: fmt.Sprintf("shop-%d.myharavan.com", i), AccessToken: secret.New(fmt.Sprintf("token-%d", i))}
			if !yield(row, nil) {
				return
			}
		}
	}
	var told store.Findings
	got, err := db.ImportShops(t.Context(), storetest.Actor, app, secrets[0].ID, list, func(f store.Findings) error { told = f; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(store.ImportResult{Rows: 4, Added: 1, Unchanged: 2, Stale: 1}, got); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff([]store.Duplicate{{Domain: "shop-1.myharavan.com", Lines: []int{3}}}, told.Stale); diff != "" {
		t.Error(diff)
	}
}

// Only a token that a swap took the place of is stale; who imported the wrong
// list imports the right one over it.
func TestAnImportMayTakeAnImportBack(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	const domain = "a.myharavan.com"
	i.load(t, store.ImportResult{Rows: 1, Added: 1}, i.first, row(2, domain, "token-a"))
	i.load(t, store.ImportResult{Rows: 1, Updated: 1}, i.first, row(2, domain, "token-b"))
	i.load(t, store.ImportResult{Rows: 1, Updated: 1}, i.first, row(2, domain, "token-a"))
	if v, err := i.ShopToken(t.Context(), i.app.ID, domain); err != nil || v.Reveal() != "token-a" {
		t.Errorf("the first token did not come back (%v)", err)
	}
	former := ask[string](t, i.DB, "select unnest(former_fingerprints) from rotator.shops")
	want := []string{i.Keys.Fingerprint(secret.New("token-b")), i.Keys.Fingerprint(secret.New("token-a"))}
	if diff := cmp.Diff(want, former); diff != "" {
		t.Errorf("replaced tokens (-want +got):\n%s", diff)
	}
}

func TestATokenIsStaleAsLongAsTheSwappedOneIsCurrent(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 1)
	i := &importer{DB: r.DB, app: r.app, first: r.run.OldSecretID, next: r.run.NewSecretID}
	domain := claims[0].Domain
	// Replaced by an import before the swap: that is remembered too.
	i.load(t, store.ImportResult{Rows: 1, Updated: 1}, i.first, row(2, domain, "imported"))
	exec(t, r.DB, "update rotator.items set state = 'pending'")
	var again []store.Claim
	for _, c := range r.claimOpen(t) {
		r.prove(t, c)
		again = append(again, c)
	}
	if len(again) != 1 {
		t.Fatalf("%d claims", len(again))
	}
	for _, old := range []string{"token-0", "imported"} {
		i.load(t, store.ImportResult{Rows: 1, Stale: 1}, i.first, row(2, domain, old))
	}
	// A stale row is counted as that, also where the list names its shop again.
	current := fresh(again[0]).Reveal()
	i.load(t, store.ImportResult{Rows: 4, Stale: 2, Unchanged: 1, Duplicates: 1}, i.next,
		row(2, domain, "token-0"), row(3, domain, current), row(4, domain, "imported"), row(5, domain, current))
	if r.token(t, domain) != fresh(again[0]).Reveal() {
		t.Error("a stale list brought its token back")
	}
	i.load(t, store.ImportResult{Rows: 1, Unchanged: 1}, i.next, row(2, domain, fresh(again[0]).Reveal()))
	// An operator's own word is newer than the swap; after it nothing is stale.
	i.load(t, store.ImportResult{Rows: 1, Updated: 1}, i.next, row(2, domain, "installed"))
	i.load(t, store.ImportResult{Rows: 1, Updated: 1}, i.first, row(2, domain, "imported"))
}
