package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestARunThatDoesNotWorkGivesNoClaims(t *testing.T) {
	t.Parallel()
	stops := map[string]func(context.Context, *store.Tx, *rig) error{
		"held": func(ctx context.Context, tx *store.Tx, r *rig) error {
			_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, rotation.HeldPaused, "lunch")
			return err
		},
		"cancelled": func(ctx context.Context, tx *store.Tx, r *rig) error { return tx.Cancel(ctx, storetest.Actor, r.run) },
		"closed": func(ctx context.Context, tx *store.Tx, r *rig) error {
			_, err := tx.Pgx().Exec(ctx, "update rotator.runs set phase = 'closed', closed_at = now() where id = $1", r.run.ID)
			return err
		},
	}
	for name, stop := range stops {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, l, c := claimAll(t, 2)
			r.write(t, store.Written, store.Outcome{Claim: c[0], State: rotation.ItemPending},
				store.Outcome{Claim: c[1], State: rotation.ItemRetrying, Class: rotation.ClassNetwork, Detail: "reset"})
			var due []store.Due
			r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
				due, err = tx.DispatchDue(ctx, r.run.ID, 10, time.Minute)
				return err
			})
			if len(due) != 1 {
				t.Fatalf("%d are due", len(due))
			}
			r.tx(t, func(ctx context.Context, tx *store.Tx) error { return stop(ctx, tx, r) })
			if got := r.claim(t, l); len(got) != 0 {
				t.Errorf("claimed %d shops of the batch", len(got))
			}
			if _, err := r.ClaimDue(t.Context(), due[0], r.worker, time.Minute); !errors.Is(err, store.ErrNotFound) {
				t.Errorf("claimed the one that was due: %v", err)
			}
			if name != "held" {
				return
			}
			r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
			if got := r.claim(t, l); len(got) != 1 {
				t.Errorf("after the resume: claimed %d shops", len(got))
			}
			if _, err := r.ClaimDue(t.Context(), due[0], r.worker, time.Minute); err != nil {
				t.Errorf("after the resume: %v", err)
			}
		})
	}
}

func TestTriesCountSinceSomebodyAskedForARetry(t *testing.T) {
	t.Parallel()
	retry := func(ctx context.Context, tx *store.Tx, r *rig) error {
		_, err := tx.Retry(ctx, storetest.Actor, r.run.ID, "", "")
		return err
	}
	resume := func(held rotation.Held) func(context.Context, *store.Tx, *rig) error {
		return func(ctx context.Context, tx *store.Tx, r *rig) error {
			err := r.InTx(ctx, func(tx *store.Tx) error {
				_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, held, "x")
				return err
			})
			if err != nil {
				return err
			}
			run, err := r.Store.Run(ctx, r.run.ID)
			return errors.Join(err, tx.Resume(ctx, storetest.Actor, run))
		}
	}
	for name, tt := range map[string]struct {
		ask  func(context.Context, *store.Tx, *rig) error
		want int
	}{
		"nobody": {func(context.Context, *store.Tx, *rig) error { return nil }, 3},
		"retry":  {retry, 1}, "resume after the breaker": {resume(rotation.HeldBreakerOpen), 1}, "resume after a pause": {resume(rotation.HeldPaused), 3},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, c := claimAll(t, 1)
			claim := c[0]
			for range 2 {
				r.write(t, store.Written, store.Outcome{Claim: claim, State: rotation.ItemRetrying, Class: rotation.ClassNetwork, Detail: "reset"})
				if claim.Attempt == 1 {
					claim = r.again(t)
				}
			}
			if claim.Tries != 2 || claim.Attempt != 2 {
				t.Fatalf("the second claim: %+v", claim)
			}
			r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tt.ask(ctx, tx, r) })
			if got := r.again(t); got.Tries != tt.want || got.Attempt != 3 {
				t.Errorf("attempt %d is try %d, want %d", got.Attempt, got.Tries, tt.want)
			}
		})
	}
}

// A claim in which nothing was asked of the platform is no try: in the last moments
// of a window a shop may be claimed several times for nothing.
func TestAClaimForNothingIsNoTry(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 1)
	r.write(t, store.Written, store.Outcome{Claim: c[0], State: rotation.ItemRetrying, Class: rotation.ClassRateLimited, Detail: "429"})
	for attempt := 2; attempt < 5; attempt++ {
		claim := r.again(t)
		if claim.Tries != 2 || claim.Attempt != attempt {
			t.Errorf("attempt %d is try %d, want attempt %d and try 2", claim.Attempt, claim.Tries, attempt)
		}
		r.write(t, store.Written, store.Outcome{Claim: claim, State: rotation.ItemRetrying, Detail: "too little of the window is left", Unsent: true})
	}
}

