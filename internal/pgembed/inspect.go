package pgembed

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// State is what a durable cluster is doing.
type State string

// The states of a durable cluster.
const (
	Absent   State = "absent"   // no data folder yet
	Stopped  State = "stopped"  // data, no server
	Starting State = "starting" // recovering, perhaps
	Running  State = "running"  // accepts connections
	Stopping State = "stopping"
)

// Status describes a durable cluster.
type Status struct {
	State     State
	Dir       string    // the cluster's folder
	SocketDir string    // "" unless a server runs
	PID       int       // 0 unless a server runs
	Version   string    // major version of the data folder, "" when absent
	StartedAt time.Time // UTC; zero unless a server runs
	SizeBytes int64     // of the data folder
}

// Inspect describes the durable cluster in dir ("" for DefaultDir) without
// changing anything. Absent and stopped are states; an error means that the
// folder could not be looked at.
func Inspect(ctx context.Context, dir string) (Status, error) {
	s, err := inspect(ctx, dir)
	return s, ofFolder(err)
}

func inspect(ctx context.Context, dir string) (Status, error) {
	dir, err := clusterDir(dir)
	if err != nil {
		return Status{}, err
	}
	s := Status{State: Absent, Dir: dir}
	data := dataFolder(dir)
	if _, err := os.Stat(data); errors.Is(err, os.ErrNotExist) {
		return s, nil
	} else if err != nil {
		return Status{}, fmt.Errorf("look at PostgreSQL: %w: run rotator as the folder's owner", err)
	}
	major, err := dataMajor(dir)
	if err != nil {
		return Status{}, err
	}
	s.State, s.Version = Stopped, strconv.Itoa(major)
	if s.SizeBytes, err = folderSize(ctx, data); err != nil {
		return Status{}, fmt.Errorf("measure PostgreSQL data folder: %w", err)
	}
	p, alive, err := running(data)
	if err != nil {
		return Status{}, fmt.Errorf("look at PostgreSQL in %s: %w", dir, err)
	}
	if !alive {
		return s, nil
	}
	s.PID, s.SocketDir, s.StartedAt = p.pid, p.socketDir, p.startedAt
	switch p.status {
	case "ready":
		s.State = Running
	case "stopping":
		s.State = Stopping
	default:
		s.State = Starting
	}
	return s, nil
}

// Stop is StopWith for the cluster in dir ("" for DefaultDir), without a log.
func Stop(ctx context.Context, dir string) error { return StopWith(ctx, Options{Dir: dir}) }

// StopWith shuts the durable cluster of o.Dir down and returns when its server is
// gone. One that is absent or stopped is fine. One that does not react to it, or
// is not gone after a while, is an error.
func StopWith(ctx context.Context, o Options) error { return ofFolder(stop(ctx, o)) }

func stop(ctx context.Context, o Options) error {
	dir, err := clusterDir(o.Dir)
	if err != nil {
		return err
	}
	if _, err := os.Stat(dataFolder(dir)); errors.Is(err, os.ErrNotExist) {
		return nil
	} else if err != nil {
		return fmt.Errorf("stop PostgreSQL: %w: run rotator as the folder's owner", err)
	}
	note := newNotes(o.Log)
	release, err := lockFolder(ctx, dir, note)
	if err != nil {
		return err
	}
	defer release()
	if err := endServer(ctx, dir, syscall.SIGINT, note, o.patience); err != nil {
		return err
	}
	removeSocketFolder(dir)
	return nil
}

// folderSize adds the sizes of the files in dir. A server may remove some
// meanwhile.
func folderSize(ctx context.Context, dir string) (int64, error) {
	var size int64
	err := filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			var info fs.FileInfo
			if info, err = d.Info(); err == nil {
				size += info.Size()
			}
		}
		if errors.Is(err, os.ErrNotExist) {
			err = nil
		}
		return errors.Join(err, ctx.Err())
	})
	return size, err
}
