package pgembed

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// patience is how long a server is waited for that may hang. Whoever waits holds
// the folder's lock, so that others wait with it.
type patience struct {
	answer time.Duration // to a connection, or to the request to stop
	stop   time.Duration // until it is gone, once it has begun to stop
}

// usualPatience: as long as any other database is waited for, and as long as
// pg_ctl waits (PostgreSQL, "pg_ctl", -t).
var usualPatience = patience{answer: 10 * time.Second, stop: time.Minute}

func (p patience) or() patience {
	return patience{cmp.Or(p.answer, usualPatience.answer), cmp.Or(p.stop, usualPatience.stop)}
}

// errNotYet is a server that answers that it does not take connections yet.
var errNotYet = errors.New("the server takes no connections yet")

// connect is bounded but for a server that says to wait: errNotYet.
func (c *Cluster) connect(ctx context.Context, db string) (*pgconn.PgConn, error) {
	const cannotConnectNow = "57P03" // PostgreSQL, "Error Codes": starting, recovering, shutting down
	within, cancel := context.WithTimeout(ctx, c.options.patience.or().answer)
	defer cancel()
	pid := c.PID()
	waiting := time.AfterFunc(2*time.Second, func() { c.note.printf("waiting for PostgreSQL (process %d) in %s to answer", pid, c.dir) })
	defer waiting.Stop()
	var conn *pgconn.PgConn
	err := poll(within, func() (bool, error) {
		var err error
		conn, err = pgconn.Connect(within, c.ConnString(db))
		if errors.Is(err, syscall.EAGAIN) { // too many others wait to be let in: unix(7)
			return false, nil
		}
		return err == nil, err
	})
	var refused *pgconn.PgError
	switch {
	case err == nil:
		return conn, nil
	case errors.As(err, &refused) && refused.Code == cannotConnectNow:
		return nil, fmt.Errorf("%w: %w", errNotYet, err)
	case ctx.Err() == nil && (within.Err() != nil || pgconn.Timeout(err)):
		return nil, c.hangs(pid)
	}
	return nil, fmt.Errorf("connect to PostgreSQL in %s: %w", c.dir, err)
}

// hangs is the error for a server that is there and does not answer.
func (c *Cluster) hangs(pid int) error {
	stopped := ""
	if isStopped(pid) {
		stopped = fmt.Sprintf(" (a signal has stopped it: `kill -CONT %d` lets it go on)", pid)
	}
	return fmt.Errorf("PostgreSQL in %s hangs: its process %d has not answered for %s%s; see %s; `rotator db stop` ends it, and the next command that needs it starts it again",
		c.dir, pid, c.options.patience.or().answer, stopped, logOf(c.dir))
}

// overdue tells that a server that was asked to stop takes too long. The main
// process notes at once that it is stopping. Source: PostgreSQL,
// src/backend/postmaster/postmaster.c.
func (p patience) overdue(dir string, pid int, waited time.Duration) error {
	p = p.or()
	if waited < min(p.answer, p.stop) {
		return nil
	}
	file, there, err := running(dataFolder(dir))
	switch {
	case err != nil:
		return err
	case waited >= p.answer && there && file.status != "stopping":
		return fmt.Errorf("process %d was asked to (SIGINT) and has not begun to within %s, see %s; `kill -KILL %d` ends it as a crash does: what was committed is recovered by the next start",
			pid, p.answer, logOf(dir), pid)
	case waited >= p.stop:
		return fmt.Errorf("process %d is still stopping after %s, see %s; it goes on, and `rotator db stop` waits for it again", pid, p.stop, logOf(dir))
	}
	return nil
}

// letGoOn continues the processes of a server that a signal has stopped: any
// other signal reaches them only then.
func letGoOn(data string, server int, note *notes) {
	pids, err := leftovers(data)
	if err != nil {
		pids = nil // the server itself matters most
	}
	stopped := 0
	for _, pid := range append(pids, server) {
		if isStopped(pid) && syscall.Kill(pid, syscall.SIGCONT) == nil {
			stopped++
		}
	}
	if stopped > 0 {
		note.printf("a signal had stopped PostgreSQL (process %d): it was continued, to shut down", server)
	}
}

// logOf is the path of a cluster's log, from the folder that it shares with the
// keyring.
func logOf(dir string) string { return filepath.Join(filepath.Base(dir), "server.log") }
