package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
)

func newRunRetry(c *cli, k rotation.Kind) *cobra.Command {
	var class string
	cmd := &cobra.Command{
		Use: "retry [--class CLASS] [DOMAIN]", Short: "Try parked and waiting shops again now",
		Long: `Make parked shops, and shops that wait for a later attempt, due now: all of them,
those of one class, or one shop. Classes:
` + named(rotation.Classes[:6]) + `,
` + named(rotation.Classes[6:]) + `.

JSON: one object {run, shops}.`,
		Example: "  rotator rotation retry\n  rotator rotation retry --class network\n  rotator rotation retry some-shop",
		Args:    mayTake("DOMAIN"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	run := c.runFlags(cmd, k)
	cmd.Flags().StringVar(&class, "class", "", "only shops whose last failure was of this class")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if class != "" && !rotation.Class(class).Valid() {
			return usagef(cmd, "--class %s: choose from %s", quoted(class), named(rotation.Classes))
		}
		shop := ""
		if len(args) == 1 {
			var err error
			if shop, err = domain(cmd, args[0]); err != nil {
				return err
			}
		}
		return c.withRun(cmd.Context(), *run, func(o onRun) error { return c.retry(cmd, o, rotation.Class(class), shop) })
	}
	return speak(k, cmd)
}

func (c *cli) retry(cmd *cobra.Command, o onRun, class rotation.Class, shop string) error {
	if shop != "" {
		// A name that the run does not know must not look like success.
		if _, err := o.store.Item(cmd.Context(), o.run.ID, shop); err != nil {
			return err
		}
	}
	n, err := o.op.Retry(cmd.Context(), o.run.ID, class, shop)
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(struct {
			Run   int64 `json:"run"`
			Shops int64 `json:"shops"`
		}{o.run.ID, n})
	}
	if n == 0 {
		return c.printf("nothing to retry: no such shop is parked or waiting\n")
	}
	return c.printf("%s due now\n", plural(int(n), "shop"))
}

func newRunWaive(c *cli, k rotation.Kind) *cobra.Command {
	var reason string
	cmd := &cobra.Command{
		Use: "waive DOMAIN --reason TEXT", Short: "Accept one shop as it is, by name and with a reason",
		Long: `Accept one shop as it is: parked, waiting, or broken after the revoke. The run no
longer waits for it. The reason is kept in the journal, with your name.

JSON: one object ` + movedJSON + `.`,
		Example: "  rotator rotation waive some-shop --reason \"the merchant left; ticket 4711\"",
		Args:    takes("DOMAIN"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	run := c.runFlags(cmd, k)
	cmd.Flags().StringVar(&reason, "reason", "", "why it is accepted")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		shop, err := domain(cmd, args[0])
		if err != nil {
			return err
		}
		if strings.TrimSpace(reason) == "" {
			return usagef(cmd, "--reason is missing: say why %s is accepted as it is", shop)
		}
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			if _, err := o.store.Item(cmd.Context(), o.run.ID, shop); err != nil {
				return err
			}
			if err := o.op.Waive(cmd.Context(), o.run.ID, shop, strings.TrimSpace(reason)); err != nil {
				return err
			}
			return c.printMoved(cmd.Context(), o, fmt.Sprintf("%s is waived", shop))
		})
	}
	return speak(k, cmd)
}
