package pgembed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Names that every cluster has.
const (
	databaseName = "rotator"
	databaseUser = "rotator" // superuser
)

const settingsName = "rotator.conf"

func dataFolder(dir string) string { return filepath.Join(dir, "data") }

// dataMajor returns the major version that made the data folder in dir, 0 when
// there is none.
func dataMajor(dir string) (int, error) {
	b, err := os.ReadFile(filepath.Join(dataFolder(dir), "PG_VERSION"))
	if errors.Is(err, os.ErrNotExist) {
		if _, err := os.Lstat(dataFolder(dir)); err == nil {
			return 0, fmt.Errorf("use PostgreSQL data folder %s: it has no PG_VERSION, so it is none or is damaged: restore it, or move it away to begin anew", dataFolder(dir))
		}
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("read PostgreSQL data folder: %w", err)
	}
	major, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		return 0, fmt.Errorf("use PostgreSQL data folder %s: its PG_VERSION is not a number: restore it, or move it away to begin anew", dataFolder(dir))
	}
	return major, nil
}

// initialize makes the data folder of a new cluster beside its final name and
// renames it when it is complete. The caller holds the folder's lock.
func (c *Cluster) initialize(ctx context.Context, bin Binaries) error {
	fresh, err := c.freshFolder()
	if err != nil {
		return err
	}
	args := []string{
		"-D", fresh, "-U", databaseUser, "--encoding=UTF8", "--locale=C",
		"--auth=peer", "--no-instructions",
	}
	if c.ephemeral {
		args = append(args, "--no-sync")
	} else {
		args = append(args, "--data-checksums")
		c.note.printf("making a PostgreSQL %s database in %s", bin.Version, c.dir)
	}
	cmd := c.account.command(c.dir, bin.program("initdb"), args...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	if err := runUntil(ctx, cmd); err != nil {
		err = errors.Join(err, os.RemoveAll(fresh))
		return fmt.Errorf("make PostgreSQL data folder in %s: %w%s", c.dir, err, explainLog(out.String()))
	}

	hba, ident := admission(userName(os.Geteuid()))
	for name, text := range map[string]string{"pg_hba.conf": hba, "pg_ident.conf": ident} {
		if err := c.writeFile(filepath.Join(fresh, name), text); err != nil {
			return fmt.Errorf("write PostgreSQL's %s: %w", name, err)
		}
	}
	conf := filepath.Join(fresh, "postgresql.conf")
	b, err := os.ReadFile(conf)
	if err != nil {
		return fmt.Errorf("read postgresql.conf: %w", err)
	}
	if err := c.writeFile(conf, string(b)+"\ninclude_if_exists '"+settingsName+"'\n"); err != nil {
		return fmt.Errorf("write postgresql.conf: %w", err)
	}
	if err := os.Rename(fresh, dataFolder(c.dir)); err != nil {
		return fmt.Errorf("put PostgreSQL data folder in its place: %w", err)
	}
	if c.ephemeral {
		return nil
	}
	return syncFile(c.dir)
}

// removeUnfinished removes what is left of initialisations that did not finish.
// What cannot be removed stays for a later start: the initdb of a rotator that was
// killed may still be writing into its folder. The caller holds the folder's lock.
func (c *Cluster) removeUnfinished() {
	unfinished, err := fs.Glob(os.DirFS(c.dir), "data.new-*") // c.dir is no pattern
	if err != nil {
		c.note.printf("look for unfinished PostgreSQL data folders: %v", err)
	}
	for _, name := range unfinished {
		if err := os.RemoveAll(filepath.Join(c.dir, name)); err != nil {
			c.note.printf("leaving an unfinished PostgreSQL data folder to a later start: %v", err)
		}
	}
}

// freshFolder makes an empty folder for initdb. Its name is new each time, so that
// an initdb that is left from a rotator that was killed has another.
func (c *Cluster) freshFolder() (string, error) {
	fresh, err := os.MkdirTemp(c.dir, "data.new-*")
	if err != nil {
		return "", fmt.Errorf("make PostgreSQL data folder: %w: free space, or choose another folder with ROTATOR_DATA_DIR", err)
	}
	if err := c.account.own(fresh); err != nil {
		return "", fmt.Errorf("make PostgreSQL data folder: %w", err)
	}
	return fresh, nil
}

// writeFile replaces the file at path in one step, owned by the account. It is
// on disk afterwards, except in an ephemeral cluster.
func (c *Cluster) writeFile(path, text string) error {
	temp := path + ".new"
	if err := os.WriteFile(temp, []byte(text), 0o600); err != nil {
		return err
	}
	if err := c.account.own(temp); err != nil {
		return err
	}
	if !c.ephemeral {
		if err := syncFile(temp); err != nil {
			return err
		}
	}
	return os.Rename(temp, path)
}

// syncFile makes a file, or the names in a folder, durable.
func syncFile(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
