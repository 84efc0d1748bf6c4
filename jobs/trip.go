package jobs

import (
	"context"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// trip is the breaker's decision with what it was taken on.
type trip struct {
	rotation.Trip
	// refreshID is the refresh token that was refused, for ClassWindow.
	refreshID int64
	// at is when it was taken: the database may be away.
	at time.Time
}

// observe feeds the breaker and reports a trip once. only tells that the shop is
// the only one to judge the shared credentials by; see onlyRefused.
func (r *runState) observe(c rotation.Class, shop, detail string, refreshID int64, only bool) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tripped || c.StopsRun() && shop == r.refused && !only {
		return false
	}
	if c.StopsRun() {
		r.refused = shop
	}
	t, tripped := r.breaker.Observe(c)
	if !tripped {
		return false
	}
	if detail != "" {
		t.Why += ": " + detail
	}
	if only {
		t.Why += "; if it is this shop alone, `rotator rotation waive " + shop + " --reason …` lets the others be tried"
	}
	r.tripped, r.unsaved = true, &trip{Trip: t, refreshID: refreshID, at: time.Now()}
	return true
}

// trip closes the run here until the hold is saved and ended. first is false for a
// run that is closed already, for another to save.
func (r *runState) trip(t rotation.Trip) (first bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.tripped {
		return false
	}
	r.tripped, r.unsaved = true, &trip{Trip: t, at: time.Now()}
	return true
}

// refusedLast reports whether the breaker counted a refusal of the shop last.
func (r *runState) refusedLast(shop string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.refused == shop
}

// saveTrip holds the run in the database. Should that fail, the run stays
// closed here and the supervisor tries again.
func (e *Engine) saveTrip(ctx context.Context, r *runState) {
	r.mu.Lock()
	t := r.unsaved
	r.mu.Unlock()
	if t == nil {
		return
	}
	ago := time.Since(t.at)
	var held bool
	err := e.store.InTx(ctx, func(tx *store.Tx) (err error) {
		if t.Class == rotation.ClassWindow {
			held, err = tx.RefuseRefreshToken(ctx, r.id, t.refreshID, t.Why)
		} else {
			held, err = tx.HoldFor(ctx, store.ActorEngine, r.id, t.Held, t.Why, ago)
		}
		return err
	})
	switch {
	case err != nil:
		e.loops.Warn("cannot hold the run yet; no call is made meanwhile", "run", r.id, "error", err)
		return
	case held:
		e.log.Warn("run held", "run", r.id, "held", t.Held, "why", t.Why)
	default:
		e.log.Warn("run not held by this worker: it is held or over already, or what stopped it was put right", "run", r.id, "held", t.Held, "why", t.Why)
	}
	r.mu.Lock()
	r.unsaved, r.savedAt = nil, time.Now()
	r.mu.Unlock()
}
