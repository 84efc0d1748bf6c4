package jobs

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// roomLook is how often a batch looks whether there is room for its next shop.
const roomLook = 20 * time.Millisecond

// batchWorker works what is still open in one batch: running it again, at any
// time and anywhere, is harmless.
type batchWorker struct {
	river.WorkerDefaults[BatchArgs]
	engine *Engine
}

// Timeout implements river.Worker.
func (*batchWorker) Timeout(*river.Job[BatchArgs]) time.Duration { return batchTimeout }

// Work implements river.Worker.
func (w *batchWorker) Work(ctx context.Context, job *river.Job[BatchArgs]) error {
	e := w.engine
	run, stopped, err := e.enter(ctx, job.Args.Run)
	switch {
	case err != nil, run == nil:
		return err
	case stopped != nil:
		return e.later() // not taken: whoever resumes the run grants it anew
	}
	lease, err := e.store.TakeBatch(ctx, job.Args.grant(), e.id)
	if errors.Is(err, store.ErrConflict) {
		return nil // superseded or settled
	}
	if err != nil {
		e.holdIfUnstorable(ctx, run, err)
		return err
	}
	working, all, stopped, err := e.handOut(ctx, run, lease)
	if all {
		end := func() {
			working.Wait()
			e.endTail(context.WithoutCancel(ctx), run, lease)
		}
		if e.store.HandOutBatch(ctx, lease) == nil {
			// One late answer must not keep the next batch from being handed out.
			e.tails.Go(end)
		} else {
			end() // it may be noted all the same: then no job can be tried again
		}
		return nil
	}
	working.Wait()
	settled := false
	if err == nil {
		settled, err = e.settle(ctx, lease)
	}
	if settled {
		return err
	}
	// Left in order, whatever ended the job, what was not sent is not taken for
	// unknown.
	if err := errors.Join(err, e.store.LeaveBatch(context.WithoutCancel(ctx), lease)); err != nil {
		e.holdIfUnstorable(ctx, run, err)
		return err
	}
	if stopped == nil && run.view().Kind == rotation.KindRotation {
		// What was given back for want of time would only be taken and left again.
		stopped = e.mayCall(run, true, 0)
	}
	if stopped == nil { // only the budget was used up
		return river.JobSnooze(0)
	}
	return e.later()
}

func (e *Engine) settle(ctx context.Context, lease store.Lease) (settled bool, err error) {
	settled, last, err := e.store.SettleBatch(ctx, lease)
	if last {
		e.kickNow()
	}
	if settled {
		e.kick()
	}
	return settled, err
}

// endTail settles or leaves a batch that was handed out. No job of it could be
// tried again, so it goes on until the database has taken it.
func (e *Engine) endTail(ctx context.Context, run *runState, lease store.Lease) {
	for failing := false; ; failing = true {
		settled, err := e.settle(ctx, lease)
		if settled {
			return
		}
		left := e.store.LeaveBatch(ctx, lease)
		if left == nil {
			if e.mayCall(run, run.view().Kind == rotation.KindRotation, 0) == nil {
				e.resumed.Store(true) // the supervisor grants it anew
				e.kickNow()
			}
			return
		}
		e.holdIfUnstorable(ctx, run, left)
		if store.Unstorable(left) != "" && e.draining.Load() {
			return // others take it over, once somebody mended the database
		}
		if !failing {
			e.log.Warn("cannot end a batch; trying until the database is back", "run", run.id, "batch", lease.Number, "error", errors.Join(err, left))
		}
		if e.gaveUp.Load() {
			return // others take it over
		}
		time.Sleep(flushRetryMax)
	}
}

// handOut claims shops and gets them under way until none is left (then all is
// true), the budget is used up, or no call may be made (stopped tells why). It
// does not wait for those under way: working does.
func (e *Engine) handOut(ctx context.Context, run *runState, lease store.Lease) (working *sync.WaitGroup, all bool, stopped, err error) {
	working = new(sync.WaitGroup)
	end := time.Now().Add(batchBudget)
	stopped, err = e.claimAll(ctx, run, lease, end, func(c store.Claim) {
		working.Add(1)
		// While the wire variant is unknown the first shop that is exchanged finds
		// it, the next one only if that shop cannot.
		var ended chan struct{}
		if run.probing() && c.New.IsZero() && c.SecretID != run.view().NewSecretID {
			ended = make(chan struct{})
		}
		a := attempt{engine: e, run: run, claim: c, until: end.Add(batchPatience), ended: func() {
			e.crew.leave()
			working.Done()
			if ended != nil {
				close(ended)
			}
		}}
		e.crew.enter(a.at())
		a.begin()
		if ended != nil {
			select {
			case <-ended:
			case <-run.found:
			}
		}
	})
	return working, err == nil && stopped == nil && time.Now().Before(end), stopped, err
}

// claimAll claims in order, a chunk ahead of the calls, and begins none after end.
func (e *Engine) claimAll(ctx context.Context, run *runState, lease store.Lease, end time.Time, work func(store.Claim)) (stopped, err error) {
	from := lease.First
	for from <= lease.Last && time.Now().Before(end) {
		if stopped := e.mayCall(run, false, 0); stopped != nil {
			return stopped, nil
		}
		if !e.roomFor(run, end) {
			continue
		}
		chunk, err := e.store.ClaimBatch(ctx, lease, from, run.rate.Few(claimChunk), e.id)
		if err != nil || len(chunk) == 0 {
			return nil, err
		}
		// The statement returns them in any order.
		slices.SortFunc(chunk, func(a, b store.Claim) int { return cmp.Compare(a.Position, b.Position) })
		for _, c := range chunk {
			from = max(from, c.Position+1)
			// Pending shops go back with the batch; others were claimed for good.
			if c.Fence == 0 || e.roomFor(run, end) {
				work(c)
			}
		}
	}
	return nil, nil
}

// roomFor waits until the run's caps let another shop be begun soon, and reports
// false if that is not before end, or no call may be made any more.
func (e *Engine) roomFor(run *runState, end time.Time) bool {
	for run.rate.Full(int(run.begun.Load())) || run.calls.Full(int(run.begun.Load())) {
		if !time.Now().Before(end) || e.mayCall(run, false, 0) != nil {
			return false
		}
		time.Sleep(roomLook)
	}
	return time.Now().Before(end)
}
