package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// jobKind is the kind of batch jobs in these tests.
const jobKind = "test_batch"

func (r *rig) orphans(t *testing.T) (grants []store.Grant) {
	t.Helper()
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		grants, err = tx.GrantOrphans(ctx, r.run.ID, store.LiveWithin, jobKind)
		return err
	})
	return grants
}

// job inserts what River would hold for a grant.
func (r *rig) job(t *testing.T, g store.Grant, state string) {
	t.Helper()
	exec(t, r.DB, `insert into rotator.river_job (kind, max_attempts, state, finalized_at, args)
		values ($1, 1, $2::text::rotator.river_job_state, case when $2 in ('completed', 'discarded', 'cancelled') then now() end,
			jsonb_build_object('run', $3::bigint, 'batch', $4::int, 'grant', $5::int))`, jobKind, state, g.RunID, g.Number, g.Grant)
}

// work takes the batch as a job that River runs.
func (r *rig) work(t *testing.T, g store.Grant) store.Lease {
	t.Helper()
	r.job(t, g, "running")
	return r.take(t, g)
}

func TestAWaveIsReleasedOnceAndGrantsItsBatches(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 25, store.RunSettings{BatchSize: 10, Waves: rotation.WavePolicy{Canary: 5}})
	r.walk(t)
	if diff := cmp.Diff([]store.Grant{{RunID: r.run.ID, Number: 1, Grant: 1}}, r.release(t, 1)); diff != "" {
		t.Errorf("grants of the canary (-want +got):\n%s", diff)
	}
	if grants := r.release(t, 2); len(grants) != 2 {
		t.Errorf("grants of the rest: %+v", grants)
	}
	again := r.try(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.ReleaseWave(ctx, r.run.ID, 1, "again")
		return err
	})
	if !errors.Is(again, store.ErrConflict) {
		t.Errorf("released twice: %v", again)
	}
}

func TestAWaveSettlesOnceAndOnlyAfterItsRelease(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.walk(t)
	settle := func() error {
		return r.try(t, func(ctx context.Context, tx *store.Tx) error { return tx.SettleWave(ctx, r.run.ID, 1) })
	}
	if err := settle(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("settled before its release: %v", err)
	}
	r.release(t, 1)
	if err := settle(); err != nil {
		t.Fatal(err)
	}
	if err := settle(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("settled twice: %v", err)
	}
}

func TestAnOlderLeaseClaimsAndSettlesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10)
	r.walk(t)
	g := r.release(t, 1)[0]
	older := r.take(t, g)
	newer := r.take(t, g)
	if newer.Fence <= older.Fence || newer.First != 1 || newer.Last != 10 {
		t.Fatalf("leases %+v, %+v", older, newer)
	}
	if got := r.claim(t, older); len(got) != 0 {
		t.Errorf("the older lease claimed %d shops", len(got))
	}
	claims := r.claim(t, newer)
	if len(claims) != 10 {
		t.Fatalf("the newer lease claimed %d shops", len(claims))
	}
	r.prove(t, claims...)
	if ok, _, err := r.SettleBatch(t.Context(), older); err != nil || ok {
		t.Errorf("the older lease settled the batch: %t, %v", ok, err)
	}
	if err := r.LeaveBatch(t.Context(), older); err != nil {
		t.Fatal(err)
	}
	if holder := ask[bool](t, r.DB, "select worker_id is not null from rotator.batches"); !holder[0] {
		t.Error("the older lease gave the newer one's batch up")
	}
	if ok, _, err := r.SettleBatch(t.Context(), newer); err != nil || !ok {
		t.Errorf("the newer lease did not settle the batch: %t, %v", ok, err)
	}
	if _, err := r.TakeBatch(t.Context(), g, r.worker); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a settled batch was taken: %v", err)
	}
}

func TestAnOlderGrantTakesNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.walk(t)
	first := r.release(t, 1)[0]
	granted := r.orphans(t) // its job was never inserted
	if diff := cmp.Diff([]store.Grant{{RunID: r.run.ID, Number: 1, Grant: 2}}, granted); diff != "" {
		t.Fatalf("granted anew (-want +got):\n%s", diff)
	}
	if _, err := r.TakeBatch(t.Context(), first, r.worker); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the older grant was honoured: %v", err)
	}
	r.take(t, granted[0])
}

