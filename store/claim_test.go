package store_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestAClaimCarriesWhatTheAttemptNeeds(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 3)
	for i, c := range claims {
		if c.Position != int64(i+1) || c.Attempt != 1 || c.Was != rotation.ItemPending || c.SecretID != r.run.OldSecretID || c.Excluded != "" || !c.New.IsZero() {
			t.Errorf("claim %+v", c)
		}
		if c.Current.Reveal() != r.token(t, c.Domain) {
			t.Errorf("%s is claimed with another token", c.Domain)
		}
		if got := r.item(t, c.Domain); got.State != rotation.ItemClaimed || got.ClaimedAt == nil {
			t.Errorf("the intent is not stored: %+v", got)
		}
	}
}

func TestClaimsAreMadeInOrderAndInPortions(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10)
	r.walk(t)
	l := r.take(t, r.release(t, 1)[0])
	next := l.First
	for _, want := range []int{4, 4, 2, 0} {
		claims, err := r.ClaimBatch(t.Context(), l, next, 4, r.worker)
		if err != nil {
			t.Fatal(err)
		}
		if len(claims) != want {
			t.Fatalf("claimed %d, want %d", len(claims), want)
		}
		for _, c := range claims {
			if c.Position != next {
				t.Errorf("position %d, want %d", c.Position, next)
			}
			next++
		}
	}
}

func TestAnExcludedShopIsClaimedWithTheReason(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.walk(t)
	lease := r.take(t, r.release(t, 1)[0])
	if err := r.Exclude(t.Context(), storetest.Actor, r.app.ID, "shop-0.myharavan.com", "asked us to wait"); err != nil {
		t.Fatal(err)
	}
	if claims := r.claim(t, lease); len(claims) != 1 || claims[0].Excluded != "asked us to wait" {
		t.Errorf("claims %+v", claims)
	}
}

// However often a batch is taken while others claim from it, no shop has two
// holders: every attempt number of a shop is given once.
func TestNoShopHasTwoHolders(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 40, store.RunSettings{BatchSize: 40})
	r.walk(t)
	g := r.release(t, 1)[0]
	type held struct {
		position int64
		attempt  int
	}
	var mu sync.Mutex
	seen := map[held]int{}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 6 {
				l, err := r.TakeBatch(context.Background(), g, r.worker)
				if err != nil {
					t.Error(err)
					return
				}
				claims, err := r.ClaimBatch(context.Background(), l, l.First, 9, r.worker)
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				for _, c := range claims {
					seen[held{c.Position, c.Attempt}]++
				}
				mu.Unlock()
			}
		})
	}
	all.Wait()
	for h, n := range seen {
		if n != 1 {
			t.Errorf("attempt %d on position %d has %d holders", h.attempt, h.position, n)
		}
	}
	if len(seen) == 0 {
		t.Error("nobody claimed anything")
	}
}

func TestADueItemIsDispatchedAgainOnlyAfterItsLease(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 3)
	r.write(t, store.Written,
		store.Outcome{Claim: claims[0], State: rotation.ItemRetrying, Class: rotation.ClassNetwork, Detail: "reset"},
		store.Outcome{Claim: claims[1], State: rotation.ItemRetrying, Class: rotation.ClassNetwork, Detail: "reset", Delay: time.Hour},
		store.Outcome{Claim: claims[2], State: rotation.ItemUnknown, Class: rotation.ClassNetwork, Detail: "lost"})
	dispatch := func(want int) []store.Due {
		t.Helper()
		var due []store.Due
		r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
			due, err = tx.DispatchDue(ctx, r.run.ID, 10, time.Minute)
			return err
		})
		if len(due) != want {
			t.Fatalf("%d are due, want %d", len(due), want)
		}
		return due
	}
	due := dispatch(2)
	dispatch(0)
	c, err := r.ClaimDue(t.Context(), due[0], r.worker, time.Minute)
	if err != nil || c.Attempt != 2 {
		t.Fatalf("claim %+v, %v", c, err)
	}
	// Its job, delivered twice, finds nothing; the other's job was lost.
	if _, err := r.ClaimDue(t.Context(), due[0], r.worker, time.Minute); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("claimed twice: %v", err)
	}
	exec(t, r.DB, "update rotator.items set next_attempt_at = next_attempt_at - interval '61 seconds' where next_attempt_at is not null")
	again := dispatch(2)
	for _, d := range again {
		if d.Position == c.Position && d.Attempt != 2 {
			t.Errorf("the dead attempt is dispatched as %+v", d)
		}
	}
	// The attempt that died in mid-call may have been sent.
	if got := r.item(t, c.Domain).State; got != rotation.ItemUnknown {
		t.Errorf("an attempt that died is %s", got)
	}
	// Its late outcome is still its own until someone claims the item.
	next, err := r.ClaimDue(t.Context(), store.Due{RunID: r.run.ID, Position: c.Position, Attempt: 2}, r.worker, time.Minute)
	if err != nil || next.Was != rotation.ItemUnknown || next.Attempt != 3 {
		t.Fatalf("claim %+v, %v", next, err)
	}
	r.write(t, store.Fenced, exchanged(c))
	r.prove(t, next)
}

