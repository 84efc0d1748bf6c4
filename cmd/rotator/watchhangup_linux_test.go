package main

import (
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// The operator's terminal dies while watching: nothing happens to the run.
func TestWatchDiesWithItsTerminalAndTheRunGoesOn(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 10, Seed: 2})
	r.toArmed(sim)
	before := r.ok("", "journal", "list", "--json").stdout
	c := newConsole(t)
	exe, err := os.Executable()
	must(t, err)
	watch := &exec.Cmd{
		Path: exe, Args: []string{"rotator", "rotation", "status", "--watch"}, Env: append(append(os.Environ(), "TERM=xterm"), r.env...),
		Stdin: c.tty, Stdout: c.tty, Stderr: c.tty,
		SysProcAttr: &syscall.SysProcAttr{Setsid: true, Setctty: true},
	}
	must(t, watch.Start())
	c.waitFor("armed (4 of 9)")
	must(t, c.screen.Close()) // the kernel hangs up on the session
	err = watch.Wait()
	var ended *exec.ExitError
	if !errors.As(err, &ended) {
		t.Fatalf("the watch ended with %v", err)
	}
	t.Logf("the watch ended: %s", ended)
	if after := r.ok("", "journal", "list", "--json").stdout; after != before {
		t.Errorf("the journal has more than\n%s\n%s", before, after)
	}
	r.exits(exitWaiting, "", "worker", "--once")
	if got := r.ok("", "rotation", "status", "--json").stdout; !strings.Contains(got, `"phase":"proven"`) {
		t.Errorf("the run stands elsewhere: %s", got)
	}
}
