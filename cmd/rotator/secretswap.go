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
	var old int
	cmd := &cobra.Command{
		Use: "swap --old VERSION --confirm APP", Short: "Let two versions change places that were entered as each other",
		Long: `Let the app's two living versions change places, when the new secret was entered
as the one in use and the other way round: what was active is pending then, what was
retiring is active. The platform makes tokens under either, so nothing shows the
mistake but rotator secret identify, and what was exchanged under the wrong one would
die with the revoke. The next rotation exchanges it again.

VERSION is the one that the app has worked with until now. So a first secret that was
entered wrongly is put right, too: add the right one, make it the old one of the two,
and discard the wrong one.

It is refused (exit code 6) while a run is open, cancel it first; without two living
versions; when VERSION is the old one already; and when a run that is closed has
proven the other.`,
		Example: "  rotator secret swap --old 2 --confirm shopzy",
		Args:    takesNone,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.swapSecrets(cmd.Context(), cmd, old, confirm) },
	}
	cmd.Flags().IntVar(&old, "old", 0, "the version that is the old one of the two")
	cmd.Flags().StringVar(&confirm, "confirm", "", "the app's name, since it decides which secret is revoked")
	c.appFlag(cmd)
	return cmd
}

func (c *cli) swapSecrets(ctx context.Context, cmd *cobra.Command, old int, confirm string) error {
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	if old < 1 {
		return usagef(cmd, "say which version is the old one of the two: --old VERSION, as `rotator secret list` shows it")
	}
	if confirm != a.Name {
		return usagef(cmd, "whoever revokes the wrong secret kills every token: repeat the app's name with --confirm %s", a.Name)
	}
	err = s.SwapSecrets(ctx, c.actor, a, old)
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
