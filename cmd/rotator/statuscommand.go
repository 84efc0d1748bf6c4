package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newRunStatus(c *cli, k rotation.Kind) *cobra.Command {
	var watch bool
	cmd := &cobra.Command{
		Use: "status [--run N] [--watch]", Short: "Show where a run stands",
		Long: `Show where a run stands: its phase and the conditions to leave it, the shops by
state, the speed and what limits it, the window, and what happens next.

--watch shows it again every second on a terminal; anywhere else it prints a line
when something changed, every two seconds at most. It ends when the run is over,
or waits for a human (exit code 3, or 4 if shops are parked or broke), which it
does too when no worker was alive, or could write to the database, for 15 seconds.
Ctrl-C ends the watching only, with exit code 1.

JSON: one object {run, kind, mode, app, state, phase, phase_at, started_at,
ended_at, at, held, held_why, window{expires_at, seconds_left, refused},
items{total, pending, claimed, exchanged, proven, retrying, unknown, parked,
skipped, waived}, rate{shops_per_s, inflight, limit, cap,
cap_calls_per_s, headroom_percent, throttled_by},
eta{p50, p90, fits_window}, burn_down{needed_shops_per_s,
actual_shops_per_s, late_shops, behind}, worst[{domain, state,
class, attempt, latency_ms, ...}], next{command, why, human}, verdict{outlook, words,
measured, latency_ms, at, accepted}, health{url, failures, ok_at, why},
wire{pinned, words}, gate[{name, met, evidence}],
waves[{number, name, released, settled, failed, failed_by, items}],
workers[{id, host, pid, inflight, limit, shops_per_s, throttled_by,
heartbeat_at}], certificate, revocation, migration{secret_version, check_planned,
check_done, check_alive, check_dead, legacy_left, legacy_only},
deliveries{pending, failing, acknowledged, waived, oldest_seconds, down_since,
required}}. held, expires_at, eta, verdict, health and down_since are null when
there is none. With --watch: JSON Lines.`,
		Example: `  rotator rotation status
  rotator rotation status --watch
  rotator rotation status --json | jq .items`,
		Args: takesNone,
	}
	run := c.runFlags(cmd, k)
	cmd.Flags().BoolVar(&watch, "watch", false, "go on until the run is over or waits for a human")
	c.jsonFlag(cmd, "print one JSON object, or JSON Lines with --watch")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			if watch {
				return c.watch(cmd.Context(), o)
			}
			st, err := o.where(cmd.Context())
			if err == nil {
				err = st.nameWorst(cmd.Context(), o.store)
			}
			if err != nil {
				return err
			}
			if c.asJSON {
				return c.printJSON(st)
			}
			return c.printf("%s", statusView{st}.Render(0))
		})
	}
	return speak(k, cmd)
}

func newRunNext(c *cli, k rotation.Kind) *cobra.Command {
	cmd := &cobra.Command{
		Use: "next [--run N]", Short: "Say what a person has to do now, and why",
		Long: `Say what a person has to do now, and why. The exit code is 3 when the run waits for
that, else 0.

JSON: one object ` + movedJSON + `.`,
		Example: "  rotator rotation next\n  rotator rotation next --json",
		Args:    takesNone,
	}
	run := c.runFlags(cmd, k)
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			st, err := o.where(cmd.Context())
			if err != nil {
				return err
			}
			if c.asJSON {
				err = c.printJSON(moved{st.Run, st.App, st.Phase, st.Held, st.Next})
			} else {
				err = c.printStep(st)
			}
			if err == nil && st.Next.Human {
				return exitWith(exitWaiting, nil, "")
			}
			return err
		})
	}
	return speak(k, cmd)
}

// statusReader reads a run's status again and again, and keeps the speed that
// it saw itself.
type statusReader struct {
	store *store.Store
	run   int64
	words appWords
	speed speedometer
}

func (r *statusReader) read(ctx context.Context) (runStatus, error) {
	snap, run, err := r.store.Snapshot(ctx, r.run, store.Counted)
	if err != nil {
		return runStatus{}, err
	}
	workers, err := r.store.Workers(ctx)
	if err != nil {
		return runStatus{}, err
	}
	st := r.words.status(makeStatus(snap, run, workers, r.speed.saw(snap.Now, snap.Counts.Settled())))
	return st, errors.Join(st.foresee(ctx, r.store, snap, run), st.nameWorst(ctx, r.store))
}

// speedometer is the mean speed over the last half minute.
type speedometer struct{ seen []sighting }

type sighting struct {
	at      time.Time
	settled int
}

// speedSpan is what the mean is taken over.
const speedSpan = 30 * time.Second

// saw takes another count and returns the speed, 0 while it is unknown.
func (s *speedometer) saw(at time.Time, settled int) float64 {
	for len(s.seen) > 1 && at.Sub(s.seen[1].at) >= speedSpan {
		s.seen = s.seen[1:]
	}
	s.seen = append(s.seen, sighting{at, settled})
	since := at.Sub(s.seen[0].at).Seconds()
	if since < 1 {
		return 0
	}
	return max(0, float64(settled-s.seen[0].settled)/since)
}
