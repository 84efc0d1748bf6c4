package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime/debug"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/jobs"
	"github.com/haravan-rotator/rotator/store"
)

type workerFlags struct {
	once     bool
	quiet    bool
	inflight int
}

func newWorker(c *cli) *cobra.Command {
	var f workerFlags
	cmd := &cobra.Command{
		Use: "worker [--once] [--inflight N]", Short: "Work the open runs: exchange, prove, check",
		Long: `Work the open runs of every app until SIGINT, SIGTERM or SIGHUP (unless it is
ignored, as under nohup): take the fleet into a run,
exchange and prove tokens, look at them after the revoke. Without an open run it
waits for one. Any number of workers may share a database; each takes an even
share of a run's cap, but no more than its own --inflight.

The first signal drains: calls in flight finish and are stored. The second ends
the process at once; another worker then takes its shops over. The log goes to
stderr (ROTATOR_LOG_FORMAT, ROTATOR_LOG_LEVEL).

--once drains what is due and ends with: 0 all done, 3 a human step waits, which
is printed, 4 shops are parked or broke. Overlapping workers are harmless, so
cron may start it, with --quiet: then only warnings and errors are printed, and
the exit code tells the rest. JSON Lines with --once: one object
` + movedJSON + ` per open run.`,
		Example: `  rotator worker
  rotator worker --once
  rotator worker --once --quiet
  rotator worker --inflight 1000 --log-format json`,
		Args: takesNone,
	}
	fs := cmd.Flags()
	fs.BoolVar(&f.once, "once", false, "drain what is due, then end")
	fs.BoolVar(&f.quiet, "quiet", false, "with --once: print only what went wrong, for cron")
	fs.IntVar(&f.inflight, "inflight", store.DefaultInFlight, "most calls that this process has in flight")
	c.jsonFlag(cmd, "print JSON Lines with --once")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if f.inflight < 1 || f.inflight > haravan.MaxInFlight {
			return usagef(cmd, "--inflight %d: between 1 and %d calls can be in flight", f.inflight, haravan.MaxInFlight)
		}
		if c.asJSON && !f.once {
			return usagef(cmd, "--json goes with --once; for the log use --log-format json")
		}
		if f.quiet && !f.once {
			return usagef(cmd, "--quiet goes with --once; for the log use --log-level warn")
		}
		if f.quiet && c.asJSON {
			return usagef(cmd, "--quiet and --json exclude each other")
		}
		return c.work(cmd.Context(), f)
	}
	return cmd
}

// workerConns is the pool of a worker: River's listener and fetchers, batches
// that claim, the writer of results, and the supervisor.
const workerConns = 16

// workerGC lets the heap, ten or twenty megabytes, grow sixfold between two
// collections: they took a tenth of a worker's processor time.
const workerGC = 600

func (c *cli) work(ctx context.Context, f workerFlags) error {
	c.quiet = f.quiet
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(workerGC)
	}
	s, done, err := c.openStoreConns(ctx, workerConns)
	if err != nil {
		return err
	}
	defer done()
	c.came() // from here on the log says what there is to say
	if f.quiet {
		c.log = slog.New(quietLog{c.log.Handler()})
	}
	// The Go runtime has raised the soft limit to the hard one by now.
	if files := openFiles(f.inflight); files.Status != checkOK {
		c.log.Warn("too few open files for the calls in flight: raise ulimit -n, or lower --inflight", "found", files.Detail)
	}
	cfg, err := c.settings()
	if err != nil {
		return err
	}
	engine := jobs.New(jobs.Config{
		Store: s, Log: c.log, InFlight: f.inflight, Version: buildVersion(), Once: f.once,
		Client: func(a store.App, run store.RunSettings) (*haravan.Client, error) {
			return workerClient(a, run, cfg.APIURL, f.inflight)
		},
		Started: func() { c.log.Info("worker started", "inflight", f.inflight, "once", f.once) },
	})
	stopSaying := context.AfterFunc(ctx, func() {
		c.log.Info("draining: calls in flight finish and are stored; a second signal ends at once")
	})
	defer stopSaying()
	if err := engine.Run(ctx); err != nil && !errors.Is(err, context.Canceled) {
		return fmt.Errorf("work: %w", err)
	}
	c.log.Info("worker stopped")
	if !f.once {
		return nil
	}
	if ctx.Err() != nil {
		return exitWith(exitFailed, errors.New("interrupted before all that is due was done"), "rotator worker --once")
	}
	return c.onceResult(ctx, s)
}

// workerClient makes the client of a run: the wire variant is the run's own,
// the pool fits the worker.
func workerClient(a store.App, run store.RunSettings, apiURL string, inflight int) (*haravan.Client, error) {
	hc, err := clientConfig(a, apiURL)
	if err != nil {
		return nil, err
	}
	hc.InFlight = inflight
	if hc.Wire, err = runWire(run); err != nil {
		return nil, err
	}
	return haravan.New(hc)
}

// onceResult prints what each open run waits for and ends with the exit code of
// the first that is not done; --quiet leaves the printing out.
func (c *cli) onceResult(ctx context.Context, s *store.Store) error {
	open, err := s.OpenRuns(ctx)
	if err != nil {
		return err
	}
	code := exitDone
	for _, run := range open {
		c.waiting("counting the shops of run %d", run.ID)
		snap, run, err := s.Snapshot(ctx, run.ID, store.Counted)
		if err != nil {
			return err
		}
		snap.Workers = max(1, snap.Workers) // whoever runs this comes again
		words, err := c.appWords(ctx, s, snap.App)
		if err != nil {
			return err
		}
		st := words.status(makeStatus(snap, run, nil, 0))
		if code == exitDone {
			code = st.exitFor()
		}
		switch {
		case c.quiet:
		case c.asJSON:
			err = c.printJSON(moved{st.Run, st.App, st.Phase, st.Held, st.Next})
		default:
			err = c.printStep(st)
		}
		if err != nil {
			return err
		}
	}
	if code != exitDone {
		return exitWith(code, nil, "")
	}
	return nil
}

// quietLog lets only warnings and errors through, whatever the level says.
type quietLog struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quietLog) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (q quietLog) WithAttrs(as []slog.Attr) slog.Handler { return quietLog{q.Handler.WithAttrs(as)} }

// WithGroup implements slog.Handler.
func (q quietLog) WithGroup(name string) slog.Handler { return quietLog{q.Handler.WithGroup(name)} }
