package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/store"
)

func newSecretIdentify(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "identify [--file PATH]", Short: "Tell which version a value is",
		Long: `Tell which version of the app's shared secret a value is, e.g. the one that you are
about to revoke in the dashboard, or the one in the app's configuration. Nothing is
stored. A value that no version has ends with exit code 1.

The value is read as by rotator secret add: from --file, stdin or a prompt.

JSON: one object, as rotator secret add.`,
		Example: `  rotator secret identify
  pass show haravan/old-secret | rotator secret identify --json`,
		Args: takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.identifySecret(cmd.Context(), cmd, file) },
	}
	cmd.Flags().StringVar(&file, "file", "", "file that holds the secret and nothing else; - for stdin")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func (c *cli) identifySecret(ctx context.Context, cmd *cobra.Command, file string) error {
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	value, err := c.readSecret(ctx, cmd, "shared secret of app "+a.Name, file)
	if err != nil {
		return err
	}
	found, err := s.SecretOf(ctx, a.ID, value)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return exitWith(exitFailed, fmt.Errorf("no version of the secret of app %s has this value", a.Name),
			"`rotator secret list` shows the versions; was the whole value copied, from the page of this very app?")
	case err != nil:
		return err
	case c.asJSON:
		return c.printJSON(found)
	}
	return c.printFacts(
		fact{"version", strconv.Itoa(found.Version)},
		fact{"state", string(found.State)},
		fact{"meaning", meaning[found.State]},
	)
}

// meaning is what a version's state is to whoever holds its value.
var meaning = map[store.SecretState]string{
	store.SecretPending:   "the one to come: no rotation has put it to use yet",
	store.SecretActive:    "the one of now: whoever revokes it kills the tokens that the app works with",
	store.SecretRetiring:  "the former one: it is to be revoked, once `rotator rotation next` says so",
	store.SecretRevoked:   "dead: it was revoked in the dashboard",
	store.SecretDiscarded: "given up before it was used",
}
