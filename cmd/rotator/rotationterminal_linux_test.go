package main

import (
	"bytes"
	"strings"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

func TestWatchOnAScreen(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 10, Seed: 2})
	r.toArmed(sim)
	c := newConsole(t)
	must(t, unix.IoctlSetWinsize(int(c.tty.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Row: 12, Col: 50}))
	var stderr bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"rotation", "status", "--watch"}, r.env, strings.NewReader(""), c.tty, &stderr)
	}()
	c.waitFor("armed (4 of 9)")
	r.exits(exitWaiting, "", "worker", "--once")
	if code := <-ended; code != exitWaiting {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	c.waitFor("proven (6 of 9)")
	if want := "next: rotator rotation confirm revoked"; !strings.HasPrefix(stderr.String(), want) {
		t.Errorf("the step that has no room on the screen is not said: %q", stderr.String())
	}
	if text := c.text(); !strings.Contains(text, "\x1b[") || !strings.Contains(text, "F\x1b[J") {
		t.Errorf("the screen was not drawn anew: %q", text)
	}
	for line := range strings.SplitSeq(c.text(), "\r\n") {
		_, line, _ = strings.Cut("\x1b[J"+line, "\x1b[J")
		if _, after, drawn := strings.Cut(line, "\x1b[J"); drawn {
			line = after
		}
		if n := len([]rune(line)); n > 50 {
			t.Errorf("a line of %d does not fit 50 columns: %q", n, line)
		}
	}
	for frame := range strings.SplitSeq(c.text(), "\x1b[J") {
		if n := strings.Count(frame, "\r\n"); n > 11 {
			t.Errorf("%d lines do not fit 12 rows: %q", n, frame)
		}
	}
}

// TestIrreversibleStepIsTypedAtThePrompt: the note and the app's name are asked
// for, and another name is refused.
func TestIrreversibleStepIsTypedAtThePrompt(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 10, Seed: 2})
	r.toArmed(sim)
	r.exits(exitWaiting, "", "worker", "--once")
	_, err := sim.RevokeSecret(1)
	must(t, err)
	for _, tt := range []struct {
		name string
		code int
	}{{"other", exitRefused}, {"", exitRefused}, {"main", exitDone}} {
		c := newConsole(t)
		var stdout bytes.Buffer
		ended := make(chan int, 1)
		go func() {
			ended <- run(t.Context(), []string{"rotation", "confirm", "revoked"}, r.env, c.tty, &stdout, c.tty)
		}()
		c.waitFor("How do you know?")
		_, err := c.screen.WriteString("deleted just now\n")
		must(t, err)
		c.waitFor("Type the app's name")
		_, err = c.screen.WriteString(tt.name + "\n")
		must(t, err)
		if code := <-ended; code != tt.code {
			t.Errorf("typed %q: exit code %d, want %d: %s", tt.name, code, tt.code, c.text())
		}
	}
	if got := r.ok("", "journal", "list"); !strings.Contains(got.stdout, "deleted just now") {
		t.Errorf("the note is not kept: %s", got.stdout)
	}
}

func TestCancelIsTypedAtThePrompt(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 10, Seed: 2})
	r.toArmed(sim)
	c := newConsole(t)
	var stdout bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"rotation", "cancel"}, r.env, c.tty, &stdout, c.tty)
	}()
	c.waitFor("Cancelling leaves behind: ")
	c.waitFor("Type the app's name")
	_, err := c.screen.WriteString("main\n")
	must(t, err)
	if code := <-ended; code != exitDone || !strings.Contains(stdout.String(), "cancelled") {
		t.Errorf("exit code %d: %s%s", code, stdout.String(), c.text())
	}
}
