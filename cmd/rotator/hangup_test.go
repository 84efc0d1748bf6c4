package main

import (
	"bufio"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
)

// TestAHangupEndsACommandInOrder: a connection that breaks must not leave half
// of an export, with tokens in clear, or a demo's PostgreSQL.
func TestAHangupEndsACommandInOrder(t *testing.T) {
	t.Parallel()
	exe, err := os.Executable()
	must(t, err)
	cmd := &exec.Cmd{
		Path: exe, Env: os.Environ(),
		Args: []string{"rotator", "simulator", "--listen", "127.0.0.1:0", "--manage", "127.0.0.1:0", "--shops", "3", "--json"},
	}
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	lines := bufio.NewReader(out)
	if ready, err := lines.ReadString('\n'); err != nil {
		t.Fatalf("%v: %s", err, ready)
	}
	must(t, cmd.Process.Signal(syscall.SIGHUP))
	last, _ := lines.ReadString('\n') // Wait tells what went wrong
	if err := cmd.Wait(); err != nil || !strings.Contains(last, `"misuse":[]`) {
		t.Errorf("ended with %v and the words %q", err, last)
	}
}
