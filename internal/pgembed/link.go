package pgembed

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
)

// throughLink returns the folder that dir leads to, if it is a link: a cluster may be
// on another disk than the rest of the data. Whoever runs rotator made the link, and
// what it leads to is looked at as if it had been named. It fails for a link to
// nothing, in dir or above it: the disk may not be mounted, so that it is neither an
// empty folder nor one to be made.
func throughLink(dir string) (string, error) {
	for d := dir; ; d = filepath.Dir(d) {
		_, err := os.Stat(d)
		if errors.Is(err, syscall.ELOOP) {
			return "", folderErrorf("use folder for PostgreSQL: %w: mend the link, or choose another folder with ROTATOR_DATA_DIR", err)
		}
		if !errors.Is(err, os.ErrNotExist) || d == filepath.Dir(d) {
			break // what else is wrong is told by whoever uses it
		}
		if _, err := os.Lstat(d); err == nil {
			return "", folderErrorf("use folder %s: %s is a link to nothing: make or mount what it leads to, or choose another folder with ROTATOR_DATA_DIR", dir, d)
		}
	}
	if info, err := os.Lstat(dir); err != nil || info.Mode()&os.ModeSymlink == 0 {
		return dir, nil
	}
	to, err := filepath.EvalSymlinks(dir)
	if err != nil {
		return dir, nil
	}
	return to, nil
}
