package jobs

import (
	"sync/atomic"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// What limits the speed, as `status` names it; besides, the reasons for which a
// run is held.
const (
	reasonRamp      = "ramping up"
	reasonFleetCap  = "fleet cap"
	reasonWorkerCap = "worker cap"
	reason429       = "platform 429"
	reasonFailures  = "platform failures"
	reasonSlow      = "platform latency"
	reasonRate      = "rate cap"
	reasonShop      = "shop limit"
	reasonWindow    = "window"
	reasonDatabase  = rotation.ThrottledByDatabase
)

// waits adds up what attempts waited for since the last heartbeat.
type waits struct{ place, shop, commit waited }

type waited struct{ spent atomic.Int64 }

func (w *waited) add(d time.Duration)   { w.spent.Add(int64(d)) }
func (w *waited) since(begin time.Time) { w.add(time.Since(begin)) }
func (w *waited) taken() time.Duration  { return time.Duration(w.spent.Swap(0)) }
func (w *waits) taken() (p, s, c float64) {
	return w.place.taken().Seconds(), w.shop.taken().Seconds(), w.commit.taken().Seconds()
}

// throttledBy names what limits the speed now. over is the time since it was
// last asked.
func (e *Engine) throttledBy(p PaceState, over time.Duration) string {
	place, shop, commit := e.waits.taken()
	e.runs.mu.Lock()
	defer e.runs.mu.Unlock()
	reason := ""
	for _, r := range e.runs.open {
		c := r.view()
		switch {
		case c.Held != rotation.HeldNot:
			reason = string(c.Held)
		case c.Phase == rotation.PhaseExchanging && r.mayCall(true, e.pace.P99()) == errWindow:
			reason = reasonWindow
		case c.Phase != rotation.PhaseExchanging && c.Phase != rotation.PhaseCutover:
		case r.rate.Queued() > 0 && p.InFlight < p.Limit:
			reason = reasonRate
		case r.calls.Queued() > 0 && p.InFlight < p.Limit:
			reason = reasonFleetCap
		default:
			reason = e.slowest(p, over, place, shop, commit)
		}
	}
	if _, failing := e.flusher.Failing(); failing {
		return reasonDatabase
	}
	return reason
}

// slowest names what attempts waited for most. Every attempt waits a moment for
// its group to be committed; that only counts where nothing else keeps it.
func (e *Engine) slowest(p PaceState, over time.Duration, place, shop, commit float64) string {
	least := over.Seconds() / 2
	switch {
	case p.InFlight == 0 && place+shop+commit == 0:
		return "" // nothing to do here
	case shop > least && shop > place:
		return reasonShop
	case commit > least && commit > 4*place && p.InFlight < p.Limit:
		return reasonDatabase
	case p.Reason != reasonCap:
		return p.Reason
	case e.shared.Load():
		return reasonFleetCap
	}
	return reasonWorkerCap
}
