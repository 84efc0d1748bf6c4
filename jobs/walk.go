package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/store"
)

// walkPage shops enter the run in one transaction.
const walkPage = 5000

// walkWorker takes the fleet into a run. Stopped anywhere, the next walk goes
// on from the committed cursor.
type walkWorker struct {
	river.WorkerDefaults[WalkArgs]
	engine *Engine
}

// Work implements river.Worker.
func (w *walkWorker) Work(ctx context.Context, job *river.Job[WalkArgs]) error {
	for begin := time.Now(); ; {
		done, err := w.engine.store.WalkPage(ctx, job.Args.Run, walkPage)
		switch {
		case errors.Is(err, store.ErrConflict), errors.Is(err, store.ErrNotFound):
			return nil // another walker is at it, or the run is gone
		case err != nil:
			return err
		case done:
			w.engine.kick()
			return nil
		case w.engine.draining.Load(), time.Since(begin) > batchBudget:
			return river.JobSnooze(0)
		}
	}
}
