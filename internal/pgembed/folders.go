package pgembed

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// DataDir returns the folder that holds rotator's own data (the keyring, and
// postgres below it): ROTATOR_DATA_DIR when it is set, /var/lib/rotator for
// root, else rotator in XDG_DATA_HOME or ~/.local/share (XDG Base Directory
// Specification, "Environment variables"). It does not create it.
func DataDir() (string, error) {
	if dir := os.Getenv("ROTATOR_DATA_DIR"); dir != "" {
		abs, err := filepath.Abs(dir)
		if err != nil {
			return "", fmt.Errorf("find data folder ROTATOR_DATA_DIR: %w", err)
		}
		return abs, nil
	}
	if os.Geteuid() == 0 {
		// Root's home cannot be reached by the account that the server runs as.
		return "/var/lib/rotator", nil
	}
	// The specification says to ignore a relative path.
	if dir := os.Getenv("XDG_DATA_HOME"); filepath.IsAbs(dir) {
		return filepath.Join(dir, "rotator"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", fmt.Errorf("find data folder: %w: set ROTATOR_DATA_DIR", err)
	}
	return filepath.Join(home, ".local", "share", "rotator"), nil
}

// DefaultDir returns the folder of the durable cluster, postgres in DataDir.
func DefaultDir() (string, error) {
	dir, err := DataDir()
	if err != nil {
		return "", err
	}
	return filepath.Join(dir, "postgres"), nil
}

// maxSocketPath is the shorter of what Linux (107) and macOS (103) can bind.
const maxSocketPath = 103

// socketName is PostgreSQL's name of the socket file of port 5432.
const socketName = ".s.PGSQL.5432"

// socketFolder returns the folder for the socket of the cluster in dir: run in
// dir, or one with a short name derived from dir where that would be too long, or
// has a comma, which PostgreSQL and its clients take for the end of the name.
// It is below /tmp and not below XDG_RUNTIME_DIR, which goes away at logout
// while the server stays.
func socketFolder(dir string, uid int) string {
	run := filepath.Join(dir, "run")
	if len(filepath.Join(run, socketName)) <= maxSocketPath && !strings.Contains(run, ",") {
		return run
	}
	sum := sha256.Sum256([]byte(dir))
	return filepath.Join("/tmp", "rotator-"+strconv.Itoa(uid)+"-"+hex.EncodeToString(sum[:6]))
}

// removeSocketFolder removes the folder for the socket of a stopped cluster if that is
// not in dir, which is all that an operator knows of. The cluster is stopped: an empty
// folder that stays behind is no reason to say anything else.
func removeSocketFolder(dir string) {
	a, err := accountFor(dir)
	if err != nil {
		return // no server has run as any
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return
	}
	// What is not empty, or not ours, stays.
	if sockets := socketFolder(dir, a.uid); filepath.Dir(sockets) != dir {
		_ = os.Remove(sockets)
	}
}

// makePrivateFolder makes dir for a alone, or checks that it is: below /tmp
// anyone may have put something there first.
func makePrivateFolder(dir string, a account) error {
	err := os.Mkdir(dir, 0o700)
	if err == nil {
		return a.own(dir)
	}
	if !errors.Is(err, os.ErrExist) {
		return notMakeable(err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return fmt.Errorf("check folder: %w", err)
	}
	// Another root process may have made it a moment ago and not handed it over.
	if ownerOf(info) == 0 && os.Geteuid() == 0 && info.IsDir() && info.Mode().Perm() == 0o700 {
		return a.own(dir)
	}
	if err := belongs(dir, info, a); err != nil {
		return err
	}
	if info.Mode().Perm() != 0o700 {
		if err := os.Chmod(dir, 0o700); err != nil {
			return fmt.Errorf("close folder to others: %w", err)
		}
	}
	return nil
}

// belongs fails unless dir is a folder of a.
func belongs(dir string, info os.FileInfo, a account) error {
	if info.Mode()&os.ModeSymlink != 0 {
		return folderErrorf("use %s: it is a link and not a folder: remove it", dir)
	}
	if !info.IsDir() {
		return folderErrorf("use %s: not a folder: remove it", dir)
	}
	if owner := ownerOf(info); owner != a.uid {
		return folderErrorf("use folder %s: it belongs to user id %d, not to %s: remove it or choose another with ROTATOR_DATA_DIR", dir, owner, a)
	}
	return nil
}

// makeClusterFolder makes dir and what is missing above it. When the server
// runs as another user than rotator, every folder above must let it through.
func makeClusterFolder(dir string, a account) error {
	parent := filepath.Dir(dir)
	mode := os.FileMode(0o700)
	if a.other() {
		mode = 0o711 // pass through, without listing
	}
	above, err := existing(parent)
	if err != nil {
		return notMakeable(err)
	}
	if err := closedToServer(above, a); err != nil {
		return err // before anything is made that would stay behind
	}
	if err := makeFolders(parent, mode); err != nil {
		return notMakeable(err)
	}
	if a.other() {
		if err := letThrough(parent, a); err != nil {
			return err
		}
	}
	if err := adoptEmptyFolder(dir, a); err != nil {
		return err
	}
	return makePrivateFolder(dir, a)
}

// existing returns dir, or the first above it that is there.
func existing(dir string) (string, error) {
	for {
		_, err := os.Stat(dir)
		if !errors.Is(err, os.ErrNotExist) {
			return dir, err
		}
		dir = filepath.Dir(dir)
	}
}

// makeFolders makes dir and what is missing above it with that very mode: a umask
// would keep the server out. Folders that were there stay as they are.
func makeFolders(dir string, mode os.FileMode) error {
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		return os.MkdirAll(dir, mode) // knows what else is wrong
	}
	if err := makeFolders(filepath.Dir(dir), mode); err != nil {
		return err
	}
	if err := os.Mkdir(dir, mode); errors.Is(err, os.ErrExist) {
		return os.MkdirAll(dir, mode) // another process was faster
	} else if err != nil {
		return err
	}
	return os.Chmod(dir, mode)
}

// adoptEmptyFolder gives an existing empty dir to a, so that an operator can
// prepare the folder. A folder with content is never given away.
func adoptEmptyFolder(dir string, a account) error {
	if !a.other() {
		return nil
	}
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) || len(entries) > 0 {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look into folder for PostgreSQL: %w", err)
	}
	return a.own(dir)
}

