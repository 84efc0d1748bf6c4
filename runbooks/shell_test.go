package runbooks_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"
)

// slowest bounds one command.
const slowest = 3 * time.Minute

// shell runs a command as if typed; exports last until the end of the document.
func (r *rig) shell(command string) (exit int, output string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), slowest)
	defer cancel()
	cmd := r.command(ctx, `set -o pipefail; [ ! -e .exports ] || . ./.exports; eval "$1"; code=$?; export -p >.exports; exit $code`, command)
	if strings.HasPrefix(command, "go ") { // a stranger's first step, in the clone
		cmd = r.command(ctx, `cd "$2" && eval "$1"`, command)
		cmd.Env = foreign(os.Environ())
	}
	out, err := cmd.CombinedOutput()
	r.shown.Write(out)
	var ended *exec.ExitError
	switch {
	case ctx.Err() != nil:
		r.t.Fatalf("$ %s\ndoes not end\n%s", command, out)
	case errors.As(err, &ended):
		return ended.ExitCode(), string(out)
	case err != nil:
		r.t.Fatalf("$ %s: %v", command, err)
	}
	return 0, string(out)
}

func (r *rig) command(ctx context.Context, script, command string) *exec.Cmd {
	root, err := filepath.Abs("..")
	if err != nil {
		r.t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, "bash", "-c", script, "operator", command, root)
	cmd.Dir, cmd.Env, cmd.WaitDelay = r.dir, r.env, 5*time.Second
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	return cmd
}

// terminal is one in which something runs on.
type terminal struct {
	cmd   *exec.Cmd
	log   *os.File
	ended chan error
}

// open runs a command in a terminal of its own until the test ends, and wants it
// to be there still, and to end well then.
func (r *rig) open(name, command string) {
	r.t.Helper()
	t := r.start(name, command)
	r.t.Cleanup(func() {
		select {
		case err := <-t.ended:
			r.t.Errorf("%s in terminal %s ended by itself: %v\n%s", command, name, err, t.text())
			return
		default:
		}
		if err := t.cmd.Process.Signal(os.Interrupt); err != nil {
			r.t.Errorf("interrupt %s in terminal %s: %v", command, name, err)
		}
		select {
		case err := <-t.ended:
			if err != nil {
				r.t.Errorf("%s in terminal %s, after Ctrl-C: %v\n%s", command, name, err, t.text())
			}
		case <-time.After(slowest):
			r.t.Errorf("%s in terminal %s does not end after Ctrl-C\n%s", command, name, t.text())
			if err := t.cmd.Process.Kill(); err != nil {
				r.t.Error(err)
			}
		}
	})
}

func (r *rig) start(name, command string) terminal {
	r.t.Helper()
	log, err := os.Create(r.path("terminal-" + name + ".log"))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { _ = log.Close() }) // read by now
	// Not the test's context: it ends before the cleanups.
	cmd := r.command(context.WithoutCancel(r.t.Context()), `[ ! -e .exports ] || . ./.exports; eval "exec $1"`, command)
	cmd.Stdout, cmd.Stderr = log, log
	if err := cmd.Start(); err != nil {
		r.t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	return terminal{cmd, log, ended}
}

func (t terminal) text() string {
	text, err := os.ReadFile(t.log.Name())
	if err != nil {
		return err.Error()
	}
	return string(text)
}
