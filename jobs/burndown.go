package jobs

import (
	"context"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// burnEvery is how often a run's speed is held against its window: looking
// counts every shop, once the run has a speed.
const burnEvery = 30 * time.Second

// burnLog tells, once and again when it changes, that a window ends before its
// shops do.
type burnLog struct {
	lookedAt time.Time
	seen     time.Time
	settled  int
	behind   bool
	late     int
}

// look compares two snapshots of a run. changed is false when there is nothing
// to say that was not said.
func (l *burnLog) look(s rotation.Snapshot) (b rotation.Burn, changed bool) {
	if !rotation.HasSpeed(s) {
		l.seen = time.Time{} // what was held or has just begun
		return b, false
	}
	since, settled := s.Now.Sub(l.seen).Seconds(), s.Counts.Settled()-l.settled
	first := l.seen.IsZero()
	l.seen, l.settled = s.Now, s.Counts.Settled()
	if first || since <= 0 {
		return b, false
	}
	b, _ = rotation.Burning(s, float64(settled)/since)
	switch {
	case b.Behind != l.behind:
	case b.Behind && (b.Late >= 2*l.late || b.Late*2 <= l.late):
	default:
		return b, false
	}
	l.behind, l.late = b.Behind, b.Late
	return b, true
}

// burnDown warns in the log of the run's oldest live worker.
func (e *Engine) burnDown(ctx context.Context, state *runState) error {
	l := &state.burn
	if time.Since(l.lookedAt) < burnEvery || state.view().Phase != rotation.PhaseExchanging {
		return nil
	}
	l.lookedAt = time.Now()
	workers, err := e.store.Workers(ctx)
	if err != nil || len(workers) == 0 || workers[0].ID != e.id {
		l.seen = time.Time{}
		return err
	}
	snap, _, err := e.store.Snapshot(ctx, state.id, store.Engine)
	if err == nil && rotation.HasSpeed(snap) {
		snap, _, err = e.store.Snapshot(ctx, state.id, store.Items)
	}
	if err != nil {
		return err
	}
	b, changed := l.look(snap)
	switch {
	case !changed:
	case b.Behind:
		e.log.Warn("the window ends before the shops do: raise what `rotator rotation status` says limits the speed, or have another refresh token ready",
			"run", state.id, "left", snap.Window.Left(snap.Now).Round(time.Second), "burn_down", b.Words())
	default:
		e.log.Info("the window is long enough again", "run", state.id, "left", snap.Window.Left(snap.Now).Round(time.Second), "burn_down", b.Words())
	}
	return nil
}
