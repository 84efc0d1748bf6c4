package jobs

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/internal/outbound"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

const (
	// superviseEvery is the pause between looks at the open runs, stretched so
	// that looking never takes more than a fifth of the time.
	superviseEvery = 500 * time.Millisecond
	superviseLeast = 50 * time.Millisecond
	// superviseRest is the most that a look stretches it: one that waited for a
	// database that hung was not work, and lost work must be found soon after.
	superviseRest = 5 * time.Second
	// repairEvery is how often lost jobs are looked for.
	repairEvery = 5 * time.Second
	// oncePatience is how long a worker that runs once bears with a database
	// that does not answer.
	oncePatience = time.Minute
	// dispatchMost items that are due get a job in one look.
	dispatchMost = 500
	// dispatchLease: a dispatched item whose job is lost is due again after it.
	dispatchLease = time.Minute
)

// pausesMost are out of reach of any pause before another try.
var pausesMost = store.Pauses{
	Job: 30 * time.Second, Delivery: deliverPauseMost + time.Minute, Item: itemLease + 30*time.Second, Asked: outbound.MaxRetryAfter + time.Minute,
}

// superviseLoop moves the open runs until ctx ends; with Once until nothing is
// left to do. Every worker supervises: each step is fenced by the state that it
// was decided on, so that the second of two changes nothing.
func (e *Engine) superviseLoop(ctx context.Context) error {
	var repairAt time.Time
	fineAt := time.Now()
	idle := 0
	for {
		begin := time.Now()
		repair := e.resumed.Swap(false) || begin.Sub(repairAt) >= repairEvery
		busy, err := e.superviseAll(ctx, repair)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			e.quietly(ctx, "cannot look after the runs", err)
			if e.once && begin.Sub(fineAt) > oncePatience {
				return fmt.Errorf("look after the runs, for %s now: %w", oncePatience, err)
			}
		case repair:
			repairAt = begin
		}
		if err == nil {
			fineAt = begin
		}
		if err != nil || busy {
			idle = 0
		} else if idle++; e.once && idle > 1 {
			return e.runs.unworkable()
		}
		e.superviseLater(ctx, time.Since(begin))
	}
}

// restAfter is how long the supervisor rests, unless it is hurried, after a look
// that took took.
func restAfter(took time.Duration) time.Duration {
	return min(max(superviseLeast, 4*took), superviseRest)
}

// superviseLater waits for the time of the next look, after one that took took.
func (e *Engine) superviseLater(ctx context.Context, took time.Duration) {
	select {
	case <-ctx.Done():
		return
	case <-e.hurried:
		return
	case <-time.After(restAfter(took)):
	}
	select {
	case <-ctx.Done():
	case <-e.hurried:
	case <-e.kicked:
	case <-time.After(superviseEvery):
	}
}

// superviseAll looks at every open run. busy tells that a worker has something
// to do for one of them.
func (e *Engine) superviseAll(ctx context.Context, repair bool) (busy bool, err error) {
	open, err := e.store.OpenRuns(ctx)
	if err != nil {
		return false, err
	}
	if repair {
		if err := e.store.MendSetback(ctx, pausesMost); err != nil {
			return false, err
		}
		if err := e.store.FreeJobs(ctx, store.LiveWithin); err != nil {
			return false, err
		}
		if err := e.store.FreeUnheardJobs(ctx, e.id, e.here.list(), heardWithin); err != nil {
			return false, err
		}
	}
	// Whatever the runs do: tokens that are live must reach their app.
	busy, err = e.superviseDeliveries(ctx, repair)
	for _, r := range open {
		e.runs.mu.Lock()
		state, left := e.runs.open[r.ID], e.runs.left[r.ID] != nil
		e.runs.mu.Unlock()
		if state != nil {
			e.saveTrip(ctx, state)
			e.savePin(ctx, state)
			e.leaveLostProbe(ctx, state)
		}
		working, runErr := e.supervise(ctx, r.ID, repair)
		busy = busy || working && !left
		if runErr != nil && !errors.Is(runErr, store.ErrConflict) {
			err = errors.Join(err, runErr)
		}
		if state != nil {
			err = errors.Join(err, e.burnDown(ctx, state))
		}
	}
	return busy, err
}

