package operate

import (
	"context"
	"errors"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// onOpen is for what can be decided without counting a shop, so that nothing which
// looks at every one keeps the run locked.
func (o Operator) onOpen(ctx context.Context, runID int64, what string, fn func(*store.Tx, store.Run, rotation.Snapshot) error) error {
	return o.inRun(ctx, runID, store.Uncounted, func(tx *store.Tx, snap rotation.Snapshot, run store.Run) error {
		if !run.Open() {
			return refuse(what, "the run is over", snap)
		}
		return fn(tx, run, snap)
	})
}

// inRun decides under the run's lock. A refusal names the next step, which takes
// everything into account: it is decided again on all there is.
func (o Operator) inRun(ctx context.Context, runID int64, detail store.Detail, fn func(*store.Tx, rotation.Snapshot, store.Run) error) error {
	return countIfRefused(detail, func(d store.Detail) (phase rotation.Phase, err error) {
		err = o.Store.InRunAt(ctx, runID, d, func(tx *store.Tx, snap rotation.Snapshot, run store.Run) error {
			phase = run.Phase
			return fn(tx, snap, run)
		})
		return phase, err
	})
}

// look is inRun without the lock, for what is only asked before.
func (o Operator) look(ctx context.Context, runID int64, detail store.Detail, fn func(rotation.Snapshot, store.Run) error) error {
	return countIfRefused(detail, func(d store.Detail) (rotation.Phase, error) {
		snap, run, err := o.Store.Snapshot(ctx, runID, d)
		if err == nil {
			err = fn(snap, run)
		}
		return run.Phase, err
	})
}

func countIfRefused(detail store.Detail, decide func(store.Detail) (rotation.Phase, error)) error {
	phase, err := decide(detail)
	var refused *Refused
	if counted := detail == store.Gated && rotation.GateCounts(phase); errors.As(err, &refused) && !counted {
		_, err = decide(store.Counted)
	}
	return err
}
