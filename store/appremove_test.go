package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestOnlyAnAppWithoutRunsIsRemoved(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	mistake := r.App(t, "mistake", "planted-one", "planted-two")
	r.Import(t, mistake, storetest.Fleet(5))
	remove := func(a store.App) (store.RemovedApp, error) {
		return r.RemoveApp(t.Context(), storetest.Actor, a, func(int64) {})
	}
	var inUse *store.AppHasRunsError
	if _, err := remove(r.app); !errors.As(err, &inUse) || inUse.RunID != r.run.ID {
		t.Errorf("an app with an open run: %v", err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) })
	if _, err := remove(r.app); !errors.As(err, &inUse) {
		t.Errorf("an app with a cancelled run: %v", err)
	}
	removed, err := remove(mistake)
	if want := (store.RemovedApp{Name: "mistake", Secrets: 2, Shops: 5}); err != nil || removed != want {
		t.Errorf("removed %+v, %v, want %+v", removed, err, want)
	}
	if _, err := remove(mistake); !errors.Is(err, store.ErrConflict) {
		t.Errorf("removed twice: %v", err)
	}
	if only, err := r.Store.App(t.Context(), ""); err != nil || only.ID != r.app.ID {
		t.Errorf("the app that is left: %+v, %v", only, err)
	}
	if n, err := r.CountShops(t.Context(), r.app.ID); err != nil || n != 3 {
		t.Errorf("%d shops of the other app are left, %v", n, err)
	}
	if n, err := r.CountShops(t.Context(), mistake.ID); err != nil || n != 0 {
		t.Errorf("%d shops of the removed app are left, %v", n, err)
	}
}
