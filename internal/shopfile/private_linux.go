package shopfile

import (
	"fmt"
	"os"

	"golang.org/x/sys/unix"
)

// openUnnamed makes a file in folder that has no name, and is gone with its
// process (open(2), O_TMPFILE). Not every file system has such files. path is
// what errors call it.
func openUnnamed(folder, path string) (*os.File, error) {
	fd, err := unix.Open(folder, unix.O_WRONLY|unix.O_TMPFILE|unix.O_CLOEXEC, 0o600)
	if err != nil {
		return nil, &os.PathError{Op: "open", Path: folder, Err: err}
	}
	f := os.NewFile(uintptr(fd), path)
	if _, err := os.Stat(descriptor(f)); err != nil { // it could not be named
		return nil, closed(f, err)
	}
	return f, nil
}

func closed(f *os.File, err error) error {
	_ = f.Close()
	return err
}

// nameFile gives a file of openUnnamed its name. The error is fs.ErrExist if
// something has it.
func nameFile(f *os.File, path string) error {
	if err := unix.Linkat(unix.AT_FDCWD, descriptor(f), unix.AT_FDCWD, path, unix.AT_SYMLINK_FOLLOW); err != nil {
		return &os.LinkError{Op: "link", Old: descriptor(f), New: path, Err: err}
	}
	return nil
}

func descriptor(f *os.File) string { return fmt.Sprintf("/proc/self/fd/%d", f.Fd()) }
