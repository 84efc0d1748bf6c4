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

// Trip closes a run here, as its breaker does; save tells the database.
func (e *Engine) Trip(ctx context.Context, runID int64, t rotation.Trip) (save func(), err error) {
	r, err := e.run(ctx, runID)
	if err != nil {
		return nil, err
	}
	r.trip(t)
	return func() { e.saveTrip(ctx, r) }, nil
}

// MayCall tells why no call of a run may begin here, as of a look at the database.
func (e *Engine) MayCall(ctx context.Context, runID int64) error {
	r, err := e.run(ctx, runID)
	if err != nil {
		return err
	}
	return r.mayCall(false, 0)
}
