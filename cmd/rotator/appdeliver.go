package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/deliver"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/store"
)

// deliverFlags are the flags of `app set` that say where the app is told of new
// tokens.
type deliverFlags struct{ url, keyFile, keyNew string }

func (f *deliverFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.StringVar(&f.url, "deliver-url", "", "URL that is told of every new token; empty to stop")
	fs.StringVar(&f.keyFile, "deliver-key-file", "", "file that holds the key that signs deliveries; - for stdin")
	fs.StringVar(&f.keyNew, "deliver-key-new", "", "make such a key, and write it to this new file")
}

// key reads the key or makes one; zero if none of both was asked for.
func (f *deliverFlags) key(ctx context.Context, c *cli, cmd *cobra.Command) (secret.String, error) {
	switch changed := cmd.Flags().Changed; {
	case changed("deliver-key-file") && changed("deliver-key-new"):
		return secret.String{}, errors.New("--deliver-key-file and --deliver-key-new: give one of both")
	case changed("deliver-key-new") && (f.keyNew == "" || f.keyNew == "-"):
		return secret.String{}, errors.New("--deliver-key-new: name a file that is not there yet")
	case changed("deliver-key-new"):
		return deliver.NewKey(), nil
	case changed("deliver-key-file") && f.keyFile == "":
		return secret.String{}, errors.New("--deliver-key-file: name a file, or - for stdin")
	case !changed("deliver-key-file"):
		return secret.String{}, nil
	}
	key, err := c.readSecret(ctx, cmd, "deliver key", f.keyFile)
	if err != nil {
		return key, err
	}
	if err := deliver.CheckKey(key); err != nil {
		return secret.String{}, fmt.Errorf("--deliver-key-file: what it holds %w", err)
	}
	return key, nil
}

// apply changes a by the flags that were given.
func (f *deliverFlags) apply(changed func(string) bool, a *store.App) error {
	if changed("deliver-url") {
		a.Settings.DeliverURL = f.url
	}
	if a.Settings.DeliverURL == "" {
		return nil
	}
	err := deliver.CheckURL(a.Settings.DeliverURL)
	keyComing := changed("deliver-key-file") || changed("deliver-key-new")
	if a.DeliverKeyFingerprint == "" && !keyComing {
		err = errors.Join(err, errors.New("--deliver-url needs a key to sign with: --deliver-key-new FILE makes one"))
	}
	return err
}

// saveKey writes a key that was made to its file, for the app's configuration:
// before it is stored here, since a key that only the database has is lost.
func (f *deliverFlags) saveKey(key secret.String) error {
	if f.keyNew == "" {
		return nil
	}
	out, err := shopfile.CreatePrivate(f.keyNew, shopfile.CreateOptions{})
	if err != nil {
		return exitWith(exitFailed, err, "a key that is in a file already is stored by --deliver-key-file")
	}
	defer out.Close()
	if _, err := out.Write([]byte(key.Reveal() + "\n")); err != nil {
		return err
	}
	return out.Commit()
}

// notStored tells what is left of a key that was saved, but not stored.
func (f *deliverFlags) notStored(err error) error {
	if f.keyNew == "" {
		return err
	}
	return exitWith(exitCodeOf(err), err, "the new key is in its file, but not in use: repeat with --deliver-key-file")
}
