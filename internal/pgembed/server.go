package pgembed

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
)

// server is a server process that this process started.
type server struct {
	exited    chan struct{} // closed when it was reaped
	holder    io.Closer     // ephemeral: closing it ends the server
	logOffset int64         // where its lines begin in server.log
}

func (s *server) release() {
	if s.holder != nil {
		_ = s.holder.Close()
	}
}

// reap waits until the server that was started here is gone to the last, and
// forgets it. Releasing the holder any sooner would remove an ephemeral folder.
func (c *Cluster) reap(ctx context.Context) error {
	if c.server == nil {
		return nil
	}
	select {
	case <-c.server.exited:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	c.server.release()
	c.server = nil
	return nil
}

var (
	// errGone means that a server went away while it was waited for.
	errGone = errors.New("the server went away")
	// errLeftovers means that a killed server's other processes hold its memory.
	errLeftovers = errors.New("processes of a killed server are still there")
)

// start makes sure that the server runs and has the database rotator, making
// the data folder first where there is none. The caller holds the lock.
func (c *Cluster) start(ctx context.Context) error {
	// Processes of a killed server can outlive it, and a server found running
	// can be on its way out: try again for a while.
	const during = 30 * time.Second
	recovering := c.note.after(2*time.Second, "PostgreSQL in %s takes no connections yet; after a crash this can take minutes, see %s", c.dir, c.logPath())
	for deadline := time.Now().Add(during); ; {
		err := c.startOrJoin(ctx)
		if err == nil {
			err = c.ensureDatabase(ctx)
		}
		again := errors.Is(err, errGone) || errors.Is(err, errLeftovers)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, errNotYet): // one that recovers takes as long as it takes
			recovering()
			deadline = time.Now().Add(during)
		case !again || time.Now().After(deadline):
			return err
		}
		if errors.Is(err, errLeftovers) {
			if err := c.endLeftovers(); err != nil {
				return err
			}
		}
		if err := pause(ctx, 100*time.Millisecond); err != nil {
			return fmt.Errorf("start PostgreSQL in %s: %w", c.dir, err)
		}
	}
}

func (c *Cluster) startOrJoin(ctx context.Context) error {
	p, alive, err := running(dataFolder(c.dir))
	if err != nil {
		return fmt.Errorf("start PostgreSQL in %s: %w", c.dir, err)
	}
	if alive {
		return c.waitReady(ctx, p.pid, nil)
	}
	if err := c.reap(ctx); err != nil {
		return fmt.Errorf("start PostgreSQL in %s: %w", c.dir, err)
	}
	major, err := dataMajor(c.dir)
	if err != nil {
		return err
	}
	bin, err := chooseBinaries(c.options.Binaries, c.dir, major)
	if err != nil {
		return err
	}
	c.removeUnfinished()
	if major == 0 {
		if err := c.initialize(ctx, bin); err != nil {
			return err
		}
	}
	if err := c.prepare(p.pid); err != nil {
		return fmt.Errorf("start PostgreSQL in %s: %w", c.dir, err)
	}
	s, err := c.launch(bin)
	if err != nil {
		return fmt.Errorf("start PostgreSQL in %s: %w", c.dir, err)
	}
	c.server = s
	return c.waitReady(ctx, 0, s)
}

// prepare writes the settings and clears what stands in the way of a start.
// stalePID is what a left-over postmaster.pid names, 0 when it names none.
func (c *Cluster) prepare(stalePID int) error {
	if err := makePrivateFolder(c.socketDir, c.account); err != nil {
		return err
	}
	// No server runs, so the socket's lock is nobody's.
	leftover := []string{filepath.Join(c.socketDir, socketName+".lock")}
	// After a reboot the id may belong to another process; PostgreSQL takes any
	// live process of its user for a server, and refuses an empty file. It is
	// left alone where the id is free: by it the server finds leftovers.
	if stalePID == 0 || syscall.Kill(stalePID, 0) == nil {
		leftover = append(leftover, filepath.Join(dataFolder(c.dir), "postmaster.pid"))
	}
	for _, path := range leftover {
		if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
			return fmt.Errorf("remove what a crash left: %w", err)
		}
	}
	layers := []map[string]string{durableSettings}
	if c.ephemeral {
		layers = append(layers, ephemeralSettings)
	}
	text, err := settingsFile(c.socketDir, append(layers, c.options.Settings)...)
	if err != nil {
		return err
	}
	if err := c.writeFile(filepath.Join(dataFolder(c.dir), settingsName), text); err != nil {
		return fmt.Errorf("write PostgreSQL's settings: %w", err)
	}
	return nil
}

