package jobs

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

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
