package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newRotationPause(c *cli) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "pause [--reason TEXT]", Short: "Hold the run; calls in flight finish",
		Long: `Hold the run: no worker begins another call within a second, and calls in flight
finish. The window does not stop with it.

JSON: one object ` + movedJSON + `.`,
		Example: "  rotator rotation pause\n  rotator rotation pause --reason \"the app's own deploy\"",
		Args:    takesNone,
	}
	run := c.runFlags(cmd)
	cmd.Flags().StringVar(&reason, "reason", "paused by an operator", "why, for the others who look")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			if err := o.op.Pause(cmd.Context(), o.run.ID, reason); err != nil {
				return err
			}
			return c.printMoved(cmd.Context(), o, "")
		})
	}
	return cmd
}

func newRotationResume(c *cli) *cobra.Command {
	var opt operate.ResumeOptions
	cmd := &cobra.Command{
		Use: "resume [--accept-windows] [--ignore-health]", Short: "Let a held run go on",
		Long: `Let a held run go on where it stood. A run that wants another refresh token needs
rotator rotation arm instead. One that does not fit its window is judged again,
by what was tuned and by the workers that are alive now.

JSON: one object ` + movedJSON + `.`,
		Example: "  rotator rotation resume\n  rotator rotation resume --accept-windows",
		Args:    takesNone,
	}
	run := c.runFlags(cmd)
	cmd.Flags().BoolVar(&opt.AcceptWindows, "accept-windows", false, "go on although this refresh token is not enough")
	cmd.Flags().BoolVar(&opt.IgnoreHealth, "ignore-health", false, "poll the app's health URL no more in this run")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			if err := o.op.ResumeWith(cmd.Context(), o.run.ID, opt); err != nil {
				return err
			}
			return c.printMoved(cmd.Context(), o, "")
		})
	}
	return cmd
}

func newRotationCancel(c *cli) *cobra.Command {
	var confirmed string
	cmd := &cobra.Command{
		Use: "cancel --confirm APP", Short: "End the run where it stands",
		Long: `End the run where it stands; what it leaves behind is said first. Tokens that were
swapped stay, and both secrets must stay alive until another rotation has
finished. After the revoke a run can only be finished.

JSON: one object ` + movedJSON + `.`,
		Example: "  rotator rotation cancel --confirm main",
		Args:    takesNone,
	}
	run := c.runFlags(cmd)
	cmd.Flags().StringVar(&confirmed, "confirm", "", "the app's name")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.withRun(cmd.Context(), *run, func(o onRun) error { return c.cancel(cmd, o, confirmed) })
	}
	return cmd
}

func (c *cli) cancel(cmd *cobra.Command, o onRun, confirmed string) error {
	ctx := cmd.Context()
	snap, _, err := o.store.Snapshot(ctx, o.run.ID, store.Counted)
	if err != nil {
		return err
	}
	leaves := operate.Leaves(snap)
	possible := o.run.Open() && o.run.Phase.Before(rotation.PhaseRevoked)
	if possible && (confirmed != "" || isTerminal(c.stdin)) {
		c.notef("Cancelling leaves behind: %s.", leaves)
	}
	if possible && confirmed == "" {
		if confirmed, err = c.ask(ctx, "Type the app's name to cancel"); err != nil {
			return err
		}
	}
	if err := o.op.Cancel(ctx, o.run.ID, confirmed); err != nil {
		return err
	}
	return c.printMoved(ctx, o, fmt.Sprintf("run %d is cancelled: %s", o.run.ID, leaves))
}

func newRotationTune(c *cli) *cobra.Command {
	var inflight int
	cmd := &cobra.Command{
		Use: "tune --inflight N", Short: "Change how many calls may be in flight",
		Long: `Change how many calls all workers together may have in flight. Every worker sees it
within a second, and takes an even share, but no more than its own --inflight.

JSON: one object ` + movedJSON + `.`,
		Example: "  rotator rotation tune --inflight 500",
		Args:    takesNone,
	}
	run := c.runFlags(cmd)
	cmd.Flags().IntVar(&inflight, "inflight", 0, "calls in flight of all workers together")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if inflight < 1 || inflight > mostInFlight {
			return usagef(cmd, "--inflight is needed: between 1 and %d calls", mostInFlight)
		}
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			if err := o.op.Tune(cmd.Context(), o.run.ID, inflight); err != nil {
				return err
			}
			return c.printMoved(cmd.Context(), o, fmt.Sprintf("%s may be in flight, it was %d", plural(inflight, "call"), o.run.Settings.InFlight))
		})
	}
	return cmd
}