// supervise moves one run.
func (e *Engine) supervise(ctx context.Context, runID int64, repair bool) (busy bool, err error) {
	snap, run, err := e.store.Snapshot(ctx, runID, store.Engine)
	if err != nil {
		return false, err
	}
	for _, a := range rotation.Advance(snap) {
		busy = true
		e.kick()
		if err := e.apply(ctx, snap, run, a); err != nil {
			return busy, err
		}
		e.kickNow() // one step makes room for the next
	}
	reading, err := e.readBound(ctx, snap)
	if err != nil {
		return true, err
	}
	// A walk takes what the app's own table was seen to have.
	if run.WalkDoneAt == nil && (snap.Bound.Table == "" || snap.Bound.Read) {
		if err := e.walkMore(ctx, run, repair); err != nil {
			return true, err
		}
	}
	if run.Held != rotation.HeldNot {
		return false, nil
	}
	busy = busy || reading
	switch run.Phase {
	case rotation.PhaseExchanging:
		open := snap.Counts.Open() > 0
		return busy || open, errors.Join(e.dispatch(ctx, run), e.repair(ctx, run, repair))
	case rotation.PhaseDeriving, rotation.PhaseDerived, rotation.PhaseChecked, rotation.PhaseCutover:
		working, err := e.superviseMigration(ctx, snap, run, repair)
		return busy || working, err
	case rotation.PhaseRevoked, rotation.PhaseWebhooksSingle:
		// In the latter a late token can ask for one more look.
		if !snap.Revocation.Done() {
			return true, e.checkMore(ctx, snap, repair)
		}
	}
	return busy || run.WalkDoneAt == nil, nil
}

// apply carries out one action, in a transaction fenced by what was seen. It is
// logged once that is committed: an action that failed is decided on again.
func (e *Engine) apply(ctx context.Context, snap rotation.Snapshot, run store.Run, a rotation.Action) error {
	if a.Enter == rotation.PhaseRevoked || a.Hold != "" {
		return e.decideAgain(ctx, run, a)
	}
	done := func() {}
	err := e.store.InTx(ctx, func(tx *store.Tx) (err error) {
		done, err = e.carryOut(ctx, tx, snap, run, a)
		return err
	})
	if err == nil {
		done()
	}
	return err
}

// decideAgain is apply, decided again under the run's lock, for a phase that there is
// no way back from and for a hold, which only an operator ends: one may have opened a
// shop again meanwhile, or ended that very hold.
func (e *Engine) decideAgain(ctx context.Context, run store.Run, a rotation.Action) error {
	detail := store.Engine
	if a.Enter != "" {
		detail = store.Counted
	}
	done := func() {}
	err := e.store.InRunAt(ctx, run.ID, detail, func(tx *store.Tx, snap rotation.Snapshot, run store.Run) (err error) {
		for _, still := range rotation.Advance(snap) {
			if still.Enter == a.Enter && still.Hold == a.Hold {
				done, err = e.carryOut(ctx, tx, snap, run, still)
				return err
			}
		}
		return fmt.Errorf("%s: what it was decided on has changed: %w", a.Why, store.ErrConflict)
	})
	if err == nil {
		done()
	}
	return err
}

// carryOut does what an action says. done logs it.
func (e *Engine) carryOut(ctx context.Context, tx *store.Tx, snap rotation.Snapshot, run store.Run, a rotation.Action) (done func(), err error) {
	done = func() {}
	switch {
	case a.Enter != "":
		done = func() { e.log.Info("phase", "run", run.ID, "phase", a.Enter, "why", a.Why) }
		return done, tx.EnterPhase(ctx, store.ActorEngine, run, a.Enter, rotation.Gate(snap))
	case a.Hold != "":
		held, err := tx.Hold(ctx, store.ActorEngine, run.ID, a.Hold, a.Why)
		if err != nil || !held {
			return done, err
		}
		done = func() { e.log.Warn("run held", "run", run.ID, "held", a.Hold, "why", a.Why) }
		if a.Judge != nil {
			return done, tx.SaveVerdict(ctx, run.ID, *a.Judge)
		}
		return done, nil
	case a.Resume:
		done = func() { e.log.Info("run resumed", "run", run.ID, "was", run.Held, "why", a.Why) }
		return done, tx.Resume(ctx, store.ActorEngine, run)
	case a.Judge != nil:
		done = func() { e.log.Info("judged", "run", run.ID, "verdict", a.Judge.Words) }
		return done, tx.SaveVerdict(ctx, run.ID, *a.Judge)
	case a.Settle != 0:
		return done, tx.SettleWave(ctx, run.ID, a.Settle)
	case a.Release != 0:
		grants, err := tx.ReleaseWave(ctx, run.ID, a.Release, a.Why)
		if err != nil {
			return done, err
		}
		done = func() { e.log.Info("wave released", "run", run.ID, "wave", a.Release, "batches", len(grants)) }
		return done, e.insertBatches(ctx, tx, run, grants)
	case a.Sweep:
		return done, tx.Sweep(ctx, run)
	case a.Certify:
		return done, tx.Certify(ctx, store.ActorEngine, run, rotation.Certify(snap))
	}
	return done, nil
}

