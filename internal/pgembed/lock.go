package pgembed

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"
)

// pollEvery is how often a file or a lock is looked at again: PostgreSQL and
// flock have nothing to wait on with a context.
const pollEvery = 10 * time.Millisecond

// lockFolder takes the lock of a cluster's folder, waiting for another process
// that starts or stops the cluster. The kernel drops it when this process dies.
// The lock is on the folder itself, so there is no file that another user of it
// might not be able to open.
func lockFolder(ctx context.Context, dir string, note *notes) (release func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, fmt.Errorf("lock folder of PostgreSQL: %w", err)
	}
	waiting := note.after(time.Second, "waiting for another rotator that starts or stops PostgreSQL in %s", dir)
	err = poll(ctx, func() (bool, error) {
		waiting()
		return tryLock(f)
	})
	if err != nil {
		_ = f.Close()
		return nil, fmt.Errorf("lock folder of PostgreSQL %s: %w", dir, err)
	}
	return func() { _ = f.Close() }, nil
}

// tryLock reports whether it got the exclusive lock of f.
func tryLock(f *os.File) (bool, error) {
	err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) || errors.Is(err, syscall.EINTR) {
		return false, nil
	}
	return err == nil, err
}

// poll calls done until it reports true or an error, or ctx ends.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
