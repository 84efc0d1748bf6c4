package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
)

func newRunRetry(c *cli, k rotation.Kind) *cobra.Command {
	var class, only string
	var now bool
	cmd := &cobra.Command{
		Use: "retry [--class CLASS | --shop DOMAIN [--ignore-cooldown]]", Short: "Try parked and waiting shops again now",
		Long: `Make parked shops, and shops that wait for a later attempt, due now: all of them,
those of one class, or one shop (a bare DOMAIN means the same as --shop). With a
class or a shop, those too that were skipped for what the platform said. A shop
that asked to be left alone is, unless --ignore-cooldown says to call it at once.
Classes:
` + named(rotation.Classes[:6]) + `,
` + named(rotation.Classes[6:]) + `.

JSON: one object {run, shops}.`,
		Example: "  rotator rotation retry\n  rotator rotation retry --class network\n  rotator rotation retry --shop some-shop --ignore-cooldown",
		Args:    mayTake("DOMAIN"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
	}
	run := c.runFlags(cmd, k)
	cmd.Flags().StringVar(&class, "class", "", "only shops whose last failure was of this class")
	cmd.Flags().StringVar(&only, "shop", "", "only this shop")
	cmd.Flags().BoolVar(&now, "ignore-cooldown", false, "call the shop at once although the platform asked for a pause; with --shop")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		switch {
		case only != "" && len(args) == 1:
			return usagef(cmd, "name the shop once")
		case only != "":
			args = []string{only}
		case now && len(args) == 0:
			return usagef(cmd, "--ignore-cooldown is for one shop at a time: name it with --shop")
		}
		if now && class != "" {
			return usagef(cmd, "--ignore-cooldown goes with --shop alone")
		}
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
		return c.withRun(cmd.Context(), *run, func(o onRun) error { return c.retry(cmd, o, rotation.Class(class), shop, now) })
	}
	return speak(k, cmd)
}

func (c *cli) retry(cmd *cobra.Command, o onRun, class rotation.Class, shop string, now bool) error {
	if shop != "" {
		// A name that the run does not know must not look like success.
		if _, err := o.item(cmd.Context(), shop); err != nil {
			return err
		}
	}
	n, err := int64(1), error(nil)
	if now {
		err = o.op.RetryNow(cmd.Context(), o.run.ID, shop)
	} else {
		n, err = o.op.Retry(cmd.Context(), o.run.ID, class, shop)
	}
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

const reasonPlaceholder = "the reason %q stands for yours: say why %s %s"

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
		if reason = sentence(reason); reason == "" {
			return usagef(cmd, "--reason is missing: say why %s is accepted as it is", shop)
		}
		if isPlaceholder(reason) {
			return usagef(cmd, reasonPlaceholder, reason, shop, "is accepted as it is")
		}
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			if _, err := o.item(cmd.Context(), shop); err != nil {
				return err
			}
			if err := o.op.Waive(cmd.Context(), o.run.ID, shop, reason); err != nil {
				return err
			}
			return c.printMoved(cmd.Context(), o, fmt.Sprintf("%s is waived", shop))
		})
	}
	return speak(k, cmd)
}
