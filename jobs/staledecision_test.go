package jobs_test

import (
	"errors"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// A worker that looked at a token migration just before its cutover repairs it just
// after: batches that are to be proven are not derived once more.
func TestARepairFromBeforeTheCutoverGrantsNothing(t *testing.T) {
	t.Parallel()
	const shops = 60
	r := legacyRig(t, haravansim.Options{Shops: shops})
	r.worker()
	r.migrate(operate.MigrationOptions{BatchSize: 5, Waves: &rotation.WavePolicy{Canary: 5, Budget: 0.25}})
	r.until("derived", inPhase(rotation.PhaseDerived))
	r.confirm(rotation.PhaseChecked)
	stale := r.engine(false, nil)
	seen, err := r.db.Store.Run(r.ctx, r.run.ID)
	r.must(err)
	r.cutOver()
	if err := stale.RepairAsSeen(r.ctx, seen); !errors.Is(err, store.ErrConflict) {
		t.Errorf("repaired as of before the cutover: %v", err)
	}
	if end := r.until("settled", settled); end.Counts.Proven != shops {
		t.Errorf("%d of %d shops are proven", end.Counts.Proven, shops)
	}
}

// An operator retries a skipped shop in the moment in which a breach run goes on to
// its check by itself: it is called, or the operator is told that it is too late.
func TestARetryBesideTheEndOfABreach(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 12})
	gone := r.domains()[7]
	r.must(r.sim.Freeze(gone))
	r.worker()
	r.breach(operate.StartOptions{})
	// The worker's step is decided, and stops before it is made.
	gate, err := r.db.Pool.Acquire(r.ctx)
	r.must(err)
	defer gate.Release()
	for _, statement := range []string{
		"select pg_advisory_lock(42)",
		`create function wait_at_the_gate() returns trigger language plpgsql as $$ begin
			if exists (select from rotator.runs where phase = 'proven') then perform pg_advisory_xact_lock_shared(42); end if; return null; end $$`,
		"create trigger gate before update of phase on rotator.runs for each statement execute function wait_at_the_gate()",
	} {
		_, err = gate.Exec(r.ctx, statement)
		r.must(err)
	}
	waiting := func() (n int) {
		r.must(gate.QueryRow(r.ctx, "select count(*) from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()").Scan(&n))
		return n
	}
	r.arm()
	for waiting() == 0 {
	}
	r.must(r.sim.Thaw(gone))
	retried := make(chan error, 1)
	go func() {
		_, err := r.op.Retry(r.ctx, r.run.ID, "", gone)
		retried <- err
	}()
	for waiting() < 2 && len(retried) == 0 {
	}
	_, err = gate.Exec(r.ctx, "select pg_advisory_unlock(42)")
	r.must(err)
	refused := <-retried
	end := r.until("in the check", inPhase(rotation.PhaseRevoked))
	item, err := r.db.Item(r.ctx, r.run.ID, gone)
	r.must(err)
	switch {
	case end.Counts.Open() > 0:
		t.Errorf("nobody will call the shops that are open: %+v", end.Counts)
	case refused == nil && item.State != rotation.ItemProven:
		t.Errorf("the retry was taken, but the shop is %s", item.State)
	}
}

// A worker that stood still since it saw a wave over its budget comes back when an
// operator has looked at it and lets the run go on.
func TestAHoldFromBeforeAResumeHoldsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 4})
	r.start(operate.StartOptions{Waves: &rotation.WavePolicy{Budget: 0.25}})
	r.arm()
	for done := false; !done; {
		var err error
		done, err = r.db.WalkPage(r.ctx, r.run.ID, 10)
		r.must(err)
	}
	run, err := r.db.Store.Run(r.ctx, r.run.ID)
	r.must(err)
	r.must(r.db.InTx(r.ctx, func(tx *store.Tx) error {
		return tx.EnterPhase(r.ctx, store.ActorEngine, run, rotation.PhaseExchanging, nil)
	}))
	for _, statement := range []string{
		"update rotator.waves set released_at = now()", "update rotator.batches set settled_at = now()",
		"update rotator.items set state = 'retrying', class = 'platform', detail = '503', tries = 1, next_attempt_at = now() + interval '1 hour'",
	} {
		_, err := r.db.Pool.Exec(r.ctx, statement)
		r.must(err)
	}
	stale := r.engine(false, nil)
	look := func() (rotation.Snapshot, store.Run) {
		snap, run, err := r.db.Snapshot(r.ctx, r.run.ID, store.Engine)
		r.must(err)
		return snap, run
	}
	snap, run := look()
	r.must(stale.ApplyAsSeen(r.ctx, snap, run))
	if held, _ := look(); held.Held != rotation.HeldBreakerOpen {
		t.Fatalf("held: %q, the test is void", held.Held)
	}
	r.must(r.op.Resume(r.ctx, r.run.ID))
	if err := stale.ApplyAsSeen(r.ctx, snap, run); !errors.Is(err, store.ErrConflict) {
		t.Errorf("held as of before the resume: %v", err)
	}
	if again, _ := look(); again.Held != rotation.HeldNot {
		t.Errorf("held again (%s): %s", again.Held, again.HeldWhy)
	}
}

// The database is away for a worker that meets a wrong secret. Others hold the run for
// it, and an operator puts it right, before the worker can say so.
func TestAHoldThatCouldNotBeSavedBeforeAResume(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 4})
	r.start(operate.StartOptions{})
	r.arm()
	_, err := r.db.Pool.Exec(r.ctx, "update rotator.runs set phase = 'exchanging'")
	r.must(err)
	cutOff := r.engine(false, nil)
	trip := rotation.Trip{Held: rotation.HeldWaiting, Class: rotation.ClassOurs, Why: "invalid_client"}
	held := func() rotation.Held {
		run, err := r.db.Store.Run(r.ctx, r.run.ID)
		r.must(err)
		return run.Held
	}
	save, err := cutOff.Trip(r.ctx, r.run.ID, trip)
	r.must(err)
	r.must(r.op.Pause(r.ctx, r.run.ID, "the secret is wrong"))
	r.must(r.op.Resume(r.ctx, r.run.ID))
	if cutOff.MayCall(r.ctx, r.run.ID) == nil {
		t.Error("the worker calls, although it has not saved its hold")
	}
	save()
	if held() != rotation.HeldNot {
		t.Errorf("held (%s) as of before the resume", held())
	}
	if err := cutOff.MayCall(r.ctx, r.run.ID); err != nil {
		t.Errorf("afterwards the worker makes no calls: %v", err)
	}
	// What it meets from then on counts.
	save, err = cutOff.Trip(r.ctx, r.run.ID, trip)
	r.must(err)
	save()
	if held() != rotation.HeldWaiting {
		t.Errorf("not held for what was met after the resume: %q", held())
	}
}
