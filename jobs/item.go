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
	run, stopped, err := e.enter(ctx, job.Args.Run)
	switch {
	case err != nil, run == nil:
		return err
	case stopped != nil:
		return e.store.Postpone(ctx, job.Args.due(), postponeBy)
	}
	begin := time.Now()
	claim, err := e.store.ClaimDue(ctx, job.Args.due(), e.id, itemLease)
	if errors.Is(err, store.ErrNotFound) {
		return nil // claimed or settled since
	}
	if err != nil {
		return err
	}
	ended := make(chan struct{})
	a := attempt{engine: e, run: run, claim: claim, until: begin.Add(jobTimeout), ended: func() { close(ended) }}
	a.begin()
	<-ended
	return nil
}
