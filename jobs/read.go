package jobs

import (
	"context"
	"errors"
	"time"

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

// Timeout implements river.Worker: a table of millions takes its time.
func (*readWorker) Timeout(*river.Job[ReadArgs]) time.Duration { return readTimeout }

// readTimeout only guards against a reading that hangs.
const readTimeout = 30 * time.Minute

// Work implements river.Worker.
func (w *readWorker) Work(ctx context.Context, job *river.Job[ReadArgs]) error {
	e := w.engine
	run, err := e.run(ctx, job.Args.Run)
	if err != nil || run == nil {
		return err
	}
	var seen time.Time
	if job.Args.Seen != 0 {
		seen = time.UnixMicro(job.Args.Seen)
	}
	ctx, stop := e.untilDraining(ctx)
	defer stop()
	reading, err := e.store.SyncBound(ctx, run.ofApp(), seen)
	var fault *store.BoundFault
	switch {
	case errors.Is(err, store.ErrNotBound), errors.Is(err, store.ErrConflict):
		return nil // unbound, or read since
	case err != nil && e.draining.Load():
		return river.JobSnooze(0) // for another worker
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
	args := ReadArgs{Run: snap.RunID}
	if !snap.Bound.ReadAt.IsZero() {
		args.Seen = snap.Bound.ReadAt.UnixMicro()
	}
	_, err = e.river.Insert(ctx, args, nil)
	return true, err
}

// untilDraining is a context for work that may be given up when the worker
// stops, because nothing of it would be lost.
func (e *Engine) untilDraining(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		for pause(ctx, controlEvery) == nil {
			if e.draining.Load() {
				cancel()
			}
		}
	}()
	return ctx, cancel
}
