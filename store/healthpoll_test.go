package store_test

import (
	"context"
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// Resuming after the app was unwell accepts the app, not the wave: its shops are
// still to be judged.
func TestResumingAnUnwellAppAcceptsNoWave(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	r.release(t, 1)
	resume := func() bool {
		t.Helper()
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.Resume(ctx, storetest.Actor, r.reread(t))
		})
		return r.snapshot(t, store.Counted).Waves[0].Accepted
	}
	if mine, err := r.TakePoll(t.Context(), r.run.ID, 0); err != nil || !mine {
		t.Fatalf("the turn to poll: %t, %v", mine, err)
	}
	for i := 1; i <= rotation.UnhealthyAfter; i++ {
		held, err := r.WritePoll(t.Context(), r.run.ID, "it answers 500", rotation.UnhealthyAfter)
		if err != nil || held != (i == rotation.UnhealthyAfter) {
			t.Fatalf("poll %d: %t, %v", i, held, err)
		}
	}
	if resume() {
		t.Error("the wave was accepted with the app")
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Hold(ctx, store.ActorEngine, r.run.ID, rotation.HeldBreakerOpen, "too many failures")
		return err
	})
	if !resume() {
		t.Error("the wave that held the run was not accepted")
	}
}
