package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// breachUnderWay is a breach run of three shops whose exchanges are under way.
func breachUnderWay(t *testing.T) (*rig, store.Lease, []store.Claim) {
	t.Helper()
	r := newBreach(t, 3)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	l := r.take(t, r.release(t, 1)[0])
	return r, l, r.claim(t, l)
}

func TestCallsUnderWayOfAHeldRun(t *testing.T) {
	t.Parallel()
	hold := func(t *testing.T, r *rig, ago time.Duration) {
		t.Helper()
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, rotation.HeldPaused, "x")
			return err
		})
		exec(t, r.DB, "update rotator.runs set held_at = held_at - $2::interval where id = $1", r.run.ID, ago)
	}
	tests := map[string]struct {
		arrange func(*testing.T, *rig, store.Lease, []store.Claim)
		want    bool
	}{
		"of a batch": {func(t *testing.T, r *rig, _ store.Lease, _ []store.Claim) { hold(t, r, 0) }, true},
		"of a shop by itself": {func(t *testing.T, r *rig, l store.Lease, c []store.Claim) {
			r.write(t, store.Written, store.Outcome{Claim: c[0], State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503"})
			r.again(t)
			hold(t, r, 0)
			if err := r.LeaveBatch(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}, true},
		"answered": {func(t *testing.T, r *rig, l store.Lease, _ []store.Claim) {
			hold(t, r, 0)
			if err := r.LeaveBatch(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}, false},
		"given up by now": {func(t *testing.T, r *rig, _ store.Lease, _ []store.Claim) { hold(t, r, time.Minute) }, false},
		"of a worker that is silent": {func(t *testing.T, r *rig, _ store.Lease, _ []store.Claim) {
			hold(t, r, 0)
			exec(t, r.DB, "update rotator.workers set heartbeat_at = heartbeat_at - interval '1 minute'")
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, l, c := breachUnderWay(t)
			tt.arrange(t, r, l, c)
			left, err := r.CallsUnderWay(t.Context(), r.run.ID, 20*time.Second)
			if err != nil || left < 0 || left > 20*time.Second || (left > 0) != tt.want {
				t.Errorf("%s, %v", left, err)
			}
		})
	}
}
