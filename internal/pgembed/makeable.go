package pgembed

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// Makeable tells what keeps Open from making a cluster in dir ("" for DefaultDir):
// programs that are missing, or folders that this user cannot write or the
// server's cannot pass. It makes and changes nothing, so nil is no promise.
func Makeable(dir string) error {
	dir, err := clusterDir(dir)
	if err != nil {
		return err
	}
	a, err := accountFor(dir)
	if err != nil {
		return err
	}
	if err := checkStartable(dir, Options{}); err != nil {
		return err
	}
	if info, err := os.Lstat(dir); err == nil {
		if entries, err := os.ReadDir(dir); err == nil && len(entries) == 0 && a.other() {
			return closedToServer(filepath.Dir(dir), a) // would be given to the server
		}
		return errors.Join(belongs(dir, info, a), closedToServer(filepath.Dir(dir), a))
	}
	above, err := existing(filepath.Dir(dir))
	if err != nil {
		return notMakeable(err)
	}
	const write, pass = 2, 1 // access(2): W_OK, X_OK
	if err := syscall.Access(above, write|pass); err != nil {
		return notMakeable(&os.PathError{Op: "write into", Path: above, Err: err})
	}
	return closedToServer(above, a)
}

// closedToServer fails if a cannot pass dir or a folder above it, other than one
// that is opened when the cluster is made.
func closedToServer(dir string, a account) error {
	if !a.other() {
		return nil
	}
	_, err := closedOwn(dir, a)
	return err
}
