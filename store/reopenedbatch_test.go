package store_test

import (
	"context"
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// The holder of a batch that was settled has nothing under way.
func TestAReopenedBatchIsNobodys(t *testing.T) {
	t.Parallel()
	r := newMigration(t, legacyFleet(2)...)
	r.deriveAll(t)
	r.enter(t, rotation.PhaseCutover)
	l := r.take(t, r.release(t, 1)[0])
	c := r.claim(t, l)
	r.proveDerived(t, store.Written, c[0])
	r.write(t, store.Written, store.Outcome{Claim: c[1], State: rotation.ItemSkipped, Class: rotation.ClassFrozen, Detail: "frozen"})
	if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
		t.Fatal(ok, err)
	}
	r.importLegacy(t, legacyRow(c[1].Domain, "another"))
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Sweep(ctx, r.reread(t)) })
	if i := r.item(t, c[1].Domain); i.State != rotation.ItemPending {
		t.Errorf("reopened as %+v", i)
	}
	var grants []store.Grant
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		grants, err = tx.GrantOrphans(ctx, r.run.ID, store.LiveWithin, "none")
		return err
	})
	if len(grants) != 1 {
		t.Fatalf("granted %v", grants)
	}
	if again := r.claim(t, r.take(t, grants[0])); len(again) != 1 || again[0].Was != rotation.ItemPending || again[0].Acted {
		t.Errorf("claimed %+v", again)
	}
}
