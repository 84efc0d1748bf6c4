package main

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
)

func newRotationUseSecret(c *cli) *cobra.Command {
	var confirmed string
	var lost bool
	cmd := &cobra.Command{
		Use: "use-secret --confirm APP", Short: "Give a breach run the pending secret instead of a wrong one",
		Long: `Give a breach run the pending secret in the place of the new secret that it was
started with, which was entered wrongly: once its old secret is revoked such a
run cannot be cancelled for another. Enter the right value with
rotator secret add first. The wrong version is given up, and shredded.

Refused once the platform has made a token with the run's new secret, since then
it is right, unless --lost says that it has leaked or died since: what was made
with it counts as dead then, and is exchanged again. Refused also while shops are
being exchanged (exit code 6). Calls that are still under way when the run is held
are waited for, 20 seconds at most. A run that was held for the wrong secret goes
on with rotator rotation resume.

JSON: one object ` + movedJSON + `.`,
		Example: "  rotator rotation use-secret --confirm main\n  rotator rotation resume",
		Args:    takesNone,
	}
	run := c.runFlags(cmd, rotation.KindRotation)
	cmd.Flags().BoolVar(&lost, "lost", false, "the run's new secret was right, and has leaked or is dead at the platform")
	cmd.Flags().StringVar(&confirmed, "confirm", "", "the app's name")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		ctx := cmd.Context()
		return c.withRun(ctx, *run, func(o onRun) error {
			waiting := func(most time.Duration) {
				c.notef("Calls that began before the run was held are still under way, and may show that its secret is right: waiting for them, %s at most.", most.Round(time.Second))
			}
			use := o.op.UseSecret
			if lost {
				use = o.op.ReplaceLostSecret
			}
			if err := use(ctx, o.run.ID, confirmed, waiting); err != nil {
				return err
			}
			return c.printMoved(ctx, o, fmt.Sprintf("run %d goes on with the app's newest secret", o.run.ID))
		})
	}
	return cmd
}
