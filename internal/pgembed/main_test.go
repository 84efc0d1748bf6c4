package pgembed

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// roleVariable makes the test binary play another rotator process.
const roleVariable = "PGEMBED_TEST_ROLE"

func TestMain(m *testing.M) {
	if role := os.Getenv(roleVariable); role != "" {
		os.Exit(play(role, os.Args[1:]))
	}
	os.Exit(m.Run())
}

// become holds ways to run this program again, in another role, with less power;
// filled in where the operating system has them.
var become = map[string]func(role string) int{}

// fact is what a role tells of its cluster, or why it has none.
type fact struct {
	Dir, URL, Err string
	PID           int
	Folder        bool // Err is a FolderError
}

// play does role on folder (or URL) args[0], prints a fact, and stays until its
// standard input ends.
func play(role string, args []string) int {
	ctx := context.Background()
	var c *Cluster
	var err error
	if before, after, ok := strings.Cut(role, "+"); ok { // first become less
		return become[before](after)
	}
	switch role {
	case "open":
		c, err = Open(ctx, Options{Dir: args[0]})
	case "open-masked":
		syscall.Umask(0o077)
		c, err = Open(ctx, Options{Dir: args[0]})
	case "open-default":
		if err = os.Setenv("ROTATOR_DATA_DIR", args[0]); err == nil {
			c, err = Open(ctx, Options{})
		}
	case "ephemeral":
		c, err = Ephemeral(ctx, Options{Dir: args[0]})
	case "inspect":
		_, err = Inspect(ctx, args[0])
	case "stop":
		err = Stop(ctx, args[0])
	case "connect":
		err = execute(ctx, args[0], "select 1")
	}
	var f fact
	if c != nil {
		f = fact{Dir: c.Dir(), URL: c.URL(), PID: c.PID()}
	}
	if err != nil {
		var folder *FolderError
		f.Err, f.Folder = err.Error(), errors.As(err, &folder)
	}
	if err := json.NewEncoder(os.Stdout).Encode(f); err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	return 0
}

// actor is another process that plays a role.
type actor struct {
	cmd   *exec.Cmd
	stdin io.Closer
	out   *bufio.Reader
}

// cast starts a role, as another OS user when name is not "".
func cast(t *testing.T, name, role string, args ...string) *actor {
	t.Helper()
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, args...)
	cmd.Env = append(os.Environ(), roleVariable+"="+role)
	cmd.Stderr = os.Stderr
	if name != "" {
		cmd.Path = publicCopy(t, program)
		cmd.Dir = "/"
		a := lookUp(t, name)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}}
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	a := &actor{cmd: cmd, stdin: stdin, out: bufio.NewReader(stdout)}
	t.Cleanup(func() { _ = cmd.Process.Kill() })
	return a
}

// tells waits for the role's fact.
func (a *actor) tells(t *testing.T) fact {
	t.Helper()
	line, err := a.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the other process said nothing: %v", err)
	}
	var f fact
	if err := json.Unmarshal(line, &f); err != nil {
		t.Fatalf("the other process said %q: %v", line, err)
	}
	return f
}

// leaves ends the process the orderly way.
func (a *actor) leaves(t *testing.T) {
	t.Helper()
	_ = a.stdin.Close()
	if err := a.cmd.Wait(); err != nil {
		t.Fatalf("the other process: %v", err)
	}
}

// dies ends the process by kill -9.
func (a *actor) dies(t *testing.T) {
	t.Helper()
	if err := a.cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = a.cmd.Wait() // says that it was killed
}

// publicFolder is a temporary folder as open as /tmp: that of testing is its
// owner's alone, and the server may run as another user.
func publicFolder(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgembed-test-*")
	if err != nil {
		t.Fatal(err)
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(dir, 0o777|os.ModeSticky); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(dir) })
	return dir
}

// durableFolder is a folder for Open, whose server is stopped when t ends.
func durableFolder(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(publicFolder(t), "postgres")
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		if err := Stop(ctx, dir); err != nil {
			t.Errorf("stop the test's server: %v", err)
		}
	})
	return dir
}

// publicCopy copies the test binary to where another OS user can run it.
func publicCopy(t *testing.T, program string) string {
	t.Helper()
	path := filepath.Join(publicFolder(t), "other.test")
	// A process of its own writes it: a child that is forked meanwhile would
	// inherit our open file and keep it from being run (text file busy).
	if out, err := exec.CommandContext(t.Context(), "cp", program, path).CombinedOutput(); err != nil {
		t.Fatalf("copy the test binary: %v: %s", err, out)
	}
	must(t, os.Chmod(path, 0o755))
	return path
}

// needRoot skips what needs the power to become another OS user.
func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can act as another OS user")
	}
}

func lookUp(t *testing.T, name string) account {
	t.Helper()
	u, err := user.Lookup(name)
	if err != nil {
		t.Fatal(err)
	}
	uid, err := strconv.Atoi(u.Uid)
	if err != nil {
		t.Fatal(err)
	}
	gid, err := strconv.Atoi(u.Gid)
	if err != nil {
		t.Fatal(err)
	}
	return account{uid: uid, gid: gid, name: name}
}

func mustOpen(t *testing.T, o Options) *Cluster {
	t.Helper()
	c, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func mustEphemeral(t *testing.T, o Options) *Cluster {
	t.Helper()
	c, err := Ephemeral(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Errorf("close: %v", err)
		}
	})
	return c
}

func execute(ctx context.Context, url, sql string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, sql)
	return err
}

func mustExecute(t *testing.T, url string, statements ...string) {
	t.Helper()
	for _, sql := range statements {
		if err := execute(t.Context(), url, sql); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
}

// ask returns the single text value of a query.
func ask(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var answer string
	if err := conn.QueryRow(t.Context(), sql).Scan(&answer); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return answer
}

// eventually waits for what another process brings about.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	if err := poll(ctx, func() (bool, error) { return done(), nil }); err != nil {
		t.Fatalf("waited in vain until %s", what)
	}
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// isAlive does not count a zombie, which init may be slow to reap.
func isAlive(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && !strings.HasPrefix(string(out), "Z")
}

func wantText(t *testing.T, err error, parts ...string) {
	t.Helper()
	if err == nil {
		t.Fatalf("no error, want one with %q", parts)
	}
	for _, part := range parts {
		if !strings.Contains(err.Error(), part) {
			t.Errorf("error lacks %q:\n%v", part, err)
		}
	}
}

func mustInspect(t *testing.T, dir string) Status {
	t.Helper()
	s, err := Inspect(t.Context(), dir)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(fmt.Errorf("set the test up: %w", err))
	}
}
