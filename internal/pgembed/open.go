package pgembed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Open starts the durable cluster of o.Dir, or joins it where it runs already,
// and returns when it accepts connections. Without one it makes it. The server
// stays when the process ends, until Stop: the command line and a worker share
// it. Waiting ends with ctx only.
func Open(ctx context.Context, o Options) (*Cluster, error) {
	dir, err := clusterDir(o.Dir)
	if err != nil {
		return nil, err
	}
	note := newNotes(o.Log)
	a, err := accountFor(dir)
	if err != nil {
		return nil, err
	}
	if err := checkStartable(dir, o); err != nil {
		return nil, err
	}
	if err := makeClusterFolder(dir, a); err != nil {
		return nil, err
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return nil, fmt.Errorf("find folder of PostgreSQL: %w", err)
	}
	c := &Cluster{dir: dir, socketDir: socketFolder(dir, a.uid), options: o, account: a, note: note}
	if err := c.StartServer(ctx); err != nil {
		return nil, err
	}
	return c, nil
}

// checkStartable fails for wrong settings, and when a start would need programs
// that are missing, before anything is made. A server that runs can be joined
// without programs.
func checkStartable(dir string, o Options) error {
	if _, err := settingsFile("", o.Settings); err != nil {
		return err
	}
	_, alive, err := running(dataFolder(dir))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("look at PostgreSQL in %s: %w", dir, err)
	}
	if alive {
		return nil
	}
	major, err := dataMajor(dir)
	if err != nil {
		return err
	}
	_, err = chooseBinaries(o.Binaries, dir, major)
	return err
}

// clusterDir returns dir made absolute, or DefaultDir for "", or where that leads to
// if it is a link.
func clusterDir(dir string) (string, error) {
	if dir == "" {
		def, err := DefaultDir()
		if err != nil {
			return "", err
		}
		return throughLink(def)
	}
	abs, err := filepath.Abs(dir)
	if err != nil {
		return "", fmt.Errorf("find folder of PostgreSQL: %w", err)
	}
	return throughLink(abs)
}
