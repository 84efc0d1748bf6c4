package pgembed

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// hang stops all processes of the cluster, the main one first, until goOn or the
// end of the test.
func hang(t *testing.T, c *Cluster) (goOn func()) {
	t.Helper()
	all := []int{c.PID()}
	goOn = func() {
		for _, pid := range all {
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
				t.Error(err)
			}
		}
	}
	t.Cleanup(goOn)
	must(t, syscall.Kill(c.PID(), syscall.SIGSTOP)) // so that none is added
	others, err := leftovers(dataFolder(c.Dir()))
	must(t, err)
	all = append(all, others...)
	for _, pid := range all {
		if err := syscall.Kill(pid, syscall.SIGSTOP); !errors.Is(err, syscall.ESRCH) {
			must(t, err)
		}
		eventually(t, fmt.Sprintf("process %d is stopped", pid), func() bool {
			here, err := worksIn(pid, dataFolder(c.Dir())) // one that ended stays a zombie
			return isStopped(pid) || err == nil && !here
		})
	}
	return goOn
}

// rewrite changes what the server's postmaster.pid says.
func rewrite(t *testing.T, dir, old, new string) {
	t.Helper()
	path := filepath.Join(dir, "data", "postmaster.pid")
	b, err := os.ReadFile(path)
	must(t, err)
	changed := strings.Replace(string(b), old, new, 1)
	if changed == string(b) {
		t.Fatalf("%s has no %q: %s", path, old, b)
	}
	must(t, os.WriteFile(path, []byte(changed), 0o600))
}

// brief is enough for a server that never answers.
var brief = patience{answer: 300 * time.Millisecond, stop: 300 * time.Millisecond}

// A smart shutdown lasts as long as its last client: nobody may wait for that with
// the folder's lock, which `db stop` needs.
func TestAServerThatWaitsForItsClientsToLeave(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	c := mustOpen(t, Options{Dir: dir})
	client, err := pgx.Connect(t.Context(), c.ConnString("postgres"))
	must(t, err)
	defer client.Close(t.Context())
	must(t, syscall.Kill(c.PID(), syscall.SIGTERM)) // a smart shutdown
	eventually(t, "it is stopping", func() bool {
		p, _, err := running(dataFolder(dir))
		return err == nil && p.status == "stopping"
	})
	if _, err := Open(t.Context(), Options{Dir: dir, patience: brief}); err == nil || !strings.Contains(err.Error(), "rotator db stop") {
		t.Errorf("%v, want what to do", err)
	}
	must(t, Stop(t.Context(), dir))
	mustOpen(t, Options{Dir: dir})
}

// The lock is free again when the error is told: others hear it, too.
func TestAServerThatHangsIsAnErrorThatSaysWhatToDo(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	c := mustOpen(t, Options{Dir: dir})
	pid := c.PID()
	goOn := hang(t, c)
	errs := make(chan error, 3)
	for range cap(errs) {
		go func() {
			_, err := Open(t.Context(), Options{Dir: dir, patience: brief})
			errs <- err
		}()
	}
	for range cap(errs) {
		wantText(t, <-errs, "PostgreSQL in "+dir+" hangs", fmt.Sprintf("process %d has not answered for 300ms", pid),
			fmt.Sprintf("`kill -CONT %d`", pid), "see postgres/server.log", "`rotator db stop` ends it")
	}
	release, err := lockFolder(t.Context(), dir, newNotes(nil))
	must(t, err)
	release()
	goOn()
	if again := mustOpen(t, Options{Dir: dir}); again.PID() != pid {
		t.Errorf("continued, it is process %d, was %d", again.PID(), pid)
	}
}

// Each command that gave up is still in the queue to be let in.
func TestAServerThatHangsForManyCommandsHangs(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	c := mustOpen(t, Options{Dir: dir, Settings: map[string]string{"max_connections": "20"}})
	goOn := hang(t, c)
	var queue []net.Conn
	leave := func() {
		for _, conn := range queue {
			_ = conn.Close()
		}
	}
	defer leave()
	var err error
	for n := 0; err == nil; n++ {
		if n == 10_000 {
			t.Skip("this system's queue has no end")
		}
		var conn net.Conn
		if conn, err = net.Dial("unix", filepath.Join(c.socketDir, socketName)); err == nil {
			queue = append(queue, conn)
		}
	}
	_, err = Open(t.Context(), Options{Dir: dir, patience: brief})
	wantText(t, err, "hangs", "`rotator db stop` ends it")

	// One that only was busy is waited for.
	busy := onWrite(func() { goOn(); leave() })
	mustExecute(t, mustOpen(t, Options{Dir: dir, Log: busy}).URL(), "select 1")
}

