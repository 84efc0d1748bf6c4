package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/store"
)

func newSecretSwap(c *cli) *cobra.Command {
	var confirm string
	cmd := &cobra.Command{
		Use: "swap --confirm APP", Short: "Let two versions change places that were entered as each other",
		Long: `Let the app's two living versions change places, when the new secret was entered
as the one in use and the other way round: what was active is pending then, what was
retiring is active. The platform makes tokens under either, so nothing shows the
mistake but rotator secret identify, and what was exchanged under the wrong one would
die with the revoke. The next rotation exchanges it again.

So a first secret that was entered wrongly is put right, too: add the right one, swap
them, and discard the wrong one.

It is refused (exit code 6) while a run is open, cancel it first; without two living
versions; and when a run that is closed has proven the one that is in use.`,
		Example: "  rotator secret swap --confirm shopzy",
		Args:    takesNone,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.swapSecrets(cmd.Context(), cmd, confirm) },
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "the app's name, since it decides which secret is revoked")
	c.appFlag(cmd)
	return cmd
}

func (c *cli) swapSecrets(ctx context.Context, cmd *cobra.Command, confirm string) error {
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	if confirm != a.Name {
		return usagef(cmd, "whoever revokes the wrong secret kills every token: repeat the app's name with --confirm %s", a.Name)
	}
	err = s.SwapSecrets(ctx, c.actor, a)
	var why *store.UnswappableError
	if errors.As(err, &why) {
		return exitWith(exitRefused, fmt.Errorf("swap the secrets of app %s: %w", a.Name, why),
			"`rotator secret list` shows the versions; `rotator rotation cancel` ends a run; `rotator secret discard` gives a pending version up")
	}
	if err != nil {
		return err
	}
	return c.listSecretsOf(ctx, s, a)
}
