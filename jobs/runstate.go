package jobs

import (
	"encoding/json"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// runState is what this process knows about one open run.
type runState struct {
	id, appID int64

	rate  callRate
	calls callCap
	// begun counts shops that no hand has come to yet.
	begun atomic.Int64
	burn  burnLog // the supervisor's

	mu     sync.Mutex
	app    store.App
	client *haravan.Client
	// control is replaced, never changed: whoever has it may go on reading. It was
	// read from readAt on.
	control *store.Control
	readAt  time.Time
	// windowEnds is by this machine's monotonic clock, computed from the time
	// left by the database's clock, so that a wrong clock here does not matter.
	windowEnds time.Time
	secretID   int64
	secret     secret.String
	refreshID  int64
	refresh    secret.String
	breaker    *rotation.Breaker
	// tripped closes the run here at once. It opens again when a look at the
	// database, begun after the hold was committed at savedAt, finds none.
	tripped bool
	savedAt time.Time
	// unsaved is a trip that the database does not know yet.
	unsaved *trip
	// acceptedIn is the phase in which the platform accepted a derived token, and
	// refusals are the shops whose was refused before that.
	acceptedIn rotation.Phase
	refusals   map[string]bool
	// tableBusy counts how often in a row the app's own table was locked.
	tableBusy atomic.Int32
	// rows are the shops whose row in the app's own table refused its token.
	rows     map[string]bool
	unstored unstored
	// refused is the shop whose refusal the breaker counted last: one shop that
	// is refused again and again is that shop's matter, unless it is the only one
	// that was tried (onlyRefused).
	refused string
	// accepted are the credentials that the platform last made a token with;
	// askedAt is when the database was last asked whether it did elsewhere.
	accepted accepted
	askedAt  time.Time
	// configured is how the run was started to spell its exchanges, nil for the
	// client's own way; pinned what the probe found here.
	configured *haravan.Wire
	pinned     *pin
	// probeTurn is held by the one attempt that exchanges while the wire variant is
	// not pinned yet; hints is what such attempts learned with the credentials of now.
	// found is closed once it is. Who has the turn knows by probeHeld whether the
	// database may still count it as this worker's.
	probeTurn, found chan struct{}
	probeHeld        bool
	hints            *haravan.Hints
	// polledAt is when this process last thought of the app's health, under the
	// lock of runs.
	polledAt time.Time
}

// update takes controls that were read between began and at. changed reports
// that the run is in another phase or has another refresh token, resumed that it
// goes on after a hold.
func (r *runState) update(c store.Control, began, at time.Time) (changed, resumed bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if began.Before(r.readAt) {
		return false, false // overtaken by a later look
	}
	r.readAt = began
	was := r.control
	changed = was.Phase != c.Phase || was.RefreshTokenID != c.RefreshTokenID
	r.control, r.windowEnds = &c, at.Add(c.WindowLeft)
	if was.Settings.WireProbe && !c.Settings.WireProbe {
		r.configured, r.pinned = wireOf(c), nil
		r.noteFound()
	}
	if c.Held == rotation.HeldNot {
		resumed = was.Held != rotation.HeldNot
		if r.tripped && r.unsaved == nil && began.After(r.savedAt) {
			r.tripped, resumed = false, true
			r.breaker = rotation.NewBreaker()
		}
	}
	if resumed {
		r.unstored.forget()
	}
	if resumed || was.NewSecretID != c.NewSecretID || was.RefreshTokenID != c.RefreshTokenID {
		r.hints = &haravan.Hints{}
	}
	return changed, resumed
}

// end closes a run that is cancelled or closed, also for attempts that still
// hold it.
func (r *runState) end() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.tripped, r.refresh, r.secret = true, secret.String{}, secret.String{}
	r.client.CloseIdle()
}

// view is the run's control now.
func (r *runState) view() *store.Control {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.control
}

// excludes reports whether the shop was excluded since it may have been claimed.
func (r *runState) excludes(shopID int64) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Contains(r.control.Excluded, shopID)
}

// platform is the client that calls are made with.
func (r *runState) platform() *haravan.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.client
}

// ofApp is the app as it was last read.
func (r *runState) ofApp() store.App {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.app
}

// clientID is the app's.
func (r *runState) clientID() string { return r.ofApp().ClientID }

// wireOf is the wire variant in the run's settings, nil for none. One that
// cannot be read has failed the making of the run's client.
func wireOf(c store.Control) *haravan.Wire {
	var w haravan.Wire
	if len(c.Settings.Wire) == 0 || json.Unmarshal(c.Settings.Wire, &w) != nil {
		return nil
	}
	return &w
}