// dispatch gives a job to every shop whose next attempt is due.
func (e *Engine) dispatch(ctx context.Context, run store.Run) error {
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		due, err := tx.DispatchDue(ctx, run.ID, dispatchMost, dispatchLease)
		if err != nil || len(due) == 0 {
			return err
		}
		jobs := make([]river.InsertManyParams, len(due))
		for i, d := range due {
			jobs[i].Args = ItemArgs{Run: d.RunID, Position: d.Position, Attempt: d.Attempt}
		}
		_, err = e.river.InsertManyFastTx(ctx, tx.Pgx(), jobs)
		return err
	})
}

// repair finds batches and single shops that nobody works any more.
func (e *Engine) repair(ctx context.Context, run store.Run, due bool) error {
	if !due {
		return nil
	}
	return e.store.InTx(ctx, func(tx *store.Tx) error {
		// What a batch's jobs are to do depends on the phase.
		if err := tx.StayInPhase(ctx, run); err != nil {
			return err
		}
		if err := tx.FreeOrphans(ctx, run.ID, store.LiveWithin); err != nil {
			return err
		}
		if err := tx.HurryItems(ctx, run.ID, pausesMost); err != nil {
			return err
		}
		grants, err := tx.GrantOrphans(ctx, run.ID, store.LiveWithin, batchKind(run))
		if err != nil {
			return err
		}
		return e.insertBatches(ctx, tx, run, grants)
	})
}

func (e *Engine) insertBatches(ctx context.Context, tx *store.Tx, run store.Run, grants []store.Grant) error {
	if len(grants) == 0 {
		return nil
	}
	// Jobs are fetched in the order of their insertion: the important shops first.
	slices.SortFunc(grants, func(a, b store.Grant) int { return cmp.Compare(a.Number, b.Number) })
	jobs := make([]river.InsertManyParams, len(grants))
	for i, g := range grants {
		jobs[i].Args = batchArgs(run, g)
	}
	_, err := e.river.InsertManyFastTx(ctx, tx.Pgx(), jobs)
	return err
}

// stood is where runs were at the last repair. Each run has its own: of two that
// share one, each would look moved whenever it comes after the other.
type stood map[int64]int64

// still notes where a run is, and reports whether it was there before.
func (s stood) still(run, at int64) bool {
	was, seen := s[run]
	s[run] = at
	return seen && was == at
}

// walkMore makes sure that somebody walks: at first, and again when the cursor
// has not moved between two repairs. More walkers at once would only wait for
// each other.
func (e *Engine) walkMore(ctx context.Context, run store.Run, repair bool) error {
	if run.WalkCursor > 0 {
		if !repair {
			return nil
		}
		if !e.walked.still(run.ID, run.WalkCursor) {
			return nil
		}
	}
	_, err := e.river.Insert(ctx, WalkArgs{Run: run.ID, Cursor: run.WalkCursor}, nil)
	return err
}

// checkMore makes sure that somebody looks at the tokens after the revoke: once
// at first, and again when the count has not moved between two repairs.
func (e *Engine) checkMore(ctx context.Context, snap rotation.Snapshot, repair bool) error {
	done := snap.Revocation.OldDead + snap.Revocation.OldAlive
	if done > 0 {
		if !repair {
			return nil
		}
		if !e.checked.still(snap.RunID, int64(done)) {
			return nil
		}
	}
	_, err := e.river.Insert(ctx, CheckArgs{Run: snap.RunID, Done: done}, nil)
	return err
}
