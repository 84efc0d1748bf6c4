package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/store"
)

func newSecret(c *cli) *cobra.Command {
	return noun("secret", "The versions of the app's shared secret",
		`Each value of the app's shared secret is a numbered version:
pending, active, retiring, revoked; or discarded, if it was given up before it was
used. Values are sealed; only their fingerprints are ever shown.`,
		newSecretAdd(c), newSecretList(c), newSecretIdentify(c), newSecretSwap(c), newSecretDiscard(c))
}

func newSecretAdd(c *cli) *cobra.Command {
	var file string
	cmd := &cobra.Command{
		Use: "add [--file PATH]", Short: "Store a new version of the shared secret",
		Long: `Store a new version of the app's shared secret. The first is active; every later
one is pending until a rotation puts it to use. While a planned run has switched
to the one before and made no token with it, another is refused: cancel the run.

The value comes from --file, from stdin when that is a pipe, or from a prompt
without echo. A line break at its end is dropped; other white space is refused.
Fingerprints are keyed: they compare what rotator stores, and nothing else. What a
value elsewhere is, rotator secret identify tells.

JSON: one object {version, state, fingerprint, key_id, created_at, activated_at,
retiring_at, revoked_at, discarded_at}.`,
		Example: `  rotator secret add
  rotator secret add --file new-secret.txt
  pass show haravan/new-secret | rotator secret add --json`,
		Args: takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error { return c.addSecret(cmd.Context(), cmd, file) },
	}
	cmd.Flags().StringVar(&file, "file", "", "file that holds the secret and nothing else; - for stdin")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func (c *cli) addSecret(ctx context.Context, cmd *cobra.Command, file string) error {
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	value, err := c.readSecret(ctx, cmd, "shared secret of app "+a.Name, file)
	if err != nil {
		return err
	}
	c.waiting("waiting for the database, app %s", a.Name)
	added, err := s.AddSecret(ctx, c.actor, a.ID, value)
	var switched *store.SwitchedError
	var token *store.TokenError
	switch {
	case errors.As(err, &token):
		return exitWith(exitFailed, fmt.Errorf("add secret to app %s: %w", a.Name, err), "was another value copied from the dashboard, or another file named?")
	case errors.As(err, &switched):
		words, _ := c.appWords(ctx, s, a.Name) // bare commands are better than none
		return exitWith(exitRefused, fmt.Errorf("add secret to app %s: %w", a.Name, err), words.text(fmt.Sprintf(
			"if that one was entered wrongly, `rotator rotation cancel --confirm %[1]s`, `rotator secret discard %[2]d --confirm %[1]s`, then add the right one; else finish the run first", a.Name, switched.Version)))
	case errors.Is(err, store.ErrSameSecret):
		return exitWith(exitFailed, fmt.Errorf("add secret to app %s: %w", a.Name, err), "`rotator secret identify` tells as which version")
	case errors.Is(err, store.ErrPendingSecret):
		return exitWith(exitFailed, fmt.Errorf("add secret to app %s: %w", a.Name, err),
			"`rotator rotation start` does that; if it was entered wrongly, give it up: `rotator secret discard VERSION --confirm "+a.Name+"`")
	case err != nil:
		return fmt.Errorf("add secret to app %s: %w", a.Name, err)
	case c.asJSON:
		return c.printJSON(added)
	}
	return c.printFacts(
		fact{"version", strconv.Itoa(added.Version)},
		fact{"state", string(added.State)},
		fact{"fingerprint", added.Fingerprint},
	)
}

func newSecretList(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the versions, by number",
		Long: `List the versions of the app's shared secret, by number.

JSON Lines: one object per version, as rotator secret add.`,
		Example: "  rotator secret list\n  rotator secret list --json",
		Args:    takesNone,
		RunE:    func(cmd *cobra.Command, _ []string) error { return c.listSecrets(cmd.Context()) },
	}
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print JSON Lines")
	return cmd
}

func (c *cli) listSecrets(ctx context.Context) error {
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	return c.listSecretsOf(ctx, s, a)
}

func (c *cli) listSecretsOf(ctx context.Context, s *store.Store, a store.App) error {
	secrets, err := s.Secrets(ctx, a.ID)
	if err != nil {
		return err
	}
	rows := make([][]string, len(secrets))
	for i, v := range secrets {
		if c.asJSON {
			if err := c.printJSON(v); err != nil {
				return err
			}
		}
		rows[i] = []string{strconv.Itoa(v.Version), string(v.State), v.Fingerprint, moment(&v.CreatedAt), moment(v.RevokedAt)}
	}
	if c.asJSON {
		return nil
	}
	return c.printTable([]string{"VERSION", "STATE", "FINGERPRINT", "CREATED", "REVOKED"}, rows)
}

func newSecretDiscard(c *cli) *cobra.Command {
	var confirm string
	var lost bool
	cmd := &cobra.Command{
		Use: "discard VERSION --confirm APP", Short: "Give up a version that was entered wrongly, or is lost",
		Long: `Give up a pending version of the app's shared secret, e.g. one that was entered
wrongly. Its value is shredded and its number is not used again. A version that
a rotation has put to use cannot be discarded; cancel the rotation first.

With --lost the version that is in use is given up, because it has leaked or was
revoked by mistake while the one before still lives: after a rotation that was
cancelled. The one before is in use again, and so are the tokens that runs replaced,
if they live; what was made with the lost one counts as dead. The next rotation
exchanges all. Some shops are asked first which tokens live.`,
		Example: `  rotator secret discard 2 --confirm shopzy
  rotator secret discard 3 --lost --confirm shopzy`,
		Args: takes("VERSION"),
		RunE: func(cmd *cobra.Command, args []string) error {
			version, err := strconv.Atoi(args[0])
			if err != nil || version < 1 {
				return usagef(cmd, "VERSION is a number as `rotator secret list` shows it")
			}
			return c.discardSecret(cmd.Context(), cmd, version, confirm, lost)
		},
	}
	cmd.Flags().StringVar(&confirm, "confirm", "", "the app's name, since this cannot be undone")
	cmd.Flags().BoolVar(&lost, "lost", false, "give up the version in use: it has leaked, or is dead at the platform")
	c.appFlag(cmd)
	return cmd
}

func (c *cli) discardSecret(ctx context.Context, cmd *cobra.Command, version int, confirm string, lost bool) error {
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	if confirm != a.Name {
		return usagef(cmd, "this cannot be undone: repeat the app's name with --confirm %s", a.Name)
	}
	if lost {
		return c.loseSecret(ctx, s, a, version)
	}
	err = s.DiscardSecret(ctx, c.actor, a, version)
	if errors.Is(err, store.ErrConflict) {
		return c.notDiscarded(ctx, s, a, version)
	}
	if err != nil {
		return err
	}
	return c.printFacts(fact{"version", strconv.Itoa(version)}, fact{"state", "discarded"})
}