func TestTakingOverMakesWhatWasClaimedUnknown(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 5, store.RunSettings{BatchSize: 5})
	r.walk(t)
	g := r.release(t, 1)[0]
	claims := r.claim(t, r.take(t, g))
	// Of five claimed shops one is exchanged, one waits by itself, one is under
	// a lease of its own, one is proven; the last may have been sent.
	r.write(t, store.Written, exchanged(claims[0]))
	r.write(t, store.Written, store.Outcome{Claim: claims[1], State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503"})
	own := r.again(t)
	if own.Position != claims[1].Position {
		t.Fatalf("position %d is due", own.Position)
	}
	r.prove(t, claims[2])
	r.write(t, store.Written, store.Outcome{Claim: claims[3], State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503", Delay: time.Hour})

	l := r.take(t, g)
	var got []rotation.ItemState
	for _, c := range claims {
		got = append(got, r.item(t, c.Domain).State)
	}
	want := []rotation.ItemState{rotation.ItemExchanged, rotation.ItemClaimed, rotation.ItemProven, rotation.ItemRetrying, rotation.ItemUnknown}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("states after the take-over (-want +got):\n%s", diff)
	}
	again := r.claim(t, l)
	if len(again) != 2 || again[0].Was != rotation.ItemExchanged || again[1].Was != rotation.ItemUnknown {
		t.Fatalf("the new holder claimed %+v", again)
	}
	if !again[0].New.Equal(fresh(claims[0])) || again[0].Generation != claims[0].Generation {
		t.Error("the token that waits for its proof was not handed over")
	}
	// The holder of the single item is not disturbed.
	r.prove(t, own)
}

func TestABatchSettlesOnlyWhenNothingInItIsOpen(t *testing.T) {
	t.Parallel()
	tests := map[rotation.ItemState]bool{
		rotation.ItemPending: false, rotation.ItemClaimed: false, rotation.ItemUnknown: false, rotation.ItemExchanged: false,
		rotation.ItemProven: true, rotation.ItemRetrying: true, rotation.ItemParked: true, rotation.ItemSkipped: true, rotation.ItemWaived: true,
	}
	r := newRig(t, 1)
	r.walk(t)
	l := r.take(t, r.release(t, 1)[0])
	for state, want := range tests {
		exec(t, r.DB, `update rotator.items set state = $1, detail = 'x', new_token = 'x', proven_at = now(),
			next_attempt_at = case when $1 = 'retrying' then now() end`, string(state))
		ok, _, err := r.SettleBatch(t.Context(), l)
		if err != nil || ok != want {
			t.Errorf("with its shop %s: settled %t, %v", state, ok, err)
		}
		exec(t, r.DB, "update rotator.batches set settled_at = null")
	}
	for _, state := range []rotation.ItemState{rotation.ItemClaimed, rotation.ItemUnknown, rotation.ItemExchanged} {
		exec(t, r.DB, "update rotator.items set state = $1, next_attempt_at = now()", string(state))
		if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
			t.Errorf("with its shop %s, but on its own: settled %t, %v", state, ok, err)
		}
		exec(t, r.DB, "update rotator.batches set settled_at = null")
	}
}

func (r *rig) handOut(t *testing.T, l store.Lease) {
	t.Helper()
	if err := r.HandOutBatch(t.Context(), l); err != nil {
		t.Fatal(err)
	}
}

// The job of a batch that is handed out may be given once more, as one whose
// worker never heard of it: what is under way must not be taken over for that.
func TestAJobThatHandedItsBatchOutCannotTakeItAgain(t *testing.T) {
	t.Parallel()
	r, l, c := claimAll(t, 2)
	r.handOut(t, l)
	if _, err := r.TakeBatch(t.Context(), l.Grant, r.worker); !errors.Is(err, store.ErrConflict) {
		t.Errorf("taken again: %v", err)
	}
	r.prove(t, c...)
	if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
		t.Errorf("settled %t, %v", ok, err)
	}
}

