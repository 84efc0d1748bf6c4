package main

import (
	"context"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/store"
)

// drillFlags are the flags of `drill`.
type drillFlags struct {
	shops, inflight, fleet, factor int
	seed                           uint64
	latency, jitter                time.Duration
	hostile, matrix, scale         bool
}

// What a drill may be asked for.
const (
	drillShops  = 1000
	drillFactor = 60
	// scaledShops at scaledLatency is the fleet that --scale stands for.
	scaledShops   = 1_000_000
	scaledLatency = 200 * time.Millisecond
)

func newDrill(c *cli) *cobra.Command {
	var f drillFlags
	cmd := &cobra.Command{
		Use: "drill [--shops N] [--latency D] [--fleet N]", Short: "Rehearse an exchange and hold the plan against it",
		Long: `Rehearse the exchange of a made-up fleet against the simulator, in a private
throw-away PostgreSQL, and hold what the plan said before against what it took. It
uses nothing of yours. First it measures what this machine manages (the ceiling);
the simulator, PostgreSQL and the worker share it, so yours will not be lower.

--fleet says whether a fleet of that size fits the hour at that latency, by the
speed that was measured. --matrix rehearses 1,000 and 50,000 shops at 20 and 200 ms
a call. --scale plans for 1,000,000 shops at 200 ms, takes the calls in flight that
the plan asks for, and rehearses a fleet and a window that are both --factor times
smaller.

The exit code is 0 when every plan is within 20 % of the real duration (with
--scale: when the run fits its window), else 1; 5 when the --fleet does not fit.
What is estimated again after the canary is shown and not judged. A rehearsal of
less than a few seconds is too short to be judged by, and with --hostile a fleet of
a few thousand is a matter of chance: a shop told to come back later takes seconds.

JSON Lines: one object for each rehearsal: {shops, latency_ms, jitter_ms, inflight,
hostile, seed, p50_ms, ceiling_shops_per_s, step_ms, eta_seconds, real_seconds,
eta_error_percent, canary_eta_seconds, canary_eta_error_percent, shops_per_min,
proven, skipped, window_seconds, fits_window, verdict, within, fleet{shops,
verdict}, scale{shops, factor, verdict}}. The canary's estimate is the one given
again when the first wave was through; verdict is as in rotator rotation plan.`,
		Example: `  rotator drill
  rotator drill --shops 10000 --latency 150ms --fleet 250000
  rotator drill --matrix --json
  rotator drill --scale`,
		Args:        takesNone,
		Annotations: map[string]string{ownDatabase: "yes"},
	}
	fs := cmd.Flags()
	fs.IntVar(&f.shops, "shops", drillShops, "shops to rehearse with")
	fs.DurationVar(&f.latency, "latency", 100*time.Millisecond, "the simulator adds it to every call")
	fs.DurationVar(&f.jitter, "jitter", 0, "added to every call, up to this much more")
	fs.IntVar(&f.inflight, "inflight", store.DefaultInFlight, "most calls in flight")
	fs.IntVar(&f.fleet, "fleet", 0, "size of your fleet, for a verdict on the hour")
	fs.BoolVar(&f.hostile, "hostile", false, "a few calls in a hundred go wrong, a few shops are dead")
	fs.Uint64Var(&f.seed, "seed", 1, "decides every token, fault and delay of the simulator")
	fs.BoolVar(&f.matrix, "matrix", false, "rehearse two fleets at two latencies")
	fs.BoolVar(&f.scale, "scale", false, "plan for a million shops, rehearse it scaled down")
	fs.IntVar(&f.factor, "factor", drillFactor, "how much smaller --scale makes fleet and window")
	c.jsonFlag(cmd, "print JSON Lines")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.check(cmd); err != nil {
			return err
		}
		return c.drill(cmd.Context(), f)
	}
	return cmd
}

func (f drillFlags) check(cmd *cobra.Command) error {
	given := cmd.Flags().Changed
	switch {
	case f.matrix && f.scale:
		return usagef(cmd, "--matrix and --scale exclude each other")
	case (f.matrix || f.scale) && (given("shops") || given("latency") || given("fleet")):
		return usagef(cmd, "--matrix and --scale have their own fleets: leave --shops, --latency and --fleet away")
	case f.scale && given("inflight"):
		return usagef(cmd, "--scale takes the calls in flight that the plan asks for: leave --inflight away")
	case given("factor") && !f.scale:
		return usagef(cmd, "--factor goes with --scale")
	case f.shops < 1:
		return usagef(cmd, "--shops %d: the fleet needs at least one shop", f.shops)
	case f.fleet < 0:
		return usagef(cmd, "--fleet %d: a fleet is not negative", f.fleet)
	case f.inflight < 1 || f.inflight > haravan.MaxInFlight:
		return usagef(cmd, "--inflight %d: between 1 and %d calls can be in flight", f.inflight, haravan.MaxInFlight)
	case f.factor < 1 || f.factor > 360:
		return usagef(cmd, "--factor %d: between 1 and 360; a window under ten seconds shows nothing", f.factor)
	}
	if err := f.platform().platform().Validate(); err != nil {
		return usagef(cmd, "%s", err)
	}
	return nil
}

// platform is what the demo's machinery is told.
func (f drillFlags) platform() demoFlags {
	return demoFlags{shops: f.shops, seed: f.seed, hostile: true, calm: !f.hostile, latency: f.latency, jitter: f.jitter}
}

// drill rehearses what was asked for, each leg after another look at the machine:
// whatever else runs on it may have changed.
func (c *cli) drill(ctx context.Context, f drillFlags) error {
	debug.SetGCPercent(workerGC) // as the worker does
	legs := []drillFlags{f}
	if f.matrix {
		legs = f.fourLegs()
	}
	var worst error
	for _, leg := range legs {
		m, err := c.measureMachine(ctx, leg)
		if err != nil {
			return err
		}
		rehearse := c.rehearse
		if f.scale {
			rehearse = c.rehearseScaled
		}
		r, err := rehearse(ctx, leg, m)
		if err != nil {
			return err
		}
		if err := c.printDrill(r, f.matrix); err != nil {
			return err
		}
		if err := r.verdict(); err != nil {
			worst = err
		}
	}
	return worst
}

// fourLegs are the fleets and latencies that estimates are held against.
func (f drillFlags) fourLegs() []drillFlags {
	var legs []drillFlags
	for _, shops := range []int{1000, 50_000} {
		for _, latency := range []time.Duration{20 * time.Millisecond, 200 * time.Millisecond} {
			leg := f
			leg.shops, leg.latency = shops, latency
			legs = append(legs, leg)
		}
	}
	return legs
}
