package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/jobs"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// workerSpec is what a worker process needs.
type workerSpec struct {
	Access   access `json:"access"`
	APIURL   string `json:"api_url"`
	InFlight int    `json:"inflight"`
	// RunID is the run, for job-per-shop.
	RunID int64 `json:"run_id"`
}

// durable measures the engine, from the arming to the phase proven.
func (b *bench) durable(ctx context.Context, shops int) (result, error) {
	var r result
	err := b.onFleet(ctx, shops, func(f *fleet, pl *platform, run store.Run) error {
		worker, err := b.begin(ctx, "durable", workerSpec{Access: f.access, APIURL: pl.APIURL, InFlight: b.inflight})
		if err != nil {
			return err
		}
		running, stop := worker.alive(ctx)
		defer stop()
		took, spent, err := f.rotate(running, pl, run, func(before cpu) (cpu, error) {
			return cpuSince(before, worker.pid(), b.cluster.PID(), pl.pid())
		})
		if err != nil {
			return errors.Join(err, worker.end())
		}
		if r, err = worker.finish(); err != nil {
			return err
		}
		r.Seconds, r.cpu = took.Seconds(), spent
		return f.allProven(ctx, run, shops)
	})
	if err != nil {
		return r, err
	}
	b.noteLeg("durable", shops, r)
	return r, nil
}

// onFleet runs fn on a fresh platform, database and run, and verifies what the
// platform saw.
func (b *bench) onFleet(ctx context.Context, shops int, fn func(*fleet, *platform, store.Run) error) error {
	pl, err := b.platform(ctx, shops)
	if err != nil {
		return err
	}
	f, remove, err := b.database(ctx)
	if err != nil {
		return errors.Join(err, pl.end())
	}
	defer remove()
	run, err := f.fill(ctx, pl, b.inflight)
	if err == nil {
		// The import's dirty pages and dead rows are not the leg's to clean up.
		err = errors.Join(b.statement(ctx, "checkpoint"), f.exec(ctx, "vacuum analyze"))
	}
	if err == nil {
		err = fn(f, pl, run)
	}
	if err == nil {
		err = pl.verify(ctx, shops)
	}
	return errors.Join(err, pl.end())
}

func (f *fleet) exec(ctx context.Context, sql string) error {
	if _, err := f.pool.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// rotate takes the run to the phase proven, as an operator would, and tells how
// long the exchange took and, by since, what CPU time.
func (f *fleet) rotate(ctx context.Context, pl *platform, run store.Run, since func(cpu) (cpu, error)) (took time.Duration, spent cpu, err error) {
	op := operate.Operator{Store: f.Store, Actor: actor}
	for _, phase := range []rotation.Phase{rotation.PhaseWebhooksDual, rotation.PhaseOAuthSwitched} {
		if err := op.Confirm(ctx, run.ID, phase, "bench", f.app.Name, func(int64, int64) {}); err != nil {
			return 0, cpu{}, err
		}
	}
	// The walk belongs to the start of a run, not to its hour.
	if err := f.until(ctx, run.ID, "walked", func(r store.Run) bool { return r.WalkDoneAt != nil }); err != nil {
		return 0, cpu{}, err
	}
	refresh, err := pl.create(ctx, "/refresh-tokens")
	if err != nil {
		return 0, cpu{}, err
	}
	before, err := since(cpu{})
	if err != nil {
		return 0, cpu{}, err
	}
	begin := time.Now()
	if _, err := op.Arm(ctx, run.ID, refresh, 0, false); err != nil {
		return 0, cpu{}, err
	}
	err = f.until(ctx, run.ID, "proven", func(r store.Run) bool { return r.Phase == rotation.PhaseProven })
	took = time.Since(begin)
	if err == nil {
		spent, err = since(before)
	}
	return took, spent, err
}

// until polls the run, which costs one row.
func (f *fleet) until(ctx context.Context, runID int64, what string, ok func(store.Run) bool) error {
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for {
		r, err := f.Run(ctx, runID)
		switch {
		case err != nil:
			return err
		case ok(r):
			return nil
		case r.Held != rotation.HeldNot:
			return fmt.Errorf("waiting for the run to be %s: it is held: %s: %s", what, r.Held, r.HeldWhy)
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return fmt.Errorf("waiting for the run to be %s: %w", what, ctx.Err())
		}
	}
}

// allProven refuses a leg that left a shop out.
func (f *fleet) allProven(ctx context.Context, run store.Run, shops int) error {
	snap, _, err := f.Snapshot(ctx, run.ID, store.Counted)
	if err != nil {
		return err
	}
	if snap.Counts.Proven != shops || snap.OldVersionShops != 0 {
		return fmt.Errorf("the leg does not count: %d of %d shops are proven, %d have a token of the old secret", snap.Counts.Proven, shops, snap.OldVersionShops)
	}
	return nil
}

func durablePart(ctx context.Context, p partIO) error {
	var spec workerSpec
	if err := p.in.Decode(&spec); err != nil {
		return err
	}
	s, pool, err := spec.Access.open(ctx, workerConns)
	if err != nil {
		return err
	}
	defer pool.Close()
	engine := jobs.New(jobs.Config{
		Store: s, Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		InFlight: spec.InFlight, Version: "bench",
		Client: func(store.App, store.RunSettings) (*haravan.Client, error) {
			return newClient(spec.APIURL, spec.InFlight)
		},
	})
	running, stop := context.WithCancel(ctx)
	go func() {
		p.stopped(ctx)
		stop()
	}()
	if err := engine.Run(running); err != nil {
		return err
	}
	r, err := used()
	if err != nil {
		return err
	}
	return p.out.Encode(r)
}