func TestGrantOrphans(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		arrange func(*testing.T, *rig, store.Grant)
		want    bool
	}{
		"held by a live worker":                      {func(t *testing.T, r *rig, g store.Grant) { r.work(t, g) }, false},
		"held by a live worker, but its job is gone": {func(t *testing.T, r *rig, g store.Grant) { r.take(t, g) }, true},
		"held by a live worker, but its job was cancelled": {func(t *testing.T, r *rig, g store.Grant) {
			r.job(t, g, "cancelled")
			r.take(t, g)
		}, true},
		"its worker fell silent": {func(t *testing.T, r *rig, g store.Grant) {
			r.work(t, g)
			exec(t, r.DB, "update rotator.workers set heartbeat_at = now() - interval '16 seconds' where id = $1", r.worker)
		}, true},
		"its worker was silent for less than the lease": {func(t *testing.T, r *rig, g store.Grant) {
			r.work(t, g)
			exec(t, r.DB, "update rotator.workers set heartbeat_at = now() - interval '10 seconds' where id = $1", r.worker)
		}, false},
		"its worker signed off": {func(t *testing.T, r *rig, g store.Grant) {
			r.work(t, g)
			if err := r.StopWorker(t.Context(), r.worker); err != nil {
				t.Fatal(err)
			}
		}, true},
		"left, and its job is gone": {func(t *testing.T, r *rig, g store.Grant) {
			r.job(t, g, "completed")
			if err := r.LeaveBatch(t.Context(), r.take(t, g)); err != nil {
				t.Fatal(err)
			}
		}, true},
		"handed out by a live worker, and its job has ended": {func(t *testing.T, r *rig, g store.Grant) {
			r.handOut(t, r.take(t, g))
		}, false},
		"handed out by a worker that fell silent": {func(t *testing.T, r *rig, g store.Grant) {
			r.handOut(t, r.take(t, g))
			exec(t, r.DB, "update rotator.workers set heartbeat_at = now() - interval '16 seconds' where id = $1", r.worker)
		}, true},
		"handed out and left": {func(t *testing.T, r *rig, g store.Grant) {
			l := r.take(t, g)
			r.handOut(t, l)
			if err := r.LeaveBatch(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}, true},
		"handed out and left, and its job seems to run still": {func(t *testing.T, r *rig, g store.Grant) {
			l := r.work(t, g)
			r.handOut(t, l)
			if err := r.LeaveBatch(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}, true},
		"handed out by one who does not have it, and its job is gone": {func(t *testing.T, r *rig, g store.Grant) {
			l := r.take(t, g)
			r.take(t, g)
			r.handOut(t, l)
		}, true},
		"its job waits":          {func(t *testing.T, r *rig, g store.Grant) { r.job(t, g, "available") }, false},
		"its job is tried again": {func(t *testing.T, r *rig, g store.Grant) { r.job(t, g, "retryable") }, false},
		"its job was discarded":  {func(t *testing.T, r *rig, g store.Grant) { r.job(t, g, "discarded") }, true},
		"the job is of an older grant": {func(t *testing.T, r *rig, g store.Grant) {
			g.Grant--
			r.job(t, g, "available")
		}, true},
		"settled": {func(t *testing.T, r *rig, g store.Grant) {
			exec(t, r.DB, "update rotator.batches set settled_at = now() where run_id = $1", r.run.ID)
		}, false},
		"never released": {func(t *testing.T, r *rig, g store.Grant) {
			exec(t, r.DB, "update rotator.waves set released_at = null where run_id = $1", r.run.ID)
		}, false},
	}
	db := storetest.New(t)
	apps := 0
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			apps++
			r := newRigIn(t, db, fmt.Sprint("app-", apps), 2, store.RunSettings{BatchSize: 10})
			r.walk(t)
			g := r.release(t, 1)[0]
			tt.arrange(t, r, g)
			var want []store.Grant
			if tt.want {
				last := ask[int](t, r.DB, "select grant_number from rotator.batches where run_id = $1", r.run.ID)[0]
				want = []store.Grant{{RunID: g.RunID, Number: g.Number, Grant: last + 1}}
			}
			if diff := cmp.Diff(want, r.orphans(t), cmpopts.EquateEmpty()); diff != "" {
				t.Errorf("grants (-want +got):\n%s", diff)
			}
		})
	}
}
