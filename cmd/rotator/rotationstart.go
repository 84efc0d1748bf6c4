package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/shopdomain"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

type startFlags struct {
	inflight               int
	batchSize              int64
	checkSample, healthURL string
	canaryShops            []string
	waves                  waveFlags
	pacing                 pacingFlags
	leaveLegacy            bool
	requireDelivery        bool
	byPriority             bool
	breach                 bool
	confirmed              string
	plan                   planFlags
}

func newRotationStart(c *cli) *cobra.Command {
	var f startFlags
	cmd := &cobra.Command{
		Use: "start [--breach --confirm APP] [--inflight N] [--canary N] [flags]", Short: "Open a rotation from the active secret to the pending one",
		Long: `Open a rotation from the active secret to the pending one. It makes no call to the
platform: workers take the fleet into the run, and the exchange begins only when
a refresh token was entered. An app has one open run at a time; a second start
changes nothing and ends with exit code 6.

The first wave is a canary: the first shops, or those named with --canary-shop,
of which the first finds the spelling of the exchange that the platform takes
(rotator app set --wire-probe). Each wave is released when the one before is done
and its failures are within the budget; the app's health URL is polled meanwhile.

While shops have a legacy token and no OAuth token a start is refused: migrate
them first with rotator tokenmigration start, or leave them with --leave-legacy.
With --require-delivery the run is proven only when the app, at its deliver URL,
has acknowledged every new token; rotator rotation tune can give that up.

--breach is for a secret that has leaked: it is revoked first, every shop is down
from then on, and the rest brings them back, the most important first. What that
costs is printed before anything happens; without --confirm APP nothing does
(exit code 6). A planned run takes shops in the order of their import, or with
--by-priority the most important first.

The flags override the app's settings for this run. A breach run has waves of its
own: a canary of 3 (--canary 1 to 5), 10 %, and all.

JSON: one object ` + movedJSON + `,
for a breach run with ` + outageJSON + `.`,
		Example: `  rotator rotation start
  rotator rotation start --inflight 1000 --canary 20 --check-sample all
  rotator rotation start --canary-shop test-1.myharavan.com --canary-shop test-2.myharavan.com
  rotator rotation start --waves canary=5,1%,10%,all --budget 10%,network=5%
  rotator rotation start --breach --confirm main`,
		Args: takesNone,
	}
	fs := cmd.Flags()
	fs.IntVar(&f.inflight, "inflight", 0, "calls in flight of all workers together, but one of each at least")
	f.pacing.add(fs)
	fs.Int64Var(&f.batchSize, "batch-size", 0, "shops in a batch")
	f.waves.add(fs)
	fs.StringArrayVar(&f.canaryShops, "canary-shop", nil, "domain of a shop for the first wave, instead of a number; repeatable")
	fs.StringVar(&f.healthURL, "health-url", "", "URL of the app that is polled while the run exchanges; the run is held when it fails")
	fs.StringVar(&f.checkSample, "check-sample", "", "shops that are looked at after the revoke: how many at least, or all")
	fs.BoolVar(&f.leaveLegacy, "leave-legacy", false, "start although shops have nothing but a legacy token, which is lost with the old secret")
	fs.BoolVar(&f.requireDelivery, "require-delivery", false, "wait for the app to acknowledge every new token (rotator app set --deliver-url)")
	fs.BoolVar(&f.byPriority, "by-priority", false, "take shops in the order of their priority, highest first")
	f.registerBreach(cmd)
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := f.options(cmd)
		if err == nil {
			err = f.checkBreach(cmd)
		}
		if err != nil {
			return err
		}
		if len(f.canaryShops) > 0 && (fs.Changed("canary") || f.waves.sayCanary()) {
			return usagef(cmd, "--canary and --canary-shop: give the number of shops or their names")
		}
		if f.breach {
			return c.startBreach(cmd.Context(), options, f, fs.Changed)
		}
		return c.start(cmd, options, f.waves)
	}
	return cmd
}

// largestBatch is the most shops that one job may be given.
const largestBatch = 10_000

func (f startFlags) options(cmd *cobra.Command) (operate.StartOptions, error) {
	o := operate.StartOptions{
		InFlight: f.inflight, BatchSize: f.batchSize, LeaveLegacy: f.leaveLegacy, RequireDelivery: f.requireDelivery,
		ByPriority: f.byPriority,
	}
	if err := inflightInRange(cmd, f.inflight); err != nil {
		return o, err
	}
	var err error
	if o.Rate, o.Headroom, err = f.pacing.given(cmd.Flags().Changed); err != nil {
		return o, usagef(cmd, "%w", err)
	}
	switch n, err := strconv.Atoi(f.checkSample); {
	case f.checkSample == "":
	case f.checkSample == "all":
		o.CheckSample = -1
	case err != nil || n <= 0:
		return o, usagef(cmd, "--check-sample %s: write a number of shops, or all", quoted(f.checkSample))
	default:
		o.CheckSample = n
	}
	switch {
	case f.batchSize < 0 || f.batchSize > largestBatch:
		return o, usagef(cmd, "--batch-size %d: a batch has between 1 and %d shops", f.batchSize, largestBatch)
	}
	if err := checkHealthURL(f.healthURL); err != nil {
		return o, usagef(cmd, "%w", err)
	}
	o.HealthURL = f.healthURL
	var errs []error
	for _, text := range f.canaryShops {
		d, err := shopdomain.Parse(text)
		if err != nil {
			errs = append(errs, fmt.Errorf("--canary-shop: %w", err))
		}
		o.CanaryShops = append(o.CanaryShops, d)
	}
	_, _, err = f.waves.apply(rotation.WavePolicy{}, cmd.Flags().Changed)
	if err := errors.Join(append(errs, err)...); err != nil {
		return o, usagef(cmd, "%w", err)
	}
	return o, nil
}

func (c *cli) start(cmd *cobra.Command, options operate.StartOptions, waves waveFlags) error {
	ctx := cmd.Context()
	return c.withApp(ctx, wantedRun{kind: rotation.KindRotation}, func(o onRun) error {
		var err error
		if options.Waves, err = o.wavesOf(waves, cmd.Flags().Changed); err != nil {
			return err
		}
		shops, err := o.store.CountShops(ctx, o.app.ID)
		if err != nil {
			return err
		}
		if options.NewestLives, err = c.lookIfNewestLives(ctx, o, false); err != nil {
			return err
		}
		run, err := o.op.Start(ctx, o.app, options)
		if err != nil {
			return o.startRefused(ctx, err)
		}
		if shops == 0 {
			c.notef("warning: no shop of app %s is stored yet: %s", o.app.Name, o.words.command("rotator shop import FILE"))
		}
		o.run = run
		return c.printMoved(ctx, o, fmt.Sprintf("run %d is open: %s", run.ID, plural(shops, "shop")))
	})
}

// startRefused adds the open run's next step to a refusal that has none.
func (o onRun) startRefused(ctx context.Context, err error) error {
	var refused *operate.Refused
	if !errors.As(err, &refused) || o.run.ID == 0 || !o.run.Open() {
		return err
	}
	snap, _, readErr := o.store.Snapshot(ctx, o.run.ID, store.Counted)
	if readErr == nil {
		refused.Next = nextStep(snap)
	}
	return err
}
