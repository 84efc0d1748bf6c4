package main

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

type planFlags struct {
	sample, inflight int
	latency          time.Duration
	ceiling          float64
	// source says where a latency comes from that nobody gave.
	source string
	breach bool
	outage outageFlags
}

func newRotationPlan(c *cli) *cobra.Command {
	f := planFlags{}
	cmd := &cobra.Command{
		Use: "plan [--sample N] [--assume-latency D] [--inflight N]", Short: "Tell whether the fleet fits the window",
		Long: `Tell whether the fleet can be exchanged inside the refresh token's one hour. plan
reads the identity of a few shops to measure how fast the platform answers; it
writes nothing, here or there: its database connections are read-only and it only
reads from the platform, so it is safe at any moment. While a run exchanges it
counts the shops that are still open and the time that is left. The exchange
itself is measured on the first wave, and the run is judged again by that.

With --breach it also tells the outage that a run which revokes first would cost:
how long until the first, half of and the last of the shops are back, in which
order, and what is assumed. Once the old secret is revoked no token answers to
measure with, and the latency measured last counts.

The exit code is 0 when it fits, else 5, with what to type; 1 while no shop is
stored.

JSON: one object {app, shops, workers, inflight, workers_inflight, calls_per_shop,
p50_ms, p95_ms, p99_ms, sampled, assumed_latency, window_seconds, verdict{outlook,
needs_seconds, margin, inflight, windows, words}, clock_skew{database_seconds,
platform_seconds}}, with --breach also ` + outageJSON + `. outlook is fits,
fits_if_raised, needs_windows or does_not_fit.`,
		Example: `  rotator rotation plan
  rotator rotation plan --breach
  rotator rotation plan --inflight 1000
  rotator rotation plan --ceiling 2500
  rotator rotation plan --sample 0 --assume-latency 200ms --json`,
		Args: takesNone,
	}
	cmd.Flags().IntVar(&f.sample, "sample", 20, "shops whose identity is read to measure the latency")
	cmd.Flags().DurationVar(&f.latency, "assume-latency", 0, "reckon with this latency instead of the measured one")
	cmd.Flags().IntVar(&f.inflight, "inflight", 0, "calls in flight to reckon with (default: the run's, else the app's)")
	cmd.Flags().Float64Var(&f.ceiling, "ceiling", 0, "shops/s that a worker's machine manages, as rotator drill measures it")
	cmd.Flags().BoolVar(&f.breach, "breach", false, "tell the outage if the old secret were revoked first")
	f.outage.register(cmd)
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := f.outage.check(cmd, f.breach); err != nil {
			return err
		}
		switch {
		case !(f.ceiling >= 0) || math.IsInf(f.ceiling, 0): // also refuses NaN
			return usagef(cmd, "--ceiling %g: a speed is a number, and not negative", f.ceiling)
		case f.sample < 0 || f.sample > 1000:
			return usagef(cmd, "--sample %d: between 0 and 1000 shops can be asked", f.sample)
		case f.latency < 0:
			return usagef(cmd, "--assume-latency %s: a latency is not negative", f.latency)
		case f.sample == 0 && f.latency == 0:
			return usagef(cmd, "--sample 0 measures nothing: give --assume-latency")
		}
		if err := inflightInRange(cmd, f.inflight); err != nil {
			return err
		}
		return c.withOpened(cmd.Context(), c.openReader, wantedRun{kind: rotation.KindRotation}, func(o onRun) error { return c.plan(cmd.Context(), o, f) })
	}
	return cmd
}

// inflightInRange refuses what cannot be meant; 0 stands for the default.
func inflightInRange(cmd *cobra.Command, n int) error {
	if n < 0 || n > haravan.MaxInFlight {
		return usagef(cmd, "--inflight %d: between 1 and %d calls can be in flight", n, haravan.MaxInFlight)
	}
	return nil
}

func (c *cli) plan(ctx context.Context, o onRun, f planFlags) error {
	p, left, err := c.makePlan(ctx, o, f, 0)
	if err != nil && f.breach && f.sample > 0 && !errors.Is(err, errNoShop) {
		// The tokens may be dead already: the outage can be reckoned all the same.
		c.notef("warning: %s", inline(err.Error()))
		if f, err = c.unmeasured(ctx, o, f); err == nil {
			p, left, err = c.makePlan(ctx, o, f, 0)
		}
	}
	if err != nil {
		return err
	}
	var outage *rotation.Outage
	if f.breach {
		if _, err := c.lookIfNewestLives(ctx, o, false); err != nil {
			return err
		}
		if f.latency == 0 && p.P50MS > 0 { // what the plan found counts; there is no need to ask again
			f.latency, f.source = time.Duration(p.P50MS*float64(time.Millisecond)), "measured: "+sampled(p)
		}
		if outage, err = c.expectOutage(ctx, o, f, rotation.OutageLoad{InFlight: p.InFlight, Rate: o.rate(), Waves: rotation.DefaultBreachWaves}); err != nil {
			return err
		}
	}
	c.warnOfClocks(p.Skew)
	if c.asJSON {
		err = c.printJSON(struct {
			App string `json:"app"`
			operate.Plan
			Window float64          `json:"window_seconds"`
			Outage *rotation.Outage `json:"outage,omitempty"`
		}{o.app.Name, p, left.Round(time.Second).Seconds(), outage})
	} else {
		err = c.printPlan(p, left)
		if err == nil && outage != nil {
			err = c.printOutage(*outage)
		}
	}
	if err != nil || p.Verdict.Outlook == rotation.OutlookFits {
		return err
	}
	c.notef("  %s", o.words.text(remedy(p.Verdict, "rotator rotation plan")))
	return exitWith(exitNoFit, nil, "")
}

