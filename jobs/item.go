package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/store"
)

// postponeBy is when a shop is due again that could not be tried: a run that is
// held dispatches nothing, so it costs nothing either.
const postponeBy = time.Second

// itemWorker tries one shop again that left its batch.
type itemWorker struct {
	river.WorkerDefaults[ItemArgs]
	engine *Engine
}

// Work implements river.Worker.
func (w *itemWorker) Work(ctx context.Context, job *river.Job[ItemArgs]) error {
	e := w.engine
	run, err := e.run(ctx, job.Args.Run)
	if errors.Is(err, store.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if stopped, err := e.mayCallNow(ctx, run, false); err != nil {
		return err
	} else if stopped != nil {
		return e.store.Postpone(ctx, job.Args.due(), postponeBy)
	}
	claim, err := e.store.ClaimDue(ctx, job.Args.due(), e.id, itemLease)
	if errors.Is(err, store.ErrNotFound) {
		return nil // claimed or settled since
	}
	if err != nil {
		return err
	}
	a := attempt{engine: e, run: run, claim: claim}
	a.do(ctx)
	return nil
}
