package main

import (
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/store"
)

func newKeyringVerify(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "verify COPY", Short: "Confirm that a copy of the keyring opens the database",
		Long: `Confirm that a copy of the keyring, such as the one that a backup was restored
from, opens what this database holds, and note it in the journal. rotator check
warns when a rotation is near and nobody ever did.

The copy must be another file than the keyring in use, and have the key that seals
now. Keep it on another machine, and apart from the database.

JSON: one object {path, key_id}.`,
		Example: "  rotator keyring verify /mnt/backup/keyring.json",
		Args:    takes("COPY"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, done, err := c.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			copied, err := c.openCopy(args[0])
			if err != nil {
				return exitWith(exitConfig, err, "nothing was noted")
			}
			_, opens, err := store.New(s.Pool(), copied).OpensCanary(cmd.Context())
			if err != nil {
				return err
			}
			if !opens {
				return exitWith(exitConfig, errors.New("verify the copy: it does not open this database"), "it is no copy of the keyring in use; nothing was noted")
			}
			if err := s.KeyringVerified(cmd.Context(), c.actor, args[0]); err != nil {
				return err
			}
			return c.printKeyring(args[0], copied)
		},
	}
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

// openCopy opens a copy that could stand in for the keyring in use.
func (c *cli) openCopy(path string) (*secret.Keyring, error) {
	cfg, err := c.settings()
	if err != nil {
		return nil, err
	}
	there, err := os.Stat(path)
	if err != nil {
		return nil, fmt.Errorf("verify the copy: %w", err)
	}
	if used, err := os.Stat(cfg.Keyring); err == nil && os.SameFile(there, used) {
		return nil, fmt.Errorf("verify the copy: %s is the keyring in use itself, not a copy", path)
	}
	copied, err := secret.OpenKeyring(path)
	if err != nil {
		return nil, err
	}
	inUse, err := secret.OpenKeyring(cfg.Keyring)
	if err != nil {
		return nil, err
	}
	if copied.KeyID() != inUse.KeyID() {
		return nil, fmt.Errorf("verify the copy: it seals with key %d, the keyring in use with %d: copy it again", copied.KeyID(), inUse.KeyID())
	}
	return copied, nil
}
