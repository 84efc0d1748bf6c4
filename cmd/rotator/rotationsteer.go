package main

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newRunPause(c *cli, k rotation.Kind) *cobra.Command {
	var reason string
	const noReason = "paused by an operator"
	cmd := &cobra.Command{
		Use: "pause [--reason TEXT]", Short: "Hold the run; calls in flight finish",
		Long: `Hold the run: no worker begins another call within a second, and calls in flight
finish. The window does not stop with it.

JSON: one object ` + movedJSON + `.`,
		Example: "  rotator rotation pause\n  rotator rotation pause --reason \"the app's own deploy\"",
		Args:    takesNone,
	}
	run := c.runFlags(cmd, k)
	cmd.Flags().StringVar(&reason, "reason", noReason, "why, for the others who look")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			// A pause is never refused for want of words.
			if reason = sentence(reason); isPlaceholder(reason) {
				reason = noReason
			}
			if err := o.op.Pause(cmd.Context(), o.run.ID, cmp.Or(reason, noReason)); err != nil {
				return err
			}
			return c.printMoved(cmd.Context(), o, "")
		})
	}
	return speak(k, cmd)
}

func newRunResume(c *cli, k rotation.Kind) *cobra.Command {
	var opt operate.ResumeOptions
	cmd := &cobra.Command{
		Use: "resume [--ignore-health]", Short: "Let a held run go on",
		Long: `Let a held run go on where it stood. A run that wants another refresh token needs
rotator rotation arm instead. One that does not fit its window is judged again,
by what was tuned and by the workers that are alive now.

JSON: one object ` + movedJSON + `.`,
		Example: "  rotator rotation resume\n  rotator rotation resume --ignore-health",
		Args:    takesNone,
	}
	run := c.runFlags(cmd, k)
	if k == rotation.KindRotation {
		cmd.Use = "resume [--accept-windows] [--ignore-health]"
		cmd.Example = "  rotator rotation resume\n  rotator rotation resume --accept-windows"
		cmd.Flags().BoolVar(&opt.AcceptWindows, "accept-windows", false, "go on although this refresh token is not enough")
	}
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
	return speak(k, cmd)
}

func newRunCancel(c *cli, k rotation.Kind) *cobra.Command {
	var confirmed string
	cmd := &cobra.Command{
		Use: "cancel --confirm APP", Short: "End the run where it stands",
		Long: `End the run where it stands; what it leaves behind is said first. Tokens that were
swapped stay; where there are some, both secrets must stay alive until another
rotation has finished. After the revoke, which is the first step of a breach run,
a run can only be finished: no shop may be left without a working token.

JSON: one object ` + movedJSON + `.`,
		Example: "  rotator rotation cancel --confirm main",
		Args:    takesNone,
	}
	run := c.runFlags(cmd, k)
	cmd.Flags().StringVar(&confirmed, "confirm", "", "the app's name")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		return c.withRun(cmd.Context(), *run, func(o onRun) error { return c.cancel(cmd, o, confirmed) })
	}
	return speak(k, cmd)
}

func (c *cli) cancel(cmd *cobra.Command, o onRun, confirmed string) error {
	ctx := cmd.Context()
	snap, _, err := o.store.Snapshot(ctx, o.run.ID, store.Counted)
	if err != nil {
		return err
	}
	leaves := operate.Leaves(snap)
	possible := o.run.Open() && operate.TooLateToCancel(snap) == ""
	if possible && (confirmed != "" || isTerminal(c.stdin)) {
		c.notef("Cancelling leaves behind: %s.", leaves)
	}
	if possible && confirmed == "" {
		if confirmed, err = c.ask(ctx, "Type the app's name to cancel"); err != nil {
			return err
		}
	}
	cancel := o.op.Cancel
	if possible && confirmed == o.app.Name && rotation.WrongSecretRevoked(snap) {
		if err := c.lookIfNewDead(ctx, o); err != nil {
			return err
		}
		cancel = o.op.CancelWrongRevoke
	}
	o.counting()
	if err := cancel(ctx, o.run.ID, confirmed); err != nil {
		return err
	}
	return c.printMoved(ctx, o, fmt.Sprintf("run %d is cancelled: %s", o.run.ID, leaves))
}
