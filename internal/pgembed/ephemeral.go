package pgembed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const ephemeralPattern = "rotator-ephemeral-*"

// Ephemeral makes a throw-away cluster that belongs to this process: Close
// removes it, and when the process dies in any other way, kill -9 included, the
// server ends and the folder goes. Nothing in it survives a crash of the
// machine (fsync is off). ctx limits the start only.
func Ephemeral(ctx context.Context, o Options) (*Cluster, error) {
	if _, err := settingsFile("", o.Settings); err != nil {
		return nil, err
	}
	if _, err := chooseBinaries(o.Binaries, o.Dir, 0); err != nil {
		return nil, err
	}
	base, a, err := ephemeralBase(o.Dir)
	if err != nil {
		return nil, err
	}
	note := newNotes(o.Log)
	removeOrphans(ctx, base, a, note)
	dir, owner, err := ephemeralFolder(base, a)
	if err != nil {
		return nil, fmt.Errorf("make temporary PostgreSQL: %w", err)
	}
	c := &Cluster{
		dir: dir, socketDir: socketFolder(dir, a.uid), options: o, account: a,
		note: note, ephemeral: true, owner: owner,
	}
	if err := c.StartServer(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// ephemeralBase returns the folder for ephemeral folders and the account that
// works in them.
func ephemeralBase(dir string) (string, account, error) {
	chosen := dir
	if chosen == "" {
		chosen = os.TempDir()
	}
	base, err := filepath.Abs(chosen)
	if err == nil {
		base, err = filepath.EvalSymlinks(base)
	}
	if err != nil {
		return "", account{}, fmt.Errorf("make temporary PostgreSQL: %w", err)
	}
	a, err := accountFor(filepath.Join(base, "rotator-ephemeral"))
	if err != nil || !a.other() {
		return base, a, err
	}
	if err := letThrough(base, a); err != nil {
		if dir != "" {
			return "", account{}, err
		}
		base = "/tmp" // root's own temporary folder is closed to the account
	}
	return base, a, nil
}

// ephemeralFolder makes a folder and takes its lock, which marks it as in use.
func ephemeralFolder(base string, a account) (string, *os.File, error) {
	const attempts = 10
	for range attempts {
		dir, err := os.MkdirTemp(base, ephemeralPattern)
		if err != nil {
			return "", nil, err
		}
		f, err := os.Open(dir)
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return "", nil, err
		}
		// Between making and locking, another process may have taken the folder
		// for an orphan.
		locked, err := tryLock(f)
		if err == nil && locked && stillThere(f, dir) {
			if err := a.own(dir); err != nil {
				return "", nil, errors.Join(err, os.Remove(dir), f.Close())
			}
			return dir, f, nil
		}
		if err := errors.Join(err, f.Close()); err != nil {
			return "", nil, err
		}
	}
	return "", nil, fmt.Errorf("make a folder in %s: others remove it each time", base)
}

func stillThere(f *os.File, path string) bool {
	opened, err1 := f.Stat()
	named, err2 := os.Lstat(path)
	return err1 == nil && err2 == nil && os.SameFile(opened, named)
}

// heldScript runs the server as a child of a shell that holds the reading end
// of a pipe. The writing end is this process's alone: when it closes or dies,
// the shell reads the end, stops the server at once and removes the folders. The
// shell's own death leaves an orphan, which removeOrphans finds.
//
// The signal is repeated because a server that has only just been started
// ignores it, as all background commands of a shell do. Exit status 7 is "the
// pipe ended", so that a server that stops for another reason keeps its folder.
const heldScript = `
exec 3<&0 </dev/null
dir=$1 sockets=$2
shift 2
"$@" 3<&- &
server=$!
(
  while read -r _; do :; done <&3
  trap '' TERM
  while kill -QUIT $server 2>/dev/null; do sleep 0.1; done
  exit 7
) &
holder=$!
exec 3<&-
wait $server
status=$?
kill $holder 2>/dev/null
wait $holder
if [ $? -eq 7 ]; then rm -rf -- "$dir" "$sockets"; fi
exit $status
`

// heldCommand returns the command that runs argv until holder is closed. The
// caller closes the command's Stdin after the start.
func (c *Cluster) heldCommand(argv []string) (cmd *exec.Cmd, holder io.Closer, err error) {
	r, w, err := os.Pipe()
	if err != nil {
		return nil, nil, fmt.Errorf("make pipe to the server's holder: %w", err)
	}
	args := append([]string{"-c", heldScript, "rotator-postgres", c.dir, c.socketDir}, argv...)
	cmd = c.account.command(c.dir, "/bin/sh", args...)
	cmd.Stdin = r
	return cmd, w, nil
}

// remove ends the server of an ephemeral cluster and removes its folders.
func (c *Cluster) remove(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.owner == nil {
		return nil
	}
	if s := c.server; s != nil {
		s.release()
		select {
		case <-s.exited:
		case <-ctx.Done():
			return fmt.Errorf("stop temporary PostgreSQL in %s: %w", c.dir, context.Cause(ctx))
		}
		c.server = nil
	}
	err := removeCluster(ctx, c.dir, c.account, c.note)
	err = errors.Join(err, c.owner.Close())
	c.owner = nil
	return err
}

// removeCluster removes an ephemeral cluster whose lock the caller holds, after
// ending a server that is left in it.
func removeCluster(ctx context.Context, dir string, a account, note *notes) error {
	if _, err := os.Lstat(dataFolder(dir)); err == nil {
		limited, cancel := context.WithTimeout(ctx, 10*time.Second)
		defer cancel()
		if endServer(limited, dir, syscall.SIGQUIT, note, patience{}) != nil {
			if err := endServer(ctx, dir, syscall.SIGKILL, note, patience{}); err != nil {
				return err
			}
		}
	}
	return errors.Join(os.RemoveAll(socketFolder(dir, a.uid)), os.RemoveAll(dir))
}

// removeOrphans removes the ephemeral clusters in base whose processes are
// dead. Its failures are notes: they are not the new cluster's.
func removeOrphans(ctx context.Context, base string, a account, note *notes) {
	names, err := fs.Glob(os.DirFS(base), ephemeralPattern) // base is no pattern
	if err != nil {
		note.printf("look for left-over PostgreSQL folders: %v", err)
		return
	}
	for _, name := range names {
		dir := filepath.Join(base, name)
		if err := removeIfOrphan(ctx, dir, a, note); err != nil && !errors.Is(err, os.ErrNotExist) {
			note.printf("remove left-over PostgreSQL folder %s: %v", dir, err)
		}
	}
}

func removeIfOrphan(ctx context.Context, dir string, a account, note *notes) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	if owner := ownerOf(info); !info.IsDir() || (owner != a.uid && owner != os.Geteuid()) {
		return nil // someone else's
	}
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer f.Close()
	if locked, err := tryLock(f); err != nil || !locked || !stillThere(f, dir) {
		return err
	}
	return removeCluster(ctx, dir, a, note)
}