// letThrough checks that a can pass dir and every folder above it. Rotator's
// own data folder is opened where needed; nobody else's is.
func letThrough(dir string, a account) error {
	open, err := closedOwn(dir, a)
	if err != nil || open == "" {
		return err
	}
	info, err := os.Stat(open)
	if err != nil {
		return fmt.Errorf("check folder for PostgreSQL: %w", err)
	}
	if err := os.Chmod(open, info.Mode().Perm()|0o011); err != nil {
		return fmt.Errorf("open folder for the server's user: %w", err)
	}
	return nil
}

// closedOwn returns rotator's own data folder if a could pass that once it is
// opened, "" if nothing keeps a from dir, and fails if another folder does.
func closedOwn(dir string, a account) (open string, err error) {
	var own os.FileInfo // without one, nothing is rotator's own
	if data, err := DataDir(); err == nil {
		own, _ = os.Stat(data)
	}
	for d := dir; ; d = filepath.Dir(d) {
		info, err := os.Stat(d)
		switch {
		case err != nil:
			return "", fmt.Errorf("check folder for PostgreSQL: %w", err)
		case a.mayPass(info):
		case own == nil || !os.SameFile(info, own): // a link may lead to it
			return "", folderErrorf("use folder %s: the server runs as %s, who cannot pass through %s: choose another with ROTATOR_DATA_DIR", dir, a, d)
		default:
			open = d
		}
		if d == filepath.Dir(d) {
			return open, nil
		}
	}
}

func ownerOf(info os.FileInfo) int {
	return int(info.Sys().(*syscall.Stat_t).Uid)
}

func groupOf(info os.FileInfo) int {
	return int(info.Sys().(*syscall.Stat_t).Gid)
}
