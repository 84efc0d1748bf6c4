package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// A shop that the platform asked to leave alone is, by whichever worker, also when
// somebody retries it or a hold ends; unless an operator says to call it.
func TestWhatThePlatformAskedForOutlivesARetryAndAHold(t *testing.T) {
	t.Parallel()
	retry := func(t *testing.T, r *rig) {
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Retry(ctx, storetest.Actor, r.run.ID, "", "")
			return err
		})
	}
	for name, tt := range map[string]struct {
		then func(*testing.T, *rig)
		due  bool
	}{
		"retried": {retry, false},
		"the breaker's hold ends": {func(t *testing.T, r *rig) {
			r.tx(t, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, rotation.HeldBreakerOpen, "x")
				return err
			})
			r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
		}, false},
		"an operator says to call it": {func(t *testing.T, r *rig) {
			r.tx(t, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.IgnoreCooldown(ctx, storetest.Actor, r.run.ID, ask[string](t, r.DB, "select domain from rotator.shops order by id")[0])
				return err
			})
			retry(t, r)
		}, true},
		"its pause is over": {func(t *testing.T, r *rig) {
			exec(t, r.DB, "update rotator.items set quiet_until = now() - interval '1 second'")
			retry(t, r)
		}, true},
	} {
		for _, state := range []rotation.ItemState{rotation.ItemRetrying, rotation.ItemUnknown} {
			t.Run(name+", "+string(state), func(t *testing.T) {
				t.Parallel()
				if state == rotation.ItemUnknown && (name == "retried" || name == "its pause is over") {
					t.Skip("a retry is not about these")
				}
				r, _, c := claimAll(t, 2)
				failed := func(i int, asked time.Duration) store.Outcome {
					return store.Outcome{Claim: c[i], State: state, Class: rotation.ClassPlatform, Detail: "503", Delay: time.Hour, Asked: asked}
				}
				r.write(t, store.Written, failed(0, 30*time.Minute), failed(1, 0))
				tt.then(t, r)
				if got := ask[bool](t, r.DB, "select next_attempt_at <= now() from rotator.items order by position"); got[0] != tt.due {
					t.Errorf("due %v, want %t for the first, which was to be left alone", got, tt.due)
				} else if state == rotation.ItemRetrying && !got[1] {
					t.Error("the other is not due")
				}
			})
		}
	}
}
