package jobs_test

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/jobs"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// rig is a fleet at a simulated platform, stored in a database of its own, and
// an operator who takes it through a rotation.
type rig struct {
	t   *testing.T
	ctx context.Context
	db  *storetest.DB
	sim *haravansim.Server
	app store.App
	op  operate.Operator
	run store.Run
	log *slog.Logger
	// inflight is the workers'.
	inflight int
}

func newRig(t *testing.T, o haravansim.Options) *rig {
	t.Helper()
	return rigOn(t, storetest.New(t), o)
}

func rigOn(t *testing.T, db *storetest.DB, o haravansim.Options) *rig {
	t.Helper()
	return rigOf(t, db, "demo", o)
}

// rigOf is a rig with a fleet of the named app.
func rigOf(t *testing.T, db *storetest.DB, name string, o haravansim.Options) *rig {
	t.Helper()
	r := appOn(t, db, name, o, 90*time.Second)
	fresh, err := r.sim.CreateSecret()
	r.must(err)
	_, err = r.db.AddSecret(r.ctx, storetest.Actor, r.app.ID, secret.New(fresh.Value))
	r.must(err)
	r.db.Import(t, r.app, func(yield func(string, string) bool) {
		for s := range r.sim.Shops {
			if !yield(s.Domain, s.AccessToken) {
				return
			}
		}
	})
	return r
}

// appOn is a rig with an app under its first secret, and none of its shops.
func appOn(t *testing.T, db *storetest.DB, name string, o haravansim.Options, within time.Duration) *rig {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), within)
	t.Cleanup(cancel)
	if o.Seed == 0 {
		o.Seed = 1
	}
	sim, err := haravansim.Start(context.Background(), o, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	r := &rig{t: t, ctx: ctx, db: db, sim: sim, inflight: 64}
	r.log = slog.New(slog.NewTextHandler(t.Output(), nil))
	r.op = operate.Operator{Store: r.db.Store, Actor: storetest.Actor}
	none := 0
	r.app, err = r.db.SetApp(ctx, storetest.Actor, store.App{
		Name: name, ClientID: sim.App().ClientID,
		Settings: store.AppSettings{GraceSeconds: &none, CheckSample: -1},
	})
	r.must(err)
	_, err = r.db.AddSecret(ctx, storetest.Actor, r.app.ID, secret.New(sim.Secrets()[0].Value))
	r.must(err)
	return r
}

func (r *rig) must(err error) {
	r.t.Helper()
	if err != nil {
		r.t.Fatal(err)
	}
}

// start opens the run and takes it to the point where a refresh token is due.
func (r *rig) start(opt operate.StartOptions) {
	r.t.Helper()
	var err error
	r.run, err = r.op.Start(r.ctx, r.app, opt)
	r.must(err)
	r.confirm(rotation.PhaseWebhooksDual)
	r.confirm(rotation.PhaseOAuthSwitched)
}

func (r *rig) confirm(p rotation.Phase) {
	r.t.Helper()
	r.must(r.op.Confirm(r.ctx, r.run.ID, p, "in a test", r.app.Name, func(int64, int64) {}))
}

func (r *rig) arm() {
	r.t.Helper()
	_, err := r.op.Arm(r.ctx, r.run.ID, secret.New(r.sim.CreateRefreshToken().Value), 0, false)
	r.must(err)
}

// worker runs an engine until the test ends or stop is called.
func (r *rig) worker() (stop func()) {
	r.t.Helper()
	started := make(chan struct{})
	return r.work(r.engine(false, func() { close(started) }), started)
}

// work is worker with an engine that closes started.
func (r *rig) work(e *jobs.Engine, started <-chan struct{}) (stop func()) {
	r.t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- e.Run(ctx) }()
	select {
	case <-started:
	case err := <-ended:
		r.t.Fatalf("the worker ended: %v", err)
	}
	stopped := false
	stop = func() {
		if stopped {
			return
		}
		stopped = true
		cancel()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			r.t.Errorf("the worker ended: %v", err)
		}
	}
	r.t.Cleanup(stop)
	return stop
}

