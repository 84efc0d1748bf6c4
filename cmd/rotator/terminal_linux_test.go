package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// console is a pseudo-terminal: the commands have one end, the test the other.
type console struct {
	t      *testing.T
	screen *os.File // the test's end
	tty    *os.File // the commands' end

	mu   sync.Mutex
	seen bytes.Buffer
	grew chan struct{}
}

func newConsole(t *testing.T) *console {
	t.Helper()
	screen, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	fd := int(screen.Fd())
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err == nil {
		err = unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)
	}
	if err != nil {
		t.Fatal(err)
	}
	tty, err := os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	c := &console{t: t, screen: screen, tty: tty, grew: make(chan struct{}, 1)}
	go c.watch()
	t.Cleanup(func() { _, _ = tty.Close(), screen.Close() })
	return c
}

func (c *console) watch() {
	buf := make([]byte, 4096)
	for {
		n, err := c.screen.Read(buf)
		c.mu.Lock()
		c.seen.Write(buf[:n])
		c.mu.Unlock()
		select {
		case c.grew <- struct{}{}:
		default:
		}
		if err != nil {
			return
		}
	}
}

func (c *console) text() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen.String()
}

// waitFor waits until the screen shows the text.
func (c *console) waitFor(text string) {
	c.t.Helper()
	deadline := time.After(30 * time.Second)
	for !strings.Contains(c.text(), text) {
		select {
		case <-c.grew:
		case <-deadline:
			c.t.Fatalf("the screen never showed %q: %q", text, c.text())
		}
	}
}

func (c *console) echoes() bool {
	c.t.Helper()
	state, err := unix.IoctlGetTermios(int(c.tty.Fd()), unix.TCGETS)
	if err != nil {
		c.t.Fatal(err)
	}
	return state.Lflag&unix.ECHO != 0
}

// waitSilent waits until the terminal echoes no more.
func (c *console) waitSilent() {
	c.t.Helper()
	for end := time.Now().Add(30 * time.Second); c.echoes(); runtime.Gosched() {
		if time.Now().After(end) {
			c.t.Fatal("the terminal goes on echoing")
		}
	}
}

// Nothing is drawn over on a terminal that only writes on.
func TestADumbTerminalIsNotDrawnOn(t *testing.T) {
	t.Parallel()
	tty := newConsole(t).tty
	for env, want := range map[string]bool{"TERM=xterm": true, "TERM=": true, "TERM=dumb": false} {
		c := newCLI([]string{env}, nil, tty, tty)
		if _, drawn := c.screen(c.stdout); drawn != want {
			t.Errorf("%s: drawn on is %v", env, drawn)
		}
		if p, s := c.startProgress(), c.newDemoScreen(); p.terminal != want || (s.terminal != nil) != want {
			t.Errorf("%s: progress %v, demo %v", env, p.terminal, s.terminal != nil)
		}
	}
	if _, drawn := newCLI(nil, nil, nil, nil).screen(&bytes.Buffer{}); drawn {
		t.Error("a buffer is drawn on")
	}
}

func TestSecretPromptShowsNothing(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ok("", "app", "set", "--name", "main", "--client-id", "client-1")
	c := newConsole(t)
	ended := make(chan int, 1)
	var stdout bytes.Buffer
	go func() {
		ended <- run(t.Context(), []string{"secret", "add"}, r.env, c.tty, &stdout, c.tty)
	}()
	c.waitFor("shared secret of app main: ")
	c.waitSilent()
	if _, err := c.screen.WriteString("hush-typed\n"); err != nil {
		t.Fatal(err)
	}
	if code := <-ended; code != exitDone {
		t.Fatalf("exit code %d: %s", code, c.text())
	}
	if strings.Contains(c.text()+stdout.String(), "hush") {
		t.Errorf("the secret was shown: %q %q", c.text(), stdout.String())
	}
	if !c.echoes() {
		t.Error("the terminal was left without echo")
	}
	if got := r.run("hush-typed\n", "secret", "add"); got.code != exitFailed || !strings.Contains(got.stderr, "stored already") {
		t.Errorf("the typed value was not stored as it is: %+v", got)
	}
}

// Ctrl-D ends a line that was begun, and then the input.
func TestCtrlDEndsThePrompt(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		typed, stderr string
		code          int
	}{
		"at once":       {"\x04", "is empty: give it by --file, by a pipe, or at the prompt", exitUsage},
		"after a value": {"hush-typed\x04\x04", "", exitDone},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			r.ok("", "app", "set", "--name", "main", "--client-id", "client-1")
			c := newConsole(t)
			ended := make(chan int, 1)
			var stdout bytes.Buffer
			go func() { ended <- run(t.Context(), []string{"secret", "add"}, r.env, c.tty, &stdout, c.tty) }()
			c.waitFor("shared secret of app main: ")
			c.waitSilent()
			if _, err := c.screen.WriteString(tt.typed); err != nil {
				t.Fatal(err)
			}
			select {
			case code := <-ended:
				if code != tt.code {
					t.Errorf("exit code %d, want %d: %s", code, tt.code, c.text())
				}
			case <-time.After(30 * time.Second):
				t.Fatalf("the prompt goes on: %s", c.text())
			}
			c.waitFor(tt.stderr)
			if !c.echoes() {
				t.Error("the terminal was left without echo")
			}
		})
	}
}

func TestInterruptedPromptRestoresTheTerminal(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ok("", "app", "set", "--name", "main", "--client-id", "client-1")
	c := newConsole(t)
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan int, 1)
	var stdout bytes.Buffer
	go func() { ended <- run(ctx, []string{"secret", "add"}, r.env, c.tty, &stdout, c.tty) }()
	c.waitFor("shared secret of app main: ")
	c.waitSilent()
	cancel()
	if code := <-ended; code != exitFailed {
		t.Errorf("exit code %d", code)
	}
	if !c.echoes() {
		t.Error("the terminal was left without echo")
	}
	c.waitFor("interrupted")
	// The read under way ends with a line; let it, before its terminal closes.
	_, _ = c.screen.WriteString("\n")
}

func TestTokensStayOffTheScreen(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ok("", "app", "set", "--name", "main", "--client-id", "client-1")
	r.ok("domain,access_token\none,token-planted\n", "shop", "import", "-")
	c := newConsole(t)
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"shop", "export"}, r.env, strings.NewReader(""), c.tty, &stderr)
	if code != exitUsage || !strings.Contains(stderr.String(), "stdout is a terminal") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	code = run(t.Context(), []string{"shop", "export", "--force"}, r.env, strings.NewReader(""), c.tty, &stderr)
	if code != exitDone {
		t.Errorf("with --force: exit code %d: %s", code, stderr.String())
	}
	c.waitFor("token-planted")
	if strings.Count(c.text(), "token-planted") != 1 {
		t.Errorf("the refused export wrote the token: %q", c.text())
	}
	stderr.Reset()
	code = run(t.Context(), []string{"shop", "export", "--columns", "Domain,priority"}, r.env, strings.NewReader(""), c.tty, &stderr)
	if code != exitDone || stderr.String() != "Wrote 1 shop to stdout.\n" {
		t.Errorf("without a token: exit code %d: %s", code, stderr.String())
	}
	code = run(t.Context(), []string{"shop", "export", "--columns", "domain,Access_Token"}, r.env, strings.NewReader(""), c.tty, &stderr)
	if code != exitUsage {
		t.Errorf("the column in capitals: exit code %d: %s", code, stderr.String())
	}
}