// What may have been sent is remembered until an exchange is stored.
func TestAClaimKnowsWhetherThePlatformMayHaveActed(t *testing.T) {
	t.Parallel()
	set := func(state rotation.ItemState, class rotation.Class) func(*testing.T, *rig, store.Claim) store.Claim {
		return func(t *testing.T, r *rig, c store.Claim) store.Claim {
			r.write(t, store.Written, store.Outcome{Claim: c, State: state, Class: class, Detail: "x"})
			return r.again(t)
		}
	}
	tests := map[string]struct {
		then func(*testing.T, *rig, store.Claim) store.Claim
		want bool
	}{
		"lost answer":   {set(rotation.ItemUnknown, rotation.ClassNetwork), true},
		"clear failure": {set(rotation.ItemRetrying, rotation.ClassPlatform), false},
		"lost answer, then a clear failure": {func(t *testing.T, r *rig, c store.Claim) store.Claim {
			c = set(rotation.ItemUnknown, rotation.ClassNetwork)(t, r, c)
			return set(rotation.ItemRetrying, rotation.ClassPlatform)(t, r, c)
		}, true},
		"its batch was taken over": {func(t *testing.T, r *rig, _ store.Claim) store.Claim { return r.claimOpen(t)[0] }, true},
		"its own lease ended": {func(t *testing.T, r *rig, c store.Claim) store.Claim {
			set(rotation.ItemRetrying, rotation.ClassPlatform)(t, r, c)
			exec(t, r.DB, "update rotator.items set next_attempt_at = now()")
			return r.again(t)
		}, true},
		"due again by a sweep, then put back unsent": {func(t *testing.T, r *rig, c store.Claim) store.Claim {
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemRetrying, Detail: "x"})
			exec(t, r.DB, "update rotator.items set state = 'unknown', class = null")
			r.write(t, store.Written, store.Outcome{Claim: r.again(t), State: rotation.ItemUnknown, Detail: "the run is held", Unsent: true})
			return r.again(t)
		}, false},
		"lost answer, then put back unsent": {func(t *testing.T, r *rig, c store.Claim) store.Claim {
			c = set(rotation.ItemUnknown, rotation.ClassNetwork)(t, r, c)
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemUnknown, Detail: "the run is held", Unsent: true})
			return r.again(t)
		}, true},
		"lost answer, then an exchange": {func(t *testing.T, r *rig, c store.Claim) store.Claim {
			c = set(rotation.ItemUnknown, rotation.ClassNetwork)(t, r, c)
			r.write(t, store.Written, exchanged(c))
			return set(rotation.ItemRetrying, rotation.ClassUnauthorized)(t, r, c)
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, c := claimAll(t, 1)
			if c[0].Acted {
				t.Fatal("an untouched shop was acted on")
			}
			if got := tt.then(t, r, c[0]); got.Acted != tt.want {
				t.Errorf("acted %t, want %t: %+v", got.Acted, tt.want, got)
			}
		})
	}
}

func TestSinglyClaimedShopsOutliveTheirWorkerForALeaseOnly(t *testing.T) {
	t.Parallel()
	silent := func(t *testing.T, r *rig) {
		exec(t, r.DB, "update rotator.workers set heartbeat_at = now() - interval '16 seconds'")
	}
	older := func(t *testing.T, r *rig) {
		exec(t, r.DB, "update rotator.items set claimed_at = now() - interval '16 seconds'")
	}
	type change = func(*testing.T, *rig)
	tests := map[string]struct {
		arrange []change
		want    int
	}{
		"its worker lives":             {[]change{older}, 0},
		"its worker fell silent":       {[]change{older, silent}, 1},
		"its worker signed off":        {[]change{older, func(t *testing.T, r *rig) { exec(t, r.DB, "update rotator.workers set stopped_at = now()") }}, 1},
		"silent, but claimed just now": {[]change{silent}, 0},
		"nobody ever claimed it": {[]change{older, silent, func(t *testing.T, r *rig) {
			exec(t, r.DB, "update rotator.items set worker_id = null")
		}}, 0},
		"it waits for its retry": {[]change{older, silent, func(t *testing.T, r *rig) {
			exec(t, r.DB, "update rotator.items set state = 'retrying'")
		}}, 0},
		"its proof is left": {[]change{older, silent, func(t *testing.T, r *rig) {
			exec(t, r.DB, "update rotator.items set state = 'exchanged', new_token = 'x'")
		}}, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, c := claimAll(t, 1)
			r.write(t, store.Written, store.Outcome{Claim: c[0], State: rotation.ItemRetrying, Class: rotation.ClassNetwork, Detail: "reset"})
			r.again(t)
			for _, a := range tt.arrange {
				a(t, r)
			}
			free := func() (due []store.Due) {
				r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
					if err := tx.FreeOrphans(ctx, r.run.ID, store.LiveWithin); err != nil {
						return err
					}
					due, err = tx.DispatchDue(ctx, r.run.ID, 10, time.Minute)
					return err
				})
				return due
			}
			if due := free(); len(due) != tt.want {
				t.Errorf("%d are due, want %d", len(due), tt.want)
			}
			// Its next job waits in a queue: it must not be dispatched twice.
			if due := free(); len(due) != 0 {
				t.Errorf("%d are due once more", len(due))
			}
		})
	}
}

