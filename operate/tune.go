package operate

import (
	"context"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Tuning is what may change while a run works; what is not set stays.
type Tuning struct {
	// InFlight caps the calls in flight of all workers together; 0 leaves it.
	InFlight int
	// Rate caps their calls per second; 0 lifts the cap.
	Rate *float64
	// Headroom is the percentage of each shop's bucket left to the app.
	Headroom *int
	// WaiveDeliveries gives up that the run waits for the app's
	// acknowledgements. It cannot be taken back: tokens may have been swapped that
	// the app is not told of.
	WaiveDeliveries bool
}

// Tune changes the run's cap on calls in flight; workers see it within a second.
func (o Operator) Tune(ctx context.Context, runID int64, inflight int) error {
	return o.TuneWith(ctx, runID, Tuning{InFlight: inflight})
}

// TuneWith changes the run's pace; workers see it within a second.
func (o Operator) TuneWith(ctx context.Context, runID int64, t Tuning) error {
	return o.onOpen(ctx, runID, "tune", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		override(&run.Settings.InFlight, t.InFlight)
		run.Settings.RequireDelivery = run.Settings.RequireDelivery && !t.WaiveDeliveries
		pace(&run.Settings.Pacing, t.Rate, t.Headroom)
		if err := tx.SaveSettings(ctx, o.Actor, run); err != nil {
			return err
		}
		return o.rejudge(ctx, tx, run, snap)
	})
}

// rejudge lets a run go on that was held because it did not fit: a worker judges
// it again by what was changed, and holds it again if it still does not.
func (o Operator) rejudge(ctx context.Context, tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
	if !rotation.VerdictIsWhy(snap) {
		return nil
	}
	return tx.Resume(ctx, o.Actor, run)
}

// pace changes what is set.
func pace(p *store.Pacing, rate *float64, headroom *int) {
	if rate != nil {
		p.Rate = *rate
	}
	if headroom != nil {
		p.Headroom = headroom
	}
}
