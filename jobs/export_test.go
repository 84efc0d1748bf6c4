package jobs

import (
	"context"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// RepairAsSeen repairs a run as a look did that has seen it earlier.
func (e *Engine) RepairAsSeen(ctx context.Context, run store.Run) error {
	return e.repair(ctx, run, true)
}

// ApplyAsSeen does what was decided on an earlier look.
func (e *Engine) ApplyAsSeen(ctx context.Context, snap rotation.Snapshot, run store.Run) error {
	for _, a := range rotation.Advance(snap) {
		if err := e.apply(ctx, snap, run, a); err != nil {
			return err
		}
	}
	return nil
}
