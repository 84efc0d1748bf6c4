package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/store"
)

func newAppRemove(c *cli) *cobra.Command {
	var confirm string
	cmd := &cobra.Command{
		Use: "remove --confirm APP", Short: "Forget an app that was set by mistake",
		Long: `Remove an app with its secrets, its shops and their tokens as they were imported. It
is refused (exit code 6) when a run was ever made for it, also one that was cancelled:
the record of its runs is kept, and what a run made may be the only copy of a token.
A bound table is not touched.

JSON: one object {name, secrets, shops}; secrets and shops count what was removed.`,
		Example: "  rotator app remove --app shopsy --confirm shopsy",
		Args:    takesNone,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.removeApp(cmd.Context(), cmd, confirm) },
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "the app's name, since its tokens are not stored any more then")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func (c *cli) removeApp(ctx context.Context, cmd *cobra.Command, confirm string) error {
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	if confirm != a.Name {
		return usagef(cmd, "the app's secrets and tokens are not stored any more then: repeat its name with --confirm %s", a.Name)
	}
	moves := c.moves()
	removed, err := s.RemoveApp(ctx, c.actor, a, func(shops int64) { moves("%s removed so far…", plural(int(shops), "shop")) })
	var runs *store.AppHasRunsError
	if errors.As(err, &runs) {
		return exitWith(exitRefused, fmt.Errorf("remove app %s: %w", a.Name, runs), "another app is named with --app")
	}
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(removed)
	}
	return c.printf("%s is removed, with %s and %s.\n", a.Name, plural(int(removed.Secrets), "secret"), plural(int(removed.Shops), "shop"))
}
