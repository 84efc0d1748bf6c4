package store_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// legacyRow is a shop with a legacy token only.
func legacyRow(domain, token string) shopfile.Row {
	return shopfile.Row{Domain: domain, LegacyToken: secret.New(token)}
}

func legacyFleet(n int) (rows []shopfile.Row) {
	for i := range n {
		rows = append(rows, legacyRow(fmt.Sprintf("legacy-%d.myharavan.com", i), fmt.Sprintf("planted-legacy-%d", i)))
	}
	return rows
}

// newMigration stores the shops and starts a token migration of one wave in
// batches of ten.
func newMigration(t *testing.T, rows ...shopfile.Row) *rig {
	t.Helper()
	return newMigrationOn(t, storetest.New(t), rows...)
}

func newMigrationOn(t *testing.T, db *storetest.DB, rows ...shopfile.Row) *rig {
	t.Helper()
	r := &rig{DB: db}
	r.app = r.App(t, "shopbot", oldSecret, newSecret)
	r.importLegacy(t, rows...)
	r.worker = r.startWorker(t)
	r.startMigration(t)
	return r
}

func (r *rig) importLegacy(t *testing.T, rows ...shopfile.Row) {
	t.Helper()
	if _, err := r.ImportShops(t.Context(), storetest.Actor, r.app, 0, list(rows...), keepFirst); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) startMigration(t *testing.T) {
	t.Helper()
	secrets, err := r.Secrets(t.Context(), r.app.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		r.run, err = tx.StartRun(ctx, storetest.Actor, store.NewRun{
			App: r.app, Kind: rotation.KindTokenMigration, Mode: rotation.ModePlanned, OldSecretID: secrets[0].ID,
			Settings: store.RunSettings{BatchSize: 10, CheckSample: -1, Waves: rotation.WavePolicy{Budget: 0.25}},
		})
		return err
	})
}

// derived stands in for the derivation, which is not the store's.
func derived(u store.Underived) store.Derivation {
	return store.Derivation{Of: u, Token: secret.New("planted-derived-of-" + u.Legacy.Reveal())}
}

// deriveAll walks, releases and derives every batch of the run's open waves.
func (r *rig) deriveAll(t *testing.T) {
	t.Helper()
	r.walk(t)
	for _, w := range r.snapshot(t, store.Counted).Waves {
		if w.Released {
			continue
		}
		for _, g := range r.release(t, w.Number) {
			r.deriveBatch(t, r.take(t, g))
		}
	}
}

func (r *rig) deriveBatch(t *testing.T, l store.Lease) {
	t.Helper()
	if err := r.WriteDerived(t.Context(), l, r.derivations(t, l)); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) derivations(t *testing.T, l store.Lease) (done []store.Derivation) {
	t.Helper()
	batch, err := r.ReadUnderived(t.Context(), l)
	if err != nil {
		t.Fatal(err)
	}
	for _, u := range batch {
		done = append(done, derived(u))
	}
	return done
}

// proveDerived proves the claims of a migration after its cutover.
func (r *rig) proveDerived(t *testing.T, want store.Verdict, claims ...store.Claim) {
	t.Helper()
	for _, c := range claims {
		r.write(t, want, store.Outcome{Claim: c, State: rotation.ItemProven, New: c.New, SecretID: r.run.OldSecretID})
	}
}

// rows are the rows of tables, as text.
func rows(t *testing.T, db *storetest.DB, tables ...string) map[string]string {
	t.Helper()
	all := map[string]string{}
	for _, table := range tables {
		all[table] = strings.Join(ask[string](t, db, "select t::text from rotator."+table+" t order by 1"), "\n")
	}
	return all
}