// A resume gives every failure that counts against the budget another try: what
// no try could change would hold the run at once, for ever.
func TestAResumeTriesUnprovenTokensAgainAndForgetsNoForeignOne(t *testing.T) {
	t.Parallel()
	r, l, c := claimAll(t, 3)
	r.write(t, store.Written, exchanged(c[0]), exchanged(c[1]), exchanged(c[2]))
	r.write(t, store.Written,
		store.Outcome{Claim: c[0], State: rotation.ItemParked, Class: rotation.ClassWrongShop, Detail: "x"},
		store.Outcome{Claim: c[1], State: rotation.ItemParked, Class: rotation.ClassFrozen, Detail: "x"})
	r.write(t, store.Written, r.proven(c[2]))
	if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
		t.Fatal(ok, err)
	}
	holds := func() bool {
		for _, a := range rotation.Advance(withToken(r.snapshot(t, store.Engine))) {
			if a.Hold != "" {
				return true
			}
		}
		return false
	}
	if !holds() {
		t.Fatal("two of three do not hold the run: the test is void")
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Hold(ctx, store.ActorEngine, r.run.ID, rotation.HeldBreakerOpen, "budget")
		return err
	})
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
	if holds() {
		t.Error("held again before anything was tried")
	}
	for i, want := range []rotation.Class{rotation.ClassWrongShop, ""} {
		if got := r.item(t, c[i].Domain); got.State != rotation.ItemExchanged || got.Class != want {
			t.Errorf("shop %d: %+v", i, got)
		}
	}
	r.cancel(t)
	if diff := cmp.Diff([]string{"token-0", fresh(c[1]).Reveal()}, []string{r.token(t, c[0].Domain), r.token(t, c[1].Domain)}); diff != "" {
		t.Errorf("tokens after the cancel (-want +got):\n%s", diff)
	}
}

// The last shop that needed a refresh token was given up. What is parked would need
// one, too, and must not hold the run again before the proofs that are left.
func TestARunThatGoesOnWithoutARefreshTokenOpensNoParkedShop(t *testing.T) {
	t.Parallel()
	for _, held := range []rotation.Held{rotation.HeldWindowExpired, rotation.HeldWaiting} {
		t.Run(string(held), func(t *testing.T) {
			t.Parallel()
			r, l, c := claimAll(t, 4)
			failed := func(c store.Claim, state rotation.ItemState) store.Outcome {
				return store.Outcome{Claim: c, State: state, Class: rotation.ClassPlatform, Detail: "503", Delay: time.Hour}
			}
			r.arm(t, "refresh-1")
			r.write(t, store.Written, exchanged(c[0]), exchanged(c[1]), failed(c[2], rotation.ItemParked), failed(c[3], rotation.ItemRetrying))
			r.write(t, store.Written, failed(c[0], rotation.ItemExchanged), failed(c[1], rotation.ItemParked))
			if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
				t.Fatal(ok, err)
			}
			if held == rotation.HeldWaiting {
				exec(t, r.DB, "update rotator.refresh_tokens set refused_at = now()")
			} else {
				exec(t, r.DB, "update rotator.refresh_tokens set expires_at = now()")
			}
			r.tx(t, func(ctx context.Context, tx *store.Tx) error {
				_, err := tx.Hold(ctx, store.ActorEngine, r.run.ID, held, "x")
				return errors.Join(err, tx.Waive(ctx, storetest.Actor, r.run.ID, c[3].Domain, "gave up"))
			})
			if s := r.snapshot(t, store.Engine); !s.NoneNeedsToken {
				t.Error("a refresh token is needed")
			}
			r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, store.ActorEngine, r.reread(t)) })
			want := []rotation.ItemState{rotation.ItemExchanged, rotation.ItemExchanged, rotation.ItemParked, rotation.ItemWaived}
			if diff := cmp.Diff(want, r.states(t, c...)); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}
			if s := r.snapshot(t, store.Engine); !s.NoneNeedsToken {
				t.Error("after the hold a refresh token is needed")
			}
			if due := ask[int](t, r.DB, "select count(*) from rotator.items where next_attempt_at <= now()"); due[0] != 2 {
				t.Errorf("%d proofs are due, want 2", due[0])
			}
		})
	}
}