func TestDispatchersAtOnceShareTheDueItems(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 60)
	var group []store.Outcome
	for _, c := range claims {
		group = append(group, store.Outcome{Claim: c, State: rotation.ItemRetrying, Class: rotation.ClassNetwork, Detail: "reset"})
	}
	r.write(t, store.Written, group...)
	var mu sync.Mutex
	seen := map[int64]int{}
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			for range 4 {
				err := r.InTx(context.Background(), func(tx *store.Tx) error {
					due, err := tx.DispatchDue(context.Background(), r.run.ID, 5, time.Minute)
					mu.Lock()
					defer mu.Unlock()
					for _, d := range due {
						seen[d.Position]++
					}
					return err
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for position, n := range seen {
		if n != 1 {
			t.Errorf("position %d was dispatched %d times", position, n)
		}
	}
}

func TestAResumeForgivesWhatWasNobodysShop(t *testing.T) {
	t.Parallel()
	r, l, claims := claimAll(t, 5)
	park := func(c store.Claim, class rotation.Class) store.Outcome {
		return store.Outcome{Claim: c, State: rotation.ItemParked, Class: class, Detail: "x"}
	}
	r.write(t, store.Written, exchanged(claims[3]))
	r.write(t, store.Written,
		store.Outcome{Claim: claims[0], State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503", Delay: time.Hour},
		park(claims[1], rotation.ClassNetwork), park(claims[2], rotation.ClassScope),
		park(claims[3], rotation.ClassPlatform), // it has its token, unproven
		store.Outcome{Claim: claims[4], State: rotation.ItemSkipped, Class: rotation.ClassFrozen, Detail: "x"})
	if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
		t.Fatal(ok, err)
	}
	s := r.snapshot(t, store.Engine)
	if s.Waves[0].Failed != 3 {
		t.Fatalf("%d shops failed, want 3", s.Waves[0].Failed)
	}
	held := false
	for _, a := range rotation.Advance(withToken(s)) {
		held = held || a.Hold == rotation.HeldBreakerOpen
	}
	if !held {
		t.Fatal("the budget does not hold the run: the test is void")
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.Hold(ctx, store.ActorEngine, r.run.ID, rotation.HeldBreakerOpen, "budget"); err != nil {
			return err
		}
		return nil
	})
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
	for i, want := range []rotation.ItemState{rotation.ItemRetrying, rotation.ItemRetrying, rotation.ItemParked, rotation.ItemExchanged, rotation.ItemSkipped} {
		if got := r.item(t, claims[i].Domain).State; got != want {
			t.Errorf("shop %d is %s, want %s", i, got, want)
		}
	}
	// The budget that held it must not hold it again before anything was tried.
	for _, a := range rotation.Advance(withToken(r.snapshot(t, store.Engine))) {
		if a.Hold != "" {
			t.Errorf("held again at once: %+v", a)
		}
	}
	var due []store.Due
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		due, err = tx.DispatchDue(ctx, r.run.ID, 10, time.Minute)
		return err
	})
	if len(due) != 3 {
		t.Fatalf("%d are due, want 3", len(due))
	}
	for _, d := range due {
		c, err := r.ClaimDue(t.Context(), d, r.worker, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if c.Position == claims[3].Position {
			if !c.New.Equal(fresh(claims[3])) {
				t.Error("the stored token was lost")
			}
			p := r.proven(c)
			p.New = c.New
			r.write(t, store.Written, p)
			continue
		}
		r.prove(t, c)
	}
}

// withToken lets a snapshot have a window, which these runs were not given.
func withToken(s rotation.Snapshot) rotation.Snapshot {
	s.Window = rotation.Window{ExpiresAt: s.Now.Add(time.Hour)}
	return s
}
