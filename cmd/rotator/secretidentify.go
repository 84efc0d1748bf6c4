package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newSecretIdentify(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "identify [--file PATH]", Short: "Tell which version a value is",
		Long: `Tell which version of the app's shared secret a value is, e.g. the one that you are
about to revoke in the dashboard, or the one in the app's configuration. Nothing is
stored. A value that no version has ends with exit code 1, as any other failure does:
read the words.

The value is read as by rotator secret add: from --file, stdin or a prompt.

JSON: one object, as rotator secret add, with the number of shops whose stored token
was made with it: shops; and, if there are any, of those that were imported without a
--secret-version: shops_unknown.`,
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
	c.waiting("looking for tokens that were made with it")
	found, err := s.SecretOf(ctx, a.ID, value)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return exitWith(exitFailed, fmt.Errorf("no version of the secret of app %s has this value", a.Name),
			"`rotator secret list` shows the versions; was the whole value copied, from the page of this very app?")
	case err != nil:
		return err
	}
	shops, unknown, err := s.TokensOf(ctx, found)
	if err != nil {
		return err
	}
	runs, err := s.Runs(ctx, a.ID)
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(struct {
			store.Secret
			Shops   int `json:"shops"`
			Unknown int `json:"shops_unknown,omitempty"`
		}{found, shops, unknown})
	}
	tokens := plural(shops, "shop") + " hold one that was made with it"
	if unknown > 0 {
		tokens += fmt.Sprintf("; of the tokens of %s nobody has said what made them", plural(unknown, "shop"))
	}
	return c.printFacts(
		fact{"version", strconv.Itoa(found.Version)},
		fact{"state", string(found.State)},
		fact{"tokens", tokens},
		fact{"meaning", meaningOf(found, runs)},
	)
}

// meaningOf tells whoever holds a version's value, before the dashboard, whether to
// revoke it. runs are the app's, newest first.
func meaningOf(v store.Secret, runs []store.Run) string {
	leaked := len(runs) > 0 && runs[0].Open() && runs[0].Mode == rotation.ModeBreach && runs[0].Phase == rotation.PhasePrepared
	switch v.State {
	case store.SecretPending:
		return "the one to come; if it is the one that the app has worked with until now, the two were entered as each other: `rotator help secret swap`"
	case store.SecretActive:
		if leaked && runs[0].OldSecretID == v.ID {
			return "the leaked one: revoke it now, as `rotator rotation next` says"
		}
		return "the one that the app is to use; not the one to revoke"
	case store.SecretRetiring:
		return "the former one: revoke it when `rotator rotation next` says so, and not before"
	case store.SecretRevoked:
		return "the one that was said to be revoked: if `rotator rotation next` says that old tokens still answer, it is the one to revoke"
	}
	return "given up before it was used"
}