// makePlan plans for what is left to do: of the whole fleet, or of the run that
// is exchanging. life is that of a refresh token about to be entered, 0 if none
// is.
func (c *cli) makePlan(ctx context.Context, o onRun, f planFlags, life time.Duration) (operate.Plan, time.Duration, error) {
	var reader operate.Reader = o.store
	client, err := c.client(o.app)
	if err != nil {
		return operate.Plan{}, 0, err
	}
	defer client.CloseIdle()
	if f, err = c.measurable(ctx, o, client, f); err != nil {
		return operate.Plan{}, 0, err
	}
	left, inflight := life, f.inflight
	expected := expectedOf(o.app)
	if inflight == 0 {
		inflight = o.app.Settings.InFlight
	}
	if o.run.Open() && o.run.Kind == rotation.KindRotation {
		snap, run, err := o.store.Snapshot(ctx, o.run.ID, store.Counted)
		if err != nil {
			return operate.Plan{}, 0, err
		}
		if f.inflight == 0 {
			inflight = run.Settings.InFlight
		}
		if left == 0 {
			left = snap.Window.Left(snap.Now)
		}
		if run.Phase == rotation.PhaseExchanging && snap.WalkDone {
			reader = rest{o.store, snap.Counts.Open() + snap.LateInstalls}
		}
		expected = expectedOfRun(snap, run)
	}
	expected.Ceiling = f.ceiling
	if left == 0 {
		left = rotation.WindowLength
	}
	if inflight == 0 {
		inflight = store.DefaultInFlight
	}
	if f.sample > 0 {
		c.waiting("asking %s of app %s", plural(f.sample, "shop"), o.app.Name)
	}
	p, err := operate.MakePlan(ctx, reader, client, o.app, operate.PlanOptions{
		Sample: f.sample, Latency: f.latency, InFlight: inflight, MaxInFlight: max(inflight, rotation.MaxAdvisedInFlight), Left: left,
		Expected: expected,
	})
	if _, whole := reader.(*store.Store); whole && err == nil && p.Shops == 0 {
		err = exitWith(exitFailed, errNoShop, o.words.text("import the app's shops: `rotator shop import FILE`"))
	}
	return p, left, err
}

// errNoShop: any verdict on an empty fleet would be that it fits.
var errNoShop = errors.New("no shop is stored, so there is nothing to plan")

// rest counts what a run has still to do instead of the fleet.
type rest struct {
	operate.Reader
	open int
}

// CountShops implements operate.Reader.
func (r rest) CountShops(context.Context, int64) (int, error) { return r.open, nil }

func (c *cli) warnOfClocks(s operate.Skew) {
	for _, w := range s.Warnings() {
		c.notef("warning: %s", w)
	}
}

func (c *cli) printPlan(p operate.Plan, left time.Duration) error {
	latency := "not measured"
	if asked := sampled(p); asked != "" {
		latency = fmt.Sprintf("p50 %s, p95 %s, p99 %s of %s", millis(p.P50MS), millis(p.P95MS), millis(p.P99MS), asked)
	}
	if p.Assumed {
		latency = "assumed; measured: " + latency
	}
	return c.printFacts(
		fact{"shops", fmt.Sprintf("%d, %d calls each", p.Shops, p.CallsPerShop)},
		fact{"workers", workersAlive(p)},
		fact{"in flight", fmt.Sprintf("%d at most", p.InFlight)},
		fact{"latency", latency},
		fact{"window", span(left)},
		fact{"verdict", string(p.Verdict.Outlook)},
		fact{"because", p.Verdict.Words},
	)
}

// workersAlive tells what the live workers can do.
func workersAlive(p operate.Plan) string {
	if p.Workers == 0 {
		return "0 alive"
	}
	return fmt.Sprintf("%d alive, %s at most", p.Workers, plural(p.Reach, "call"))
}

func millis(v float64) string { return strconv.FormatFloat(v, 'f', 1, 64) + "ms" }

// sampled says what the asked shops answered, "" if none was asked.
func sampled(p operate.Plan) string {
	total := 0
	var words []string
	for _, class := range slices.Sorted(maps.Keys(p.Sampled)) {
		total += p.Sampled[class]
		words = append(words, fmt.Sprintf("%d %s", p.Sampled[class], class))
	}
	if total == 0 {
		return ""
	}
	return fmt.Sprintf("%s asked: %s", plural(total, "shop"), strings.Join(words, ", "))
}

// remedy says what to type when the fleet does not fit; command is the one to
// repeat.
func remedy(v rotation.Verdict, command string) string {
	switch v.Outlook {
	case rotation.OutlookRaise:
		return fmt.Sprintf("raise it to %[1]d: `rotator rotation start --inflight %[1]d`, in an open run `rotator rotation tune --inflight %[1]d`; "+
			"a worker makes as many calls as its own --inflight allows, %[2]d by default", v.InFlight, store.DefaultInFlight)
	case rotation.OutlookWindows:
		return fmt.Sprintf("have %d refresh tokens ready, one after the other, and enter the first with `rotator rotation arm --accept-windows`; more workers on more machines help if in-flight is raised with them", v.Windows)
	}
	return "look at --inflight and --assume-latency, then repeat `" + command + "`"
}