// once runs an engine until nothing is left that it could do.
func (r *rig) once() {
	r.t.Helper()
	r.must(r.engine(true, nil).Run(r.ctx))
}

func (r *rig) engine(once bool, started func()) *jobs.Engine {
	r.t.Helper()
	e := jobs.New(jobs.Config{
		Store: r.db.Store, Log: r.log, InFlight: r.inflight, Version: "test", Once: once, Started: started,
		Client: func(a store.App, _ store.RunSettings) (*haravan.Client, error) {
			return haravan.New(haravan.Config{APIURL: cmp.Or(a.Settings.APIURL, r.sim.PlatformURL), InFlight: r.inflight, Timeout: 5 * time.Second})
		},
	})
	return e
}

// until waits for the run to be as wanted, and returns it.
func (r *rig) until(what string, ok func(rotation.Snapshot) bool) rotation.Snapshot {
	r.t.Helper()
	ticker := time.NewTicker(100 * time.Millisecond)
	defer ticker.Stop()
	for {
		snap, _, err := r.db.Snapshot(r.ctx, r.run.ID, store.Counted)
		if err == nil && ok(snap) { // a database that is away may come back
			return snap
		}
		select {
		case <-ticker.C:
		case <-r.ctx.Done():
			infos, _ := r.db.Items(context.Background(), r.run.ID, []rotation.ItemState{
				rotation.ItemPending, rotation.ItemClaimed, rotation.ItemExchanged, rotation.ItemRetrying, rotation.ItemUnknown, rotation.ItemParked,
			}, 0, 10)
			r.t.Fatalf("never came to %s: %v; phase %s held %q (%s) counts %+v\nopen: %+v", what, err, snap.Phase, snap.Held, snap.HeldWhy, snap.Counts, infos)
		}
	}
}

func inPhase(p rotation.Phase) func(rotation.Snapshot) bool {
	return func(s rotation.Snapshot) bool { return s.Phase == p }
}

func isHeld(h rotation.Held) func(rotation.Snapshot) bool {
	return func(s rotation.Snapshot) bool { return s.Held == h }
}

// revoke kills the old secret at the platform and says so.
func (r *rig) revoke() {
	r.t.Helper()
	_, err := r.sim.RevokeSecret(1)
	r.must(err)
	r.confirm(rotation.PhaseRevoked)
}

// tokens checks every stored token against the platform's own books: a live
// shop's must be alive and of the new secret.
func (r *rig) tokens() (proven int) {
	r.t.Helper()
	for s := range r.sim.Shops {
		item, err := r.db.Item(r.ctx, r.run.ID, s.Domain)
		r.must(err)
		if s.State != haravansim.StateInstalled {
			if item.State != rotation.ItemSkipped {
				r.t.Errorf("%s is %s at the platform but %s here", s.Domain, s.State, item.State)
			}
			continue
		}
		token, err := r.db.ShopToken(r.ctx, r.app.ID, s.Domain)
		r.must(err)
		if v := r.sim.TokenVersion(s.Domain, token.Reveal()); v != 2 {
			r.t.Errorf("%s (%s): its stored token is of secret %d", s.Domain, item.State, v)
		}
		if item.State == rotation.ItemProven {
			proven++
		}
	}
	return proven
}

// installUnder exchanges an authorization code, as the app's own callback does.
func (r *rig) installUnder(domain, code, key string) (token string, err error) {
	form := url.Values{
		"client_id": {r.app.ClientID}, "client_secret": {key}, "code": {code},
		"grant_type": {"authorization_code"}, "redirect_uri": {"https://app.example/callback"},
	}
	req, err := http.NewRequestWithContext(r.ctx, http.MethodPost, r.sim.PlatformURL+"/admin/oauth/access_token", strings.NewReader(form.Encode()))
	if err != nil {
		return "", err
	}
	req.Host = domain
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	answer, err := http.DefaultClient.Do(req)
	if err != nil {
		return "", err
	}
	defer answer.Body.Close()
	var body struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.NewDecoder(answer.Body).Decode(&body); err != nil {
		return "", err
	}
	if body.AccessToken == "" {
		return "", fmt.Errorf("no token for %s: %s", domain, answer.Status)
	}
	return body.AccessToken, nil
}