// onWrite is called with the first line that is said, and others.
type onWrite func()

func (f onWrite) Write(b []byte) (int, error) {
	f()
	return len(b), nil
}

func TestAServerThatHangsWhileItStartsIsNotWaitedForLikeOneThatRecovers(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	c := mustOpen(t, Options{Dir: dir})
	hang(t, c)
	rewrite(t, dir, "ready", "starting")
	defer rewrite(t, dir, "starting", "ready")
	_, err := Open(t.Context(), Options{Dir: dir, patience: brief})
	wantText(t, err, "hangs", fmt.Sprintf("`kill -CONT %d`", c.PID()))
}

func TestStopContinuesWhatASignalHasStopped(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	c := mustOpen(t, Options{Dir: dir})
	mustExecute(t, c.URL(), "create table kept (n int)")
	pid := c.PID()
	hang(t, c)
	var said bytes.Buffer
	must(t, StopWith(t.Context(), Options{Dir: dir, Log: &said}))
	if want := fmt.Sprintf("a signal had stopped PostgreSQL (process %d): it was continued", pid); !strings.Contains(said.String(), want) {
		t.Errorf("said %q, want %q", said.String(), want)
	}
	if s := mustInspect(t, dir); s.State != Stopped {
		t.Errorf("%+v", s)
	}
	mustExecute(t, mustOpen(t, Options{Dir: dir}).URL(), "select * from kept")
}

// Its process is there for a moment longer than its postmaster.pid.
func TestAServerThatIsAllButGoneHasBegunToStop(t *testing.T) {
	t.Parallel()
	dir, p := durableFolder(t), patience{answer: time.Second, stop: time.Minute}
	must(t, p.overdue(dir, os.Getpid(), 2*time.Second))
	wantText(t, p.overdue(dir, os.Getpid(), time.Minute), "is still stopping after 1m0s")
}

// The main process was killed at last; the others are still stopped.
func TestLeftoversThatASignalHasStoppedAreEnded(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	c := mustOpen(t, Options{Dir: dir})
	mustExecute(t, c.URL(), "create table kept (n int)")
	hang(t, c)
	must(t, c.Kill())
	mustExecute(t, mustOpen(t, Options{Dir: dir}).URL(), "select * from kept")
}

// A server that recovers says so, for longer than one that hangs is waited for. It
// kills a process that does not end after five seconds: PostgreSQL,
// src/backend/postmaster/postmaster.c, SIGKILL_CHILDREN_AFTER_SECS.
func TestAServerThatRecoversIsWaitedFor(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	c := mustOpen(t, Options{Dir: dir})
	backend := func() int {
		conn, err := pgx.Connect(t.Context(), c.URL())
		must(t, err)
		t.Cleanup(func() { _ = conn.Close(context.Background()) })
		return int(conn.PgConn().PID())
	}
	stuck, victim := backend(), backend()
	must(t, syscall.Kill(stuck, syscall.SIGSTOP))
	must(t, syscall.Kill(victim, syscall.SIGKILL))
	eventually(t, "the server recovers", func() bool {
		conn, err := pgx.Connect(t.Context(), c.URL())
		if err == nil {
			_ = conn.Close(t.Context())
		}
		return err != nil && strings.Contains(err.Error(), "57P03")
	})
	var said lockedBuffer
	again, err := Open(t.Context(), Options{Dir: dir, Log: &said, patience: patience{answer: 3 * time.Second}})
	if err != nil {
		t.Fatal(err)
	}
	mustExecute(t, again.URL(), "select 1")
	if !strings.Contains(said.String(), "takes no connections yet") {
		t.Errorf("said %q", said.String())
	}
}

// lockedBuffer is what several processes' lines are written to.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}
