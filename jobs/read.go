package jobs

import (
	"context"
	"errors"

	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// readWorker reads the app's own table for a run: before the walk, once all is
// settled, and from time to time while a proven run waits. Stopped anywhere it
// has stored nothing, and is due again.
type readWorker struct {
	river.WorkerDefaults[ReadArgs]
	engine *Engine
}

// Work implements river.Worker.
func (w *readWorker) Work(ctx context.Context, job *river.Job[ReadArgs]) error {
	e := w.engine
	run, err := e.run(ctx, job.Args.Run)
	if errors.Is(err, store.ErrNotFound) {
		return nil // closed or cancelled
	}
	if err != nil {
		return err
	}
	reading, err := e.store.SyncBound(ctx, run.app)
	var fault *store.BoundFault
	switch {
	case errors.Is(err, store.ErrNotBound):
		return nil // unbound since
	case errors.As(err, &fault) && !fault.Busy:
		// It does not pass by itself: a person must mend it.
		return e.store.InTx(ctx, func(tx *store.Tx) error {
			held, err := tx.Hold(ctx, store.ActorEngine, run.id, rotation.HeldWaiting, fault.Error())
			if held {
				e.log.Warn("run held", "run", run.id, "held", rotation.HeldWaiting, "why", fault.Error())
			}
			return err
		})
	case err != nil:
		return err
	}
	e.log.Info("bound table read", "run", run.id, "rows", reading.Rows, "added", reading.Added, "updated", reading.Updated,
		"left", reading.Left, "restored", reading.Restored, "bad", reading.Bad, "duplicates", reading.Duplicates)
	e.kick()
	return nil
}

// readBound makes sure that somebody reads the app's own table when that is due.
func (e *Engine) readBound(ctx context.Context, snap rotation.Snapshot) (reading bool, err error) {
	if !snap.Bound.Due || snap.Held != rotation.HeldNot {
		return false, nil
	}
	_, err = e.river.Insert(ctx, ReadArgs{Run: snap.RunID}, nil)
	return true, err
}