// launch starts the server process.
func (c *Cluster) launch(bin Binaries) (*server, error) {
	log, offset, err := c.openLog()
	if err != nil {
		return nil, err
	}
	defer log.Close()
	argv := []string{bin.program("postgres"), "-D", dataFolder(c.dir)}
	s := &server{exited: make(chan struct{}), logOffset: offset}
	var cmd *exec.Cmd
	if c.ephemeral {
		if cmd, s.holder, err = c.heldCommand(argv); err != nil {
			return nil, err
		}
		defer cmd.Stdin.(io.Closer).Close()
	} else {
		cmd = c.account.command(dataFolder(c.dir), argv[0], argv[1:]...)
	}
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		s.release()
		if c.account.other() && errors.Is(err, os.ErrPermission) {
			return nil, fmt.Errorf("%w: the server runs as %s, who must be able to run it", err, c.account)
		}
		return nil, err
	}
	go func() {
		_ = cmd.Wait() // why it ended is in server.log
		close(s.exited)
	}()
	return s, nil
}

// waitReady waits until the server accepts connections: s, which was just
// launched, or the one with joinedPID. The wait has no limit but ctx, unless a
// signal has stopped the server, or it stops and has clients that do not leave:
// recovery after a crash takes as long as it takes.
func (c *Cluster) waitReady(ctx context.Context, joinedPID int, s *server) error {
	data := dataFolder(c.dir)
	waiting := c.note.after(2*time.Second, "PostgreSQL in %s is still starting; after a crash this can take minutes, see %s", c.dir, c.logPath())
	suspicious := time.Now().Add(c.options.patience.or().answer)
	err := poll(ctx, func() (bool, error) {
		waiting()
		if s != nil {
			select {
			case <-s.exited:
				return false, c.startFailure(s)
			default:
			}
		}
		p, alive, err := running(data)
		if err != nil && s == nil {
			return false, fmt.Errorf("join PostgreSQL in %s: %w", c.dir, err)
		}
		if s == nil && (!alive || p.pid != joinedPID) {
			return false, fmt.Errorf("join PostgreSQL in %s: %w", c.dir, errGone)
		}
		if alive && p.status != "ready" && time.Now().After(suspicious) && isStopped(p.pid) {
			return false, c.hangs(p.pid)
		}
		if alive && p.status == "stopping" && time.Now().After(suspicious) {
			return false, fmt.Errorf("PostgreSQL in %s is stopping, and its process %d waits for its clients to leave; `rotator db stop` ends it, and the next command that needs it starts it again", c.dir, p.pid)
		}
		if !alive || p.status != "ready" {
			return false, nil
		}
		// The same at every start, but a server that an older rotator started
		// says where its socket is. Open joins before anyone reads the field.
		if p.socketDir != c.socketDir {
			c.socketDir = p.socketDir
		}
		return true, nil
	})
	if ctx.Err() != nil && errors.Is(err, context.Cause(ctx)) {
		return fmt.Errorf("wait for PostgreSQL in %s to start, see %s: %w", c.dir, c.logPath(), err)
	}
	return err
}

// startFailure explains why the server ended at once.
func (c *Cluster) startFailure(s *server) error {
	log := c.logSince(s.logOffset)
	if strings.Contains(log, "is still in use") {
		return fmt.Errorf("start PostgreSQL in %s: %w%s", c.dir, errLeftovers, explainLog(log))
	}
	return fmt.Errorf("start PostgreSQL in %s: the server gave up%s", c.dir, explainLog(log))
}

// endLeftovers ends what outlived a killed server. PostgreSQL said, and the
// caller saw, that no server watches over them any more.
func (c *Cluster) endLeftovers() error {
	pids, err := leftovers(dataFolder(c.dir))
	if err != nil {
		return err
	}
	for _, pid := range pids {
		c.note.printf("ending process %d of a PostgreSQL server that was killed", pid)
		if err := syscall.Kill(pid, syscall.SIGQUIT); err != nil && !errors.Is(err, syscall.ESRCH) {
			return fmt.Errorf("end process %d of a killed PostgreSQL server: %w", pid, err)
		}
		_ = syscall.Kill(pid, syscall.SIGCONT) // or it is stopped, and never gets the other
	}
	return nil
}

// ensureDatabase connects, and makes the database rotator where it is missing.
func (c *Cluster) ensureDatabase(ctx context.Context) error {
	const invalidCatalogName = "3D000" // PostgreSQL, "Error Codes"
	conn, err := c.connect(ctx, databaseName)
	if err == nil {
		return conn.Close(ctx)
	}
	var refused *pgconn.PgError
	if !errors.As(err, &refused) || refused.Code != invalidCatalogName {
		return err
	}
	conn, err = c.connect(ctx, "postgres")
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+databaseName).ReadAll()
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return fmt.Errorf("create database %s in %s: %w", databaseName, c.dir, err)
	}
	return nil
}

// runUntil runs cmd and kills its session when ctx ends first.
func runUntil(ctx context.Context, cmd *exec.Cmd) error {
	if err := cmd.Start(); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // gone already is fine
	})
	defer stop()
	err := cmd.Wait()
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

func pause(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}
