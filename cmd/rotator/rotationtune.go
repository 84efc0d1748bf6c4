package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newRotationTune(c *cli) *cobra.Command {
	var inflight int
	var pacing pacingFlags
	var requireDelivery bool
	cmd := &cobra.Command{
		Use: "tune [--inflight N] [--rate N] [--headroom P%] [flags]", Short: "Change how fast the run may go",
		Long: `Change how many calls all workers together may have in flight, how many they may
begin in a second (a shop takes two), and how much of each shop's rate bucket is
left to the app's own calls. Every worker sees it within a second and takes an
even share; of the calls in flight no more than its own --inflight.

rotator rotation status names what limits the speed now: a shop limit is that of
the buckets, fleet cap is --inflight, rate cap is --rate.

--require-delivery=false gives up that the run waits for the app to acknowledge
every new token. Deliveries go on all the same.

JSON: one object ` + movedJSON + `.`,
		Example: `  rotator rotation tune --inflight 500
  rotator rotation tune --rate 50 --headroom 40%
  rotator rotation tune --rate 0
  rotator rotation tune --require-delivery=false`,
		Args: takesNone,
	}
	run := c.runFlags(cmd, rotation.KindRotation)
	cmd.Flags().IntVar(&inflight, "inflight", 0, "calls in flight of all workers together, but one of each at least")
	pacing.add(cmd.Flags())
	cmd.Flags().BoolVar(&requireDelivery, "require-delivery", true, "false: do not wait for the app's acknowledgements")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		changed := cmd.Flags().Changed
		if changed("inflight") && (inflight < 1 || inflight > haravan.MaxInFlight) {
			return usagef(cmd, "--inflight %d: between 1 and %d calls can be in flight", inflight, haravan.MaxInFlight)
		}
		rate, headroom, err := pacing.given(changed)
		if err != nil {
			return usagef(cmd, "%w", err)
		}
		if changed("require-delivery") && requireDelivery {
			return usagef(cmd, "--require-delivery can only be given up: tokens that were swapped before were not delivered")
		}
		if requireDelivery && !changed("inflight") && rate == nil && headroom == nil {
			return usagef(cmd, "say what to change: --inflight, --rate, --headroom, or --require-delivery=false")
		}
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			t := operate.Tuning{InFlight: inflight, Rate: rate, Headroom: headroom, WaiveDeliveries: !requireDelivery}
			if err := o.op.TuneWith(cmd.Context(), o.run.ID, t); err != nil {
				return err
			}
			return c.printMoved(cmd.Context(), o, tuned(t, o.run.Settings))
		})
	}
	return cmd
}

// tuned says what was changed, and from what.
func tuned(t operate.Tuning, was store.RunSettings) string {
	var words []string
	if t.InFlight != 0 {
		words = append(words, fmt.Sprintf("%s may be in flight, it was %d", plural(t.InFlight, "call"), was.InFlight))
	}
	if t.Rate != nil {
		words = append(words, fmt.Sprintf("rate: %s, it was %s", describeRate(*t.Rate), describeRate(was.Rate)))
	}
	if t.Headroom != nil {
		words = append(words, fmt.Sprintf("headroom: %d%% of each shop's bucket, it was %d%%", *t.Headroom, was.HeadroomPercent()))
	}
	if t.WaiveDeliveries {
		words = append(words, "the run does not wait for the app's acknowledgements")
	}
	return strings.Join(words, "; ")
}
