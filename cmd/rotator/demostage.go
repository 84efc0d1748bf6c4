package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/jobs"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// demoActor acts in the demo's journal, demoApp is its app.
const (
	demoActor = "demo"
	demoApp   = "demo"
)

// demo is one rotation on a stage of its own.
type demo struct {
	*cli
	flags   demoFlags
	staging staging
	screen  *demoScreen

	cluster *pgembed.Cluster
	sim     *haravansim.Server
	on      onRun
	// former holds each shop's token as it was stored, for the audit.
	former map[string]string
	// armedAt and provenAt bound the exchange.
	armedAt, provenAt time.Time
	retried           bool // parked shops were tried once more
	resumed           int  // times that an open breaker was closed

	// failed gets the reason when the worker ends by itself.
	failed chan error

	ends []func() error // what strike calls, last first
}

// staging is what a drill sets otherwise than a demo; zero values do not.
type staging struct {
	// postgres are settings of the private server.
	postgres map[string]string
	// inflight is the cap of the run and of its worker, waves the run's policy.
	inflight int
	waves    *rotation.WavePolicy
	// life is what the refresh token's hour is cut to.
	life time.Duration
}

// age is what the refresh token says of itself when it is entered.
func (s staging) age() time.Duration {
	if s.life == 0 {
		return 0
	}
	return rotation.WindowLength - s.life
}

// strike takes the stage down, in the reverse order of setting it up.
func (d *demo) strike() error {
	d.screen.clear()
	var errs []error
	for len(d.ends) > 0 {
		last := len(d.ends) - 1
		end := d.ends[last]
		d.ends = d.ends[:last]
		errs = append(errs, end())
	}
	return errors.Join(errs...)
}

func (d *demo) atEnd(end func() error) { d.ends = append(d.ends, end) }

// setUp starts the database and the platform, and stores the fleet.
func (d *demo) setUp(ctx context.Context) error {
	if err := d.startDatabase(ctx); err != nil {
		return err
	}
	if err := d.startPlatform(ctx); err != nil {
		return err
	}
	return d.storeFleet(ctx)
}

func (d *demo) startDatabase(ctx context.Context) error {
	cluster, err := pgembed.Ephemeral(ctx, pgembed.Options{Log: d.screen, Settings: d.staging.postgres})
	if errors.Is(err, pgembed.ErrNoBinaries) {
		return exitWith(exitConfig, err, "the demo uses no database but its own: it needs the first of the three")
	}
	if err != nil {
		return err
	}
	d.cluster = cluster
	d.atEnd(cluster.Close)
	d.screen.sayf("A private PostgreSQL runs in %s", cluster.Dir())
	pool, err := store.Connect(ctx, secret.New(cluster.URL()), "rotator demo", workerConns)
	if err != nil {
		return err
	}
	d.atEnd(func() error { pool.Close(); return nil })
	if _, err := migrations.Up(ctx, pool); err != nil {
		return err
	}
	keys, err := secret.NewKeyring()
	if err != nil {
		return err
	}
	if d.flags.keep {
		if err := d.saveKeyring(keys); err != nil {
			return err
		}
	}
	d.on.store = store.New(pool, keys)
	d.on.op = operate.Operator{Store: d.on.store, Actor: demoActor}
	return d.on.store.CheckKeyring(ctx)
}

// saveKeyring puts the keyring into the folder that goes with the server,
// however this process ends. The server's account must be able to remove it, so
// the file gets no folder of its own; and it cannot be saved right there, since
// that takes the folder's lock, which marks the server as in use.
func (d *demo) saveKeyring(keys *secret.Keyring) error {
	aside, err := os.MkdirTemp(d.cluster.Dir(), "keyring-*")
	if err != nil {
		return fmt.Errorf("keep the keyring: %w", err)
	}
	path := filepath.Join(aside, "keyring.json")
	if err := keys.Save(path); err != nil {
		return err
	}
	if err := errors.Join(os.Rename(path, d.keyringPath()), os.RemoveAll(aside)); err != nil {
		return fmt.Errorf("keep the keyring: %w", err)
	}
	return nil
}

func (d *demo) keyringPath() string { return filepath.Join(d.cluster.Dir(), "keyring.json") }

func (d *demo) startPlatform(ctx context.Context) error {
	// It outlives ctx: calls in flight are to be answered while draining.
	sim, err := haravansim.Start(context.WithoutCancel(ctx), d.flags.platform(), "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		return err
	}
	d.sim = sim
	d.atEnd(sim.Close)
	temper := "calm"
	if len(sim.Faults().Rates) > 0 {
		temper = "hostile: a few calls in a hundred go wrong"
	}
	d.screen.sayf("The platform is simulated at %s, %s", sim.PlatformURL, temper)
	return nil
}

// storeFleet does what app set, secret add and shop import do.
func (d *demo) storeFleet(ctx context.Context) error {
	none := 0
	var err error
	d.on.app, err = d.on.store.SetApp(ctx, demoActor, store.App{
		Name: demoApp, ClientID: d.sim.App().ClientID,
		Settings: store.AppSettings{
			APIURL: d.sim.PlatformURL, GraceSeconds: &none, CheckSample: -1,
			InFlight: d.staging.inflight, Waves: d.staging.waves,
		},
	})
	if err != nil {
		return err
	}
	old, err := d.on.store.AddSecret(ctx, demoActor, d.on.app.ID, secret.New(d.sim.Secrets()[0].Value))
	if err != nil {
		return err
	}
	d.former = make(map[string]string, d.flags.shops)
	result, err := d.on.store.ImportShops(ctx, demoActor, d.on.app, old.ID, d.fleet, func(f store.Findings) error {
		if !f.None() {
			return fmt.Errorf("the simulator names %d shops twice", len(f.Duplicates))
		}
		return nil
	})
	if err != nil {
		return err
	}
	d.screen.sayf("%s stored, each with a token of secret version %d", plural(result.Added, "shop"), old.Version)
	return nil
}

// fleet is the simulator's, as a shop list.
func (d *demo) fleet(yield func(shopfile.Row, error) bool) {
	line := 0
	for s := range d.sim.Shops {
		line++
		d.former[s.Domain] = s.AccessToken
		if !yield(shopfile.Row{Line: line, Domain: s.Domain, AccessToken: secret.New(s.AccessToken)}, nil) {
			return
		}
	}
}

// startWorker runs the engine in this process until the stage is struck.
func (d *demo) startWorker(ctx context.Context) error {
	log := slog.New(slog.NewTextHandler(d.screen, &slog.HandlerOptions{Level: slog.LevelWarn}))
	inflight := cmp.Or(d.staging.inflight, store.DefaultInFlight)
	started := make(chan struct{})
	engine := jobs.New(jobs.Config{
		Store: d.on.store, Log: log, Version: buildVersion(), InFlight: inflight,
		Client: func(a store.App, run store.RunSettings) (*haravan.Client, error) {
			return workerClient(a, run, "", inflight)
		},
		Started: func() { close(started) },
	})
	working, stop := context.WithCancel(ctx)
	ended := make(chan error, 1)
	d.failed = make(chan error, 1)
	go func() {
		err := engine.Run(working)
		if working.Err() == nil {
			d.failed <- fmt.Errorf("the worker ended by itself: %w", err)
		}
		ended <- err
	}()
	d.atEnd(func() error {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, context.Canceled) {
			return fmt.Errorf("stop the worker: %w", err)
		}
		return nil
	})
	select {
	case <-started:
		return nil
	case err := <-d.failed:
		return err
	case <-ctx.Done():
		return fmt.Errorf("start the worker: %w", ctx.Err())
	}
}
