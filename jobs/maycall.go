package jobs

import (
	"errors"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// Reasons why no call may begin now. They end an attempt without an outcome of
// the shop's: the item goes back to where it was.
var (
	errHeld      = errors.New("the run is held")
	errPhase     = errors.New("the run is in another phase")
	errWindow    = errors.New("too little of the window is left")
	errLease     = errors.New("the database has not heard of this worker for too long")
	errLate      = errors.New("its turn did not come in time")
	errStoring   = errors.New("the database takes no writes at the moment")
	errDraining  = errors.New("the worker is stopping")
	errNotStored = errors.New("the database did not take its derived token; a worker's log says why")
	errExcluded  = errors.New("the shop was excluded meanwhile")
)

// windowMargin is added to the 99th percentile of a call when judging whether
// one more can end inside the window: time to commit its answer.
const windowMargin = 2 * time.Second

// A shop that fails is tried about windowTries times more before the window
// ends, with a pause of leastPause at least.
const (
	windowTries = 10
	leastPause  = 500 * time.Millisecond
)

// mayCall tells why no call of the run may begin now, nil if one may. exchange
// tells that the call uses the refresh token.
func (r *runState) mayCall(exchange bool, p99 time.Duration) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch {
	case r.tripped || r.control.Held != rotation.HeldNot:
		return errHeld
	case !calling(r.control.Phase):
		return errPhase
	case exchange && (r.control.RefreshTokenID == 0 || r.control.Refused):
		return errWindow
	case exchange && !rotation.MayBegin(time.Until(r.windowEnds), p99, windowMargin):
		return errWindow
	}
	return nil
}

// inWindow shortens a pause so that several tries fit what is left of the
// refresh token's life, if that is what counts.
func (r *runState) inWindow(pause time.Duration) time.Duration {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.control.RefreshTokenID == 0 || r.control.Phase != rotation.PhaseExchanging {
		return pause
	}
	return min(pause, max(time.Until(r.windowEnds)/windowTries, leastPause))
}

// calling reports whether workers have something to do in the phase.
func calling(p rotation.Phase) bool {
	switch p {
	case rotation.PhaseExchanging, rotation.PhaseRevoked, rotation.PhaseWebhooksSingle,
		rotation.PhaseDeriving, rotation.PhaseDerived, rotation.PhaseChecked, rotation.PhaseCutover:
		return true
	}
	return false
}

// mayCall tells why no call of the run may begin, after a pause; nil if it may.
func (e *Engine) mayCall(r *runState, exchange bool, pause time.Duration) error {
	switch {
	case e.draining.Load():
		return errDraining
	case !e.leased():
		return errLease
	}
	return r.mayCall(exchange, e.pace.P99()+pause)
}
