package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
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

// trip is the breaker's decision with what it was taken on.
type trip struct {
	rotation.Trip
	// refreshID is the refresh token that was refused, for ClassWindow.
	refreshID int64
	// at is when it was taken: the database may be away.
	at time.Time
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

// credentials are what an exchange is made with.
type credentials struct {
	secret, refresh secret.String
	accepted
}

// credentials unseals the new secret and the newest refresh token, once each.
func (r *runState) credentials(ctx context.Context, s *store.Store) (credentials, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.control
	if r.secretID != c.NewSecretID {
		v, err := s.SecretValue(ctx, c.NewSecretID)
		if err != nil {
			return credentials{}, err
		}
		r.secret, r.secretID = v, c.NewSecretID
	}
	if r.refreshID != c.RefreshTokenID {
		v, err := s.RefreshTokenValue(ctx, c.RefreshTokenID)
		if err != nil {
			return credentials{}, err
		}
		r.refresh, r.refreshID = v, c.RefreshTokenID
	}
	return credentials{secret: r.secret, refresh: r.refresh, accepted: accepted{r.secretID, r.refreshID}}, nil
}

// runs are the open runs that this process knows.
type runs struct {
	mu   sync.Mutex
	open map[int64]*runState
	// left are those that it cannot work, and why.
	left map[int64]error
	// opened tells that there is another.
	opened chan struct{}
	// turn is held by the job that looks for all who wait for it. The last look began
	// at lookedAt and failed with failed; what is known is of the one of seenAt.
	turn             chan struct{}
	lookedAt, seenAt time.Time
	failed           error
}

func newRuns() runs {
	return runs{open: map[int64]*runState{}, left: map[int64]error{}, opened: make(chan struct{}, 1), turn: make(chan struct{}, 1)}
}

// unworkable tells why runs are left, nil if none is.
func (r *runs) unworkable() error {
	r.mu.Lock()
	defer r.mu.Unlock()
	return errors.Join(slices.Collect(maps.Values(r.left))...)
}

func (r *runs) ids() []int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Collect(maps.Keys(r.open))
}

// run returns the run's state as it is now: nil for one that is closed or cancelled.
// What sends a job is often a change that this process has not seen yet. Jobs that
// begin together look once.
func (e *Engine) run(ctx context.Context, id int64) (*runState, error) {
	asked := time.Now()
	select {
	case e.runs.turn <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	defer func() { <-e.runs.turn }()
	e.runs.mu.Lock()
	looked, err := e.runs.lookedAt.After(asked), e.runs.failed
	e.runs.mu.Unlock()
	if !looked {
		err = e.refreshControls(ctx)
	}
	if err != nil {
		return nil, err
	}
	e.runs.mu.Lock()
	defer e.runs.mu.Unlock()
	if err := e.runs.left[id]; err != nil {
		return nil, err
	}
	return e.runs.open[id], nil
}

// refreshControls reads what may be done now and tells which runs were resumed
// since the last time.
func (e *Engine) refreshControls(ctx context.Context) error {
	began := time.Now()
	controls, err := e.store.Controls(ctx)
	at := time.Now()
	e.runs.mu.Lock()
	defer e.runs.mu.Unlock()
	if err == nil && !began.Before(e.runs.seenAt) {
		e.runs.seenAt = began
		// One job's time may be up, of which the others' runs know nothing.
		e.take(context.WithoutCancel(ctx), controls, began, at)
	}
	if began.After(e.runs.lookedAt) && ctx.Err() == nil {
		e.runs.lookedAt, e.runs.failed = began, err
	}
	return err
}

// take takes controls that were read between began and at, of one run whatever
// becomes of another's. The runs are locked.
func (e *Engine) take(ctx context.Context, controls []store.Control, began, at time.Time) {
	seen := make(map[int64]bool, len(controls))
	shares, share := make(map[*runState]int, len(controls)), 0
	for _, c := range controls {
		seen[c.RunID] = true
		r, err := e.known(ctx, c)
		e.leave(c, err)
		if r == nil {
			continue
		}
		changed, resumed := r.update(c, began, at)
		if resumed {
			e.resumed.Store(true)
		}
		if changed || resumed {
			e.kickNow()
		}
		shares[r] = max(1, c.Settings.InFlight/max(1, c.Workers))
		share += shares[r]
		r.rate.Set(c.Settings.Rate / float64(max(1, c.Workers)))
	}
	for r, share := range shares {
		if len(shares) == 1 {
			share = 0 // the pace's cap is the run's
		}
		r.calls.Set(share)
	}
	if share > 0 {
		e.pace.SetCap(min(e.inflight, share))
		e.shared.Store(share <= e.inflight)
	}
	maps.DeleteFunc(e.runs.left, func(id int64, _ error) bool { return !seen[id] })
	for id, r := range e.runs.open {
		if !seen[id] {
			r.end()
			delete(e.runs.open, id)
		}
	}
}

// leave notes why a run cannot be worked here for now, nil if it can be. That keeps
// no other from being worked, and is said once.
func (e *Engine) leave(c store.Control, err error) {
	if err == nil {
		delete(e.runs.left, c.RunID)
		return
	}
	if e.runs.left[c.RunID] == nil {
		e.log.Error("cannot work a run", "run", c.RunID, "error", err)
	}
	e.runs.left[c.RunID] = err
}

// known is the state of the run, nil for none. An error means that the app's settings
// of now are not taken up.
func (e *Engine) known(ctx context.Context, c store.Control) (*runState, error) {
	r := e.runs.open[c.RunID]
	if r == nil {
		var err error
		if r, err = e.open(ctx, c); err != nil {
			return nil, err
		}
		e.runs.open[c.RunID] = r
		knock(e.runs.opened)
	}
	app, resumes := r.ofApp(), c.Held == rotation.HeldNot && errors.Is(r.mayCall(false, 0), errHeld)
	if resumes || e.runs.left[c.RunID] != nil || app.ClientID != c.ClientID || app.Settings.APIURL != c.APIURL {
		return r, e.reloadApp(ctx, r, c)
	}
	return r, nil
}

// open makes the state of a run.
func (e *Engine) open(ctx context.Context, c store.Control) (*runState, error) {
	app, err := e.store.AppByID(ctx, c.AppID)
	if err != nil {
		return nil, err
	}
	client, err := e.client(app, c.Settings)
	if err != nil {
		return nil, fmt.Errorf("prepare the client of app %s: %w", app.Name, err)
	}
	return &runState{
		id: c.RunID, appID: app.ID, app: app, client: client, breaker: rotation.NewBreaker(), configured: wireOf(c),
		control: &store.Control{}, probeTurn: make(chan struct{}, 1), found: make(chan struct{}), hints: &haravan.Hints{},
	}, nil
}

// reloadApp takes up a client id or a URL that was corrected. A resume may be seen
// where its hold was not, so that these are compared at every look.
func (e *Engine) reloadApp(ctx context.Context, r *runState, c store.Control) error {
	app, err := e.store.AppByID(ctx, c.AppID)
	if err != nil {
		return err
	}
	var client *haravan.Client
	if app.Settings.APIURL != r.ofApp().Settings.APIURL {
		if client, err = e.client(app, c.Settings); err != nil {
			// Other runs, and the heartbeat, need the controls all the same.
			e.quietly(ctx, "cannot take up the app's URL", err)
			return nil
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.app = app
	if client != nil {
		r.client.CloseIdle()
		r.client = client
	}
	return nil
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
