package main

import (
	"context"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// foresee replaces the estimate while waves are still to be released: the first
// are small on purpose, and their speed says nothing of the last. It reckons as
// a plan does, with the latency of the first wave's own calls.
func (st *runStatus) foresee(ctx context.Context, s *store.Store, snap rotation.Snapshot, run store.Run) error {
	working := st.Phase == rotation.PhaseExchanging && st.State == runOpen && st.Held == nil && len(st.Workers) > 0
	if !working || len(snap.Waves) == 0 || rotation.InFullSwing(snap.Waves) {
		return nil
	}
	latency, err := s.CallLatency(ctx, run.ID, snap.Waves[0].Range)
	if err != nil {
		return err
	}
	if latency == 0 {
		st.ETA = statusETA{} // nobody knows yet
		return nil
	}
	o := operate.PlanOptions{InFlight: run.Settings.InFlight, Expected: expectedOfRun(snap, run)}
	load := o.Load(operate.Plan{Shops: st.Items.Open(), Workers: len(st.Workers)}, latency)
	e := rotation.Foresee(load).Estimate()
	p50, p90 := st.At.Add(e.P50), st.At.Add(e.P90)
	fits := e.P90 <= snap.Window.Left(snap.Now)
	st.ETA = statusETA{P50: &p50, P90: &p90, FitsWindow: &fits}
	return nil
}
