package shopfile

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// CreateOptions configure CreatePrivate.
type CreateOptions struct {
	// Overwrite allows a regular file at the path to be replaced.
	Overwrite bool
	// Stdout is what "-" and /dev/stdout mean.
	Stdout io.Writer

	named bool // as where a file cannot be without a name
}

// PrivateFile is an output that only its owner can read. Nothing is at the path
// before Commit, so that a reader never sees half a list and a failed export
// leaves nothing: one that is killed neither, where the file system has files
// without a name.
type PrivateFile struct {
	w         io.Writer
	file      *os.File // nil for the caller's Stdout
	path      string   // "" for a stream: nothing is renamed
	temp      string   // its name before Commit; "" if it has none
	overwrite bool
	done      bool
	failed    error // the first write that was not taken whole
}

// CreatePrivate opens path for writing tokens. "-" is the standard output;
// a named pipe or a device is written to as it is; anything else becomes a new
// file of mode 0600.
//
// It refuses an existing file unless told to overwrite; a symbolic link,
// because whose file it leads to is another's choice; a folder in which any
// user may replace files (others may write and the sticky bit is not set),
// because the list would be trusted at the next import; and a standard output
// that a shell redirected to a file that others can read. A folder that others
// can merely list is no danger to a file of mode 0600 and is accepted.
func CreatePrivate(path string, o CreateOptions) (*PrivateFile, error) {
	f, err := createPrivate(path, o)
	if err != nil {
		return nil, fmt.Errorf("create private file %s: %w", path, err)
	}
	return f, nil
}

func createPrivate(path string, o CreateOptions) (*PrivateFile, error) {
	switch path {
	case "":
		return nil, errors.New("the path is empty: give a file name, or - for the standard output")
	case "-", "/dev/stdout", "/dev/fd/1", "/proc/self/fd/1":
		return privateStdout(o.Stdout)
	}
	target, err := os.Stat(path)
	if err == nil && target.IsDir() {
		return nil, errors.New("it is a folder: give a file name")
	}
	if err == nil && !target.Mode().IsRegular() {
		f, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			return nil, err
		}
		return &PrivateFile{w: f, file: f}, nil
	}
	// A link that leads nowhere exists for Lstat alone.
	switch entry, err := os.Lstat(path); {
	case err == nil && entry.Mode()&fs.ModeSymlink != 0:
		return nil, errors.New("it is a symbolic link: name the file itself")
	case err == nil && !o.Overwrite:
		return nil, ErrExists
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return nil, err
	}
	folder := filepath.Dir(path)
	if err := checkFolder(folder); err != nil {
		return nil, err
	}
	if !o.named {
		if f, err := openUnnamed(folder, path); err == nil {
			return &PrivateFile{w: f, file: f, path: path, overwrite: o.Overwrite}, nil
		}
	}
	f, err := os.CreateTemp(folder, "."+filepath.Base(path)+".*") // mode 0600
	if err != nil {
		return nil, err
	}
	return &PrivateFile{w: f, file: f, path: path, temp: f.Name(), overwrite: o.Overwrite}, nil
}

// ErrExists is that of CreatePrivate and Commit for a file that may not be
// replaced.
var ErrExists = errors.New("it exists: choose another name, or say that it may be overwritten")

func privateStdout(w io.Writer) (*PrivateFile, error) {
	if w == nil {
		return nil, errors.New("there is no standard output here: give a file name")
	}
	if f, ok := w.(*os.File); ok {
		info, err := f.Stat()
		if err != nil {
			return nil, err
		}
		if info.Mode().IsRegular() && info.Mode().Perm()&0o077 != 0 {
			return nil, fmt.Errorf("the standard output is a file that others can read (mode %04o): give the file's name instead, or set umask 077 first", info.Mode().Perm())
		}
	}
	return &PrivateFile{w: w}, nil
}

func checkFolder(folder string) error {
	info, err := os.Stat(folder)
	if err != nil {
		return err
	}
	if !info.IsDir() {
		return fmt.Errorf("%s is not a folder", folder)
	}
	if info.Mode().Perm()&0o002 != 0 && info.Mode()&fs.ModeSticky == 0 {
		return fmt.Errorf("any user may replace files in the folder %s: choose another, or run chmod o-w on it", folder)
	}
	return nil
}

// Write implements io.Writer.
func (f *PrivateFile) Write(p []byte) (int, error) {
	n, err := f.w.Write(p)
	if f.failed == nil {
		f.failed = err
	}
	return n, err
}

// Commit puts the file at its path, durably. For a stream it only closes it. A
// file of which a write failed is given up: it is half a list.
func (f *PrivateFile) Commit() error {
	if f.done {
		return fmt.Errorf("commit private file %s: %w", f.path, fs.ErrClosed)
	}
	if f.path == "" {
		return f.Close()
	}
	err := f.failed
	if err == nil {
		err = f.file.Sync()
	}
	if err == nil {
		err = f.place()
	}
	if err != nil {
		f.remove()
		return fmt.Errorf("commit private file %s: %w", f.path, err)
	}
	f.done = true
	_ = f.file.Close() // it is on disk
	return nil
}

// place moves the file to the path. A link, other than a rename, fails if someone
// else made a file there in the meantime.
func (f *PrivateFile) place() error {
	if f.temp == "" && f.overwrite {
		if err := f.name(); err != nil {
			return err
		}
	}
	switch {
	case f.temp == "":
		if err := nameFile(f.file, f.path); errors.Is(err, fs.ErrExist) {
			return ErrExists
		} else if err != nil {
			return err
		}
	case f.overwrite:
		if err := os.Rename(f.temp, f.path); err != nil {
			return err
		}
	default:
		switch err := os.Link(f.temp, f.path); {
		case errors.Is(err, fs.ErrExist):
			return ErrExists
		case err != nil:
			// File systems without hard links.
			if _, statErr := os.Lstat(f.path); !errors.Is(statErr, fs.ErrNotExist) {
				return ErrExists
			}
			if err := os.Rename(f.temp, f.path); err != nil {
				return err
			}
		default:
			if err := os.Remove(f.temp); err != nil {
				return err
			}
		}
	}
	return syncFolder(filepath.Dir(f.path))
}

// name gives the file a name of its own beside the path: only a name can take
// another's place.
func (f *PrivateFile) name() error {
	f.temp = filepath.Join(filepath.Dir(f.path), ".rotator."+rand.Text())
	return nameFile(f.file, f.temp)
}

func syncFolder(folder string) error {
	d, err := os.Open(folder)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// Close gives up a file that was not committed and leaves nothing of it; after
// Commit it does nothing, so it can be deferred.
func (f *PrivateFile) Close() error {
	if f.done {
		return nil
	}
	if f.path != "" {
		f.remove()
		return nil
	}
	f.done = true
	if f.file == nil {
		return nil
	}
	return f.file.Close()
}

// remove drops the temporary file; it may be closed, or gone, already.
func (f *PrivateFile) remove() {
	f.done = true
	_ = f.file.Close()
	if f.temp != "" {
		_ = os.Remove(f.temp)
	}
}
