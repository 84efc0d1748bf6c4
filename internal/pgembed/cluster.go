package pgembed

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"
)

// Options say where a cluster lives and how it runs. The zero value is fine.
type Options struct {
	// Dir is the cluster's folder, "" for DefaultDir. Ephemeral makes its own
	// folder in Dir, "" for the system's temporary folder.
	Dir string
	// Binaries is the folder with initdb, postgres and pg_ctl, "" to search.
	Binaries string
	// Settings go over the defaults at the next start of the server. What keeps
	// the cluster private (listen_addresses and the like) is refused.
	Settings map[string]string
	// Log gets progress lines for a human when something takes long; nil drops
	// them.
	Log io.Writer

	patience patience // zero for usualPatience
}

// Cluster is a running private PostgreSQL. Its methods may be called
// concurrently.
type Cluster struct {
	dir       string
	socketDir string
	options   Options
	account   account
	note      *notes
	ephemeral bool

	mu     sync.Mutex
	server *server  // started here; nil when joined or stopped
	owner  *os.File // lock that marks an ephemeral folder as in use; nil after Close
}

// Dir returns the cluster's folder.
func (c *Cluster) Dir() string { return c.dir }

// URL returns the connection string of the database rotator, which exists.
func (c *Cluster) URL() string { return c.ConnString(databaseName) }

// ConnString returns the connection string of a database that may or may not
// exist. There is no password in it: the socket's folder and the OS user admit.
func (c *Cluster) ConnString(db string) string {
	q := url.Values{
		"host":    {c.socketDir},
		"port":    {"5432"},
		"user":    {databaseUser},
		"sslmode": {"disable"}, // so that PGSSLMODE of the environment has no say
	}
	// Clients of PostgreSQL take a plus sign in a connection string as it is.
	query := strings.ReplaceAll(q.Encode(), "+", "%20")
	return (&url.URL{Scheme: "postgres", Path: "/" + db, RawQuery: query}).String()
}

// PID returns the process id of the server, 0 when it does not run.
func (c *Cluster) PID() int {
	p, alive, err := running(dataFolder(c.dir))
	if err != nil || !alive {
		return 0
	}
	return p.pid
}

// Stop shuts the server down: connections are ended, what was committed is on
// disk. An ephemeral cluster is removed as well.
func (c *Cluster) Stop(ctx context.Context) error {
	if c.ephemeral {
		return c.remove(ctx)
	}
	return c.StopServer(ctx)
}

// Close removes an ephemeral cluster, as Stop does. A durable one is left
// running for the next process.
func (c *Cluster) Close() error {
	if !c.ephemeral {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return c.remove(ctx)
}

// StopServer shuts the server down and keeps the folder, for tests that take
// the database away. A server that does not run is fine.
func (c *Cluster) StopServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	release, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	return c.end(ctx, syscall.SIGINT)
}

// StartServer starts the server again after StopServer, Kill or a crash, and
// returns when it accepts connections. A server that runs is fine.
func (c *Cluster) StartServer(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	release, err := c.lock(ctx)
	if err != nil {
		return err
	}
	defer release()
	return c.start(ctx)
}

// Kill ends the server as a crash does (SIGKILL) and returns when it is gone.
// What was committed is recovered by the next start.
func (c *Cluster) Kill() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	return c.end(ctx, syscall.SIGKILL)
}

// lock takes the folder's lock. That of an ephemeral cluster is held since it
// was made.
func (c *Cluster) lock(ctx context.Context) (release func(), err error) {
	if !c.ephemeral {
		return lockFolder(ctx, c.dir, c.note)
	}
	if c.owner == nil {
		return nil, fmt.Errorf("use PostgreSQL in %s: it was removed: make another", c.dir)
	}
	return func() {}, nil
}

// end signals the server, waits until it is gone and reaped, and forgets it.
func (c *Cluster) end(ctx context.Context, signal syscall.Signal) error {
	if err := endServer(ctx, c.dir, signal, c.note, c.options.patience); err != nil {
		return err
	}
	if c.server == nil {
		return nil
	}
	err := poll(ctx, func() (bool, error) {
		select {
		case <-c.server.exited:
			return true, nil
		default: // so young that it had no postmaster.pid
			return false, endServer(ctx, c.dir, signal, c.note, c.options.patience)
		}
	})
	if err != nil {
		return fmt.Errorf("stop PostgreSQL in %s: %w", c.dir, err)
	}
	return c.reap(ctx)
}

// endServer signals the server of the cluster in dir, if one runs, and waits
// until it is gone. How long an orderly end may take is bounded by p.
func endServer(ctx context.Context, dir string, signal syscall.Signal, note *notes, p patience) error {
	data := dataFolder(dir)
	file, alive, err := running(data)
	if err != nil {
		return fmt.Errorf("stop PostgreSQL in %s: %w", dir, err)
	}
	if !alive {
		return nil
	}
	pid := file.pid
	if err := syscall.Kill(pid, signal); err != nil && err != syscall.ESRCH {
		return fmt.Errorf("stop PostgreSQL in %s: signal process %d: %w", dir, pid, err)
	}
	if signal != syscall.SIGKILL {
		letGoOn(data, pid, note)
	}
	waiting := note.after(2*time.Second, "waiting for PostgreSQL (process %d) to stop", pid)
	begin := time.Now()
	err = poll(ctx, func() (bool, error) {
		waiting()
		if alive, err := worksIn(pid, data); err != nil || !alive || signal != syscall.SIGINT {
			return !alive, err
		}
		return false, p.overdue(dir, pid, time.Since(begin))
	})
	if ctx.Err() != nil && err != nil {
		return fmt.Errorf("stop PostgreSQL in %s: process %d is still stopping, see %s: %w", dir, pid, logOf(dir), err)
	}
	if err != nil {
		return fmt.Errorf("stop PostgreSQL in %s: %w", dir, err)
	}
	return nil
}
