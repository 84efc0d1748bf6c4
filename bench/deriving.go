package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// deriving measures the derivation of a stored fleet's OAuth tokens, from the
// start of the token migration, walk included, to the phase derived. Nobody is
// called: there is no simulator.
func (b *bench) deriving(ctx context.Context, shops int) (result, error) {
	var r result
	f, remove, err := b.database(ctx)
	if err != nil {
		return r, err
	}
	defer remove()
	if err := f.fillLegacy(ctx, shops); err != nil {
		return r, err
	}
	// The import's dirty pages and dead rows are not the leg's to clean up.
	if err := errors.Join(b.statement(ctx, "checkpoint"), f.exec(ctx, "vacuum analyze")); err != nil {
		return r, err
	}
	worker, err := b.begin(ctx, "derive", workerSpec{Access: f.access, APIURL: "http://127.0.0.1:1", InFlight: b.inflight})
	if err != nil {
		return r, err
	}
	running, stop := worker.alive(ctx)
	defer stop()
	begin := time.Now()
	run, err := operate.Operator{Store: f.Store, Actor: actor}.StartMigration(ctx, f.app, operate.MigrationOptions{CheckSample: 0})
	if err == nil {
		err = f.until(running, run.ID, "derived", func(r store.Run) bool { return r.Phase == rotation.PhaseDerived })
	}
	took := time.Since(begin)
	if err != nil {
		return r, errors.Join(err, worker.end())
	}
	if r, err = worker.finish(); err != nil {
		return r, err
	}
	r.Seconds = took.Seconds()
	b.noteLeg("derive", shops, r)
	return r, f.allDerived(ctx, run, shops)
}

// fillLegacy stores an app and a generated fleet that has legacy tokens only.
func (f *fleet) fillLegacy(ctx context.Context, shops int) error {
	var err error
	if f.app, err = f.SetApp(ctx, actor, store.App{Name: "bench", ClientID: "bench"}); err != nil {
		return err
	}
	if _, err := f.AddSecret(ctx, actor, f.app.ID, secret.New(fmt.Sprintf("%064x", 1))); err != nil {
		return err
	}
	from, to := io.Pipe()
	go func() {
		out := bufio.NewWriterSize(to, 64<<10)
		_, err := fmt.Fprintln(out, "domain,legacy_token")
		for i := 0; err == nil && i < shops; i++ {
			_, err = fmt.Fprintf(out, "shop-%07d.myharavan.com,%032x\n", i, i+1)
		}
		if err == nil {
			err = out.Flush()
		}
		_ = to.CloseWithError(err) // never fails
	}()
	_, err = importList(ctx, f.Store, f.app, 0, from)
	_ = from.Close() // ends the writer if the import failed
	return err
}

// allDerived refuses a leg that left a shop out.
func (f *fleet) allDerived(ctx context.Context, run store.Run, shops int) error {
	snap, _, err := f.Snapshot(ctx, run.ID, store.Counted)
	if err != nil {
		return err
	}
	if snap.Counts.Exchanged != shops || snap.Counts.Total != shops {
		return fmt.Errorf("the leg does not count: %d of %d shops are derived", snap.Counts.Exchanged, shops)
	}
	return nil
}

func (b *bench) measureDeriving(ctx context.Context, stdout io.Writer) error {
	part, err := b.deriving(ctx, b.derived/10)
	if err != nil {
		return err
	}
	whole, err := b.deriving(ctx, b.derived)
	if err != nil {
		return err
	}
	if err := printLine(stdout, "derive_seconds %.1f\n", whole.Seconds); err != nil {
		return err
	}
	if err := printLine(stdout, "rss_mib derive %d %.0f\n", b.derived/10, part.RSSMiB); err != nil {
		return err
	}
	return printLine(stdout, "rss_mib derive %d %.0f\n", b.derived, whole.RSSMiB)
}
