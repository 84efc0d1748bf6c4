package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store"
)

// perShopSpec is what the baseline's process needs.
type perShopSpec struct {
	workerSpec
	ClientID string `json:"client_id"`
	SecretID int64  `json:"secret_id"`
	// Secret and Refresh go over a pipe; secret.String would not.
	Secret  string `json:"secret"`
	Refresh string `json:"refresh"`
}

// jobPerShop measures the baseline: what a job queue does when it is given one
// job for every shop. Its jobs are inserted before the clock starts, and it
// leaves out what the engine does besides: no claim, no waves, no token stored
// before its proof.
func (b *bench) jobPerShop(ctx context.Context, shops int) (result, error) {
	var r result
	err := b.onFleet(ctx, shops, func(f *fleet, pl *platform, run store.Run) error {
		if err := f.insertPerShop(ctx, run, shops); err != nil {
			return err
		}
		refresh, err := pl.create(ctx, "/refresh-tokens")
		if err != nil {
			return err
		}
		begin := time.Now()
		p, err := b.begin(ctx, "job-per-shop", perShopSpec{
			workerSpec: workerSpec{Access: f.access, APIURL: pl.APIURL, InFlight: b.inflight, RunID: run.ID},
			ClientID:   pl.ClientID, SecretID: run.NewSecretID,
			Secret: pl.newSecret.Reveal(), Refresh: refresh.Reveal(),
		})
		if err != nil {
			return err
		}
		running, stop := p.alive(ctx)
		defer stop()
		if err := f.untilAllProven(running, run, shops); err != nil {
			return errors.Join(err, p.end())
		}
		took := time.Since(begin)
		if r, err = p.finish(); err != nil {
			return err
		}
		r.Seconds = took.Seconds()
		return f.allProven(ctx, run, shops)
	})
	if err != nil {
		return r, err
	}
	b.noteLeg("job-per-shop", shops, r)
	return r, nil
}

// shopArgs is the job of one shop.
type shopArgs struct {
	Position int64 `json:"position"`
}

// Kind implements river.JobArgs.
func (shopArgs) Kind() string { return "bench_shop" }

// insertPerShop walks the fleet into the run and inserts a job for every shop.
func (f *fleet) insertPerShop(ctx context.Context, run store.Run, shops int) error {
	for done := false; !done; {
		var err error
		if done, err = f.WalkPage(ctx, run.ID, 5000); err != nil {
			return err
		}
	}
	client, err := river.NewClient(riverpgxv5.New(f.pool), &river.Config{Schema: migrations.Schema})
	if err != nil {
		return fmt.Errorf("prepare River: %w", err)
	}
	const page = 5000
	for first := 1; first <= shops; first += page {
		args := make([]river.InsertManyParams, 0, page)
		for position := first; position <= min(first+page-1, shops); position++ {
			args = append(args, river.InsertManyParams{Args: shopArgs{int64(position)}})
		}
		if _, err := client.InsertManyFast(ctx, args); err != nil {
			return fmt.Errorf("insert jobs: %w", err)
		}
	}
	return f.exec(ctx, "vacuum analyze")
}

// untilAllProven polls for the first shop, from the last position on, that is
// not proven yet: jobs are worked in about that order, so it costs few rows.
func (f *fleet) untilAllProven(ctx context.Context, run store.Run, shops int) error {
	ticker := time.NewTicker(20 * time.Millisecond)
	defer ticker.Stop()
	for {
		var open bool
		err := f.pool.QueryRow(ctx, `select exists (select from rotator.items where run_id = $1 and position between $2 and $3 and state <> 'proven')
			or exists (select from rotator.items where run_id = $1 and state <> 'proven')`, run.ID, shops-100, shops).Scan(&open)
		if err != nil {
			return fmt.Errorf("look for open shops: %w", err)
		}
		if !open {
			return nil
		}
		select {
		case <-ticker.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func jobPerShopPart(ctx context.Context, p partIO) error {
	var spec perShopSpec
	if err := p.in.Decode(&spec); err != nil {
		return err
	}
	s, pool, err := spec.Access.open(ctx, workerConns)
	if err != nil {
		return err
	}
	defer pool.Close()
	worker, err := newShopWorker(spec, pool)
	if err != nil {
		return err
	}
	client, err := perShopClient(s.Pool(), worker, spec.InFlight)
	if err != nil {
		return err
	}
	if err := client.Start(ctx); err != nil {
		return fmt.Errorf("start River: %w", err)
	}
	p.stopped(ctx)
	if err := client.Stop(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("stop River: %w", err)
	}
	r, err := used()
	if err != nil {
		return err
	}
	return p.out.Encode(r)
}

func perShopClient(pool *pgxpool.Pool, worker *shopWorker, inflight int) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, worker)
	return river.NewClient(riverpgxv5.New(pool), &river.Config{
		Schema: migrations.Schema, Workers: workers,
		Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn})),
		Queues: map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: inflight}},
		// As the engine's, so that the difference is in the jobs.
		FetchCooldown:     20 * time.Millisecond,
		FetchPollInterval: 500 * time.Millisecond,
	})
}
