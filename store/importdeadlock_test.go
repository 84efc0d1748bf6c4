package store_test

import (
	"iter"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// locking is a transaction that holds the row of a shop, and does not find out
// itself that it is in a deadlock.
func locking(t *testing.T, db *storetest.DB, domain string) pgx.Tx {
	t.Helper()
	tx, err := db.Pool.Begin(t.Context())
	if err == nil {
		_, err = tx.Exec(t.Context(), "set local deadlock_timeout = '5min'")
	}
	if err == nil {
		_, err = tx.Exec(t.Context(), lockShop, domain)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tx.Rollback(t.Context()) })
	return tx
}

const lockShop = "select from rotator.shops where domain = $1 for update"

// sacrifice runs an import of three shops, of which another transaction locks the
// last before the first. It is the import that closes the circle, and finds out.
func sacrifice(t *testing.T, db *storetest.DB, domains [3]string, load func() error) error {
	t.Helper()
	second, third := locking(t, db, domains[1]), locking(t, db, domains[2])
	ended, locked := make(chan error, 1), make(chan error, 1)
	until := func(wait int) {
		for len(ended) == 0 && ask[int](t, db, waiting)[0] < wait {
		}
	}
	go func() { ended <- load() }()
	until(1)
	go func() {
		_, err := third.Exec(t.Context(), lockShop, domains[0])
		locked <- err
	}()
	until(2)
	if err := second.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-locked; err != nil {
		t.Fatal(err)
	}
	if err := third.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	return <-ended
}

// Not all that a run does goes by its order. The list comes from a pipe: it is
// read once.
func TestAnImportThatIsSacrificedIsMergedAgain(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	domains := [3]string{"a.myharavan.com", "b.myharavan.com", "c.myharavan.com"}
	i.load(t, store.ImportResult{Rows: 3, Added: 3}, i.first, row(2, domains[0], "token-a"), row(3, domains[1], "token-b"), row(4, domains[2], "token-c"))
	var result store.ImportResult
	err := sacrifice(t, i.DB, domains, func() (err error) {
		result, err = i.ImportShops(t.Context(), storetest.Actor, i.app, i.next,
			once(row(2, domains[0], "other-a"), row(3, domains[1], "other-b"), row(4, domains[2], "token-c"), row(5, "d.myharavan.com", "token-d")), keepFirst)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(store.ImportResult{Rows: 4, Added: 1, Updated: 2, Unchanged: 1, VersionOther: 1}, result); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	for domain, want := range map[string]string{domains[0]: "other-a", domains[1]: "other-b", domains[2]: "token-c", "d.myharavan.com": "token-d"} {
		if v, err := i.ShopToken(t.Context(), i.app.ID, domain); err != nil || v.Reveal() != want {
			t.Errorf("%s does not have the listed token (%v)", domain, err)
		}
	}
	if got := ask[int64](t, i.DB, "select token_generation from rotator.shops order by id"); !slices.Equal(got, []int64{2, 2, 1, 1}) {
		t.Errorf("generations %v", got)
	}
	if n := ask[int](t, i.DB, "select count(*)::int from rotator.journal where event = 'shops.imported'"); n[0] != 2 {
		t.Errorf("two imports are %d entries of the journal", n[0])
	}
}

// A cutover holds the journal and then wants shops.
func TestAnImportThatIsSacrificedForTheJournalIsMergedAgain(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	i.load(t, store.ImportResult{Rows: 1, Added: 1}, i.first, row(2, "a.myharavan.com", "token-a"))
	other := locking(t, i.DB, "b.myharavan.com") // which is nobody's
	if _, err := other.Exec(t.Context(), "select pg_advisory_xact_lock(7021791822310)"); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() {
		_, err := i.ImportShops(t.Context(), storetest.Actor, i.app, i.first, once(row(2, "a.myharavan.com", "other-a")), keepFirst)
		ended <- err
	}()
	for len(ended) == 0 && ask[int](t, i.DB, waiting)[0] == 0 {
	}
	if _, err := other.Exec(t.Context(), lockShop, "a.myharavan.com"); err != nil {
		t.Fatal(err)
	}
	if err := other.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; err != nil {
		t.Error(err)
	}
}

// once yields rows as a pipe does: a second time there are none.
func once(rows ...shopfile.Row) iter.Seq2[shopfile.Row, error] {
	return func(yield func(shopfile.Row, error) bool) {
		all := rows
		rows = nil
		list(all...)(yield)
	}
}

// Whatever the alphabet says: an import that waits for a shop holds none that the
// run comes to after it.
func TestAnImportLocksShopsInTheRunsOrder(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		domains  [2]string // in the order of their ids
		settings store.RunSettings
		first    string
	}{
		"by id":       {[2]string{"z.myharavan.com", "a.myharavan.com"}, oneWave, "z.myharavan.com"},
		"by priority": {[2]string{"a.myharavan.com", "z.myharavan.com"}, byPriority, "z.myharavan.com"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newImporter(t)
			i.load(t, store.ImportResult{Rows: 2, Added: 2}, i.first, row(2, tt.domains[0], "token"), row(3, tt.domains[1], "token"))
			exec(t, i.DB, "update rotator.shops set priority = 1 where domain = $1", tt.first)
			r := &rig{DB: i.DB, app: i.app, run: i.Run(t, i.app, tt.settings)}
			r.walk(t)
			swaps := locking(t, i.DB, tt.first)
			ended := make(chan error, 1)
			go func() {
				_, err := i.ImportShops(t.Context(), storetest.Actor, i.app, i.next, list(row(2, tt.domains[0], "other"), row(3, tt.domains[1], "other")), keepFirst)
				ended <- err
			}()
			for len(ended) == 0 && ask[int](t, i.DB, waiting)[0] == 0 {
			}
			if _, err := swaps.Exec(t.Context(), "select from rotator.shops for update nowait"); err != nil {
				t.Errorf("the import holds a later shop: %v", err)
			}
			if err := swaps.Rollback(t.Context()); err != nil {
				t.Fatal(err)
			}
			if err := <-ended; err != nil {
				t.Error(err)
			}
		})
	}
}

// A bound table can be read again, and is.
func TestAReadingThatIsSacrificedIsRepeated(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 3)
	r.read(t)
	r.onApp(t, `update app."Shops" set access_token = 'other-' || id where id < 3`)
	r.onApp(t, `update app."Shops" set legacy_token = 'legacy' where id = 3`)
	var reading store.BoundReading
	err := sacrifice(t, r.admin, [3]string{domain(0), domain(1), domain(2)}, func() (err error) {
		reading, err = r.sync(t)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if reading.Rows != 3 || reading.Updated != 3 || reading.Unchanged != 0 {
		t.Errorf("reading %+v", reading)
	}
	if got := ask[int64](t, r.DB, "select token_generation from rotator.shops order by id"); !slices.Equal(got, []int64{2, 2, 1}) {
		t.Errorf("generations %v", got)
	}
	if v := r.token(t, domain(0)); v != "other-1" {
		t.Errorf("token %s", v)
	}
}
