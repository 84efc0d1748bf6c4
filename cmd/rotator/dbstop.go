package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newDBStop(c *cli) *cobra.Command {
	var force bool
	cmd := &cobra.Command{
		Use: "stop [--force]", Short: "Stop the private PostgreSQL",
		Long: `Stop the private PostgreSQL. What was committed stays on disk, and the next command
that needs it starts it again. Connections of a worker are ended. While a live
worker has a window that is armed it is refused (exit code 6), unless --force is
given: the window runs on, and new tokens wait in the worker's memory only.

A PostgreSQL that a signal has stopped (SIGSTOP) is continued, so that it can shut
down. One that does not begin to within 10 seconds, or is not gone after a minute,
is an error that names its process and what to do.

JSON: one object {stopped, dir}; stopped is false if it was not running.`,
		Example: "  rotator db stop",
		Args:    takesNone,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.stopDB(cmd.Context(), force) },
	}
	cmd.Flags().BoolVar(&force, "force", false, "stop it although a window is armed")
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func (c *cli) stopDB(ctx context.Context, force bool) error {
	cfg, err := c.settings()
	if err != nil {
		return err
	}
	if !cfg.DatabaseURL.IsZero() {
		return exitWith(exitUsage, errors.New("stop PostgreSQL: DATABASE_URL is set, and that server is not rotator's to stop"),
			"unset DATABASE_URL to stop the private one")
	}
	before, err := inspectPrivate(ctx, privateDir(cfg))
	if err != nil {
		return err
	}
	if before.State == pgembed.Running && !force {
		if why := c.exchangingNow(ctx); why != "" {
			return exitWith(exitRefused, fmt.Errorf("stop PostgreSQL: %s: the window would run on, and new tokens would be in memory only", why),
				"stop the workers or `rotator rotation pause` first, or stop it all the same with --force")
		}
	}
	if err := pgembed.StopWith(ctx, pgembed.Options{Dir: privateDir(cfg), Log: c.stderr}); err != nil {
		return err
	}
	stopped := before.PID != 0
	switch {
	case c.asJSON:
		return c.printJSON(map[string]any{"stopped": stopped, "dir": before.Dir})
	case stopped:
		return c.printf("Stopped the private PostgreSQL in %s.\nThe next command that needs it starts it again, `rotator app list` for example; `rotator db status` does not.\n", printable(before.Dir))
	}
	return c.printf("The private PostgreSQL in %s was not running.\n", printable(before.Dir))
}

// stopPatience is how long a database is asked whether it is needed: one that
// does not answer may well have to be stopped.
const stopPatience = 5 * time.Second

// exchangingNow says which run needs the database now; "" for none, and when it
// cannot be told.
func (c *cli) exchangingNow(ctx context.Context) string {
	ctx, cancel := context.WithTimeout(ctx, stopPatience)
	defer cancel()
	defer c.came()
	pool, err := c.connectBy(ctx, commandConns, store.ConnectReader)
	if err != nil {
		return ""
	}
	defer pool.Close()
	s := store.New(pool, nil) // nothing sealed is read
	workers, err := s.Workers(ctx)
	if err != nil || len(workers) == 0 {
		return ""
	}
	open, err := s.OpenRuns(ctx)
	if err != nil {
		return ""
	}
	for _, run := range open {
		if (run.Phase == rotation.PhaseArmed || run.Phase == rotation.PhaseExchanging) && run.Held == rotation.HeldNot {
			return fmt.Sprintf("run %d is %s, and %s", run.ID, run.Phase, alive(len(workers)))
		}
	}
	return ""
}

func alive(workers int) string {
	if workers == 1 {
		return "1 worker is alive"
	}
	return fmt.Sprintf("%d workers are alive", workers)
}
