package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/secret"
)

func newKeyring(c *cli) *cobra.Command {
	return noun("keyring", "The keys that seal tokens and secrets",
		`The keyring is one file with the keys that seal every token and secret in the
database. Without it they cannot be opened by anyone: back it up, apart from the
database.`,
		newKeyringCreate(c), newKeyringShow(c), newKeyringVerify(c))
}

// keyringFacts is the answer of both verbs.
type keyringFacts struct {
	Path  string `json:"path"`
	KeyID uint32 `json:"key_id"`
}

func (c *cli) printKeyring(path string, k *secret.Keyring) error {
	facts := keyringFacts{path, k.KeyID()}
	if c.asJSON {
		return c.printJSON(facts)
	}
	return c.printFacts(fact{"path", facts.Path}, fact{"key id", strconv.FormatUint(uint64(facts.KeyID), 10)})
}

// keyringPath is the argument, or what the configuration says.
func (c *cli) keyringPath(args []string) (string, error) {
	if len(args) == 1 && args[0] != "" {
		return args[0], nil
	}
	cfg, err := c.settings()
	return cfg.Keyring, err
}

func newKeyringCreate(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "create [FILE]", Short: "Make a keyring file",
		Long: `Make a keyring file that only its owner can read (mode 0600). It never overwrites.
Without FILE it is made where ROTATOR_KEYRING says.

JSON: one object {path, key_id}.`,
		Example: "  rotator keyring create /etc/rotator/keyring.json\n  ROTATOR_KEYRING=/etc/rotator/keyring.json rotator keyring create",
		Args:    mayTake("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := c.keyringPath(args)
			if err != nil {
				return err
			}
			if _, err := os.Lstat(path); err == nil {
				return fmt.Errorf("create keyring %s: it exists, and is left as it is", path)
			}
			k, err := secret.CreateKeyring(path)
			if err != nil {
				return err
			}
			c.notef("Back this file up, apart from the database: nothing sealed with it opens without it.")
			return c.printKeyring(path, k)
		},
	}
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func newKeyringShow(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show [FILE]", Short: "Show which keyring is in use",
		Long: `Show the path of the keyring and the id of the key that seals now; never a key.

JSON: one object {path, key_id}.`,
		Example: "  rotator keyring show\n  rotator keyring show /etc/rotator/keyring.json --json",
		Args:    mayTake("FILE"),
		RunE: func(_ *cobra.Command, args []string) error {
			path, err := c.keyringPath(args)
			if err != nil {
				return err
			}
			k, err := secret.OpenKeyring(path)
			if errors.Is(err, fs.ErrNotExist) {
				return exitWith(exitConfig, err, "restore it from its backup; for a database in which nothing is sealed yet `rotator keyring create` makes one")
			}
			if err != nil {
				return exitWith(exitConfig, err, "")
			}
			return c.printKeyring(path, k)
		},
	}
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}
