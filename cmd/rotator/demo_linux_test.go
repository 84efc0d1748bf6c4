package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// TestDemoAtATerminal: what is said stays, the live view is drawn over and gone
// at the end, and stdout has the report alone.
func TestDemoAtATerminal(t *testing.T) {
	t.Parallel()
	c := newConsole(t)
	var stdout bytes.Buffer
	ended := make(chan int, 1)
	go func() {
		ended <- run(t.Context(), []string{"demo", "--calm", "--shops", "60", "--latency", "100ms"}, nil, strings.NewReader(""), &stdout, c.tty)
	}()
	for _, want := range []string{"Step 1", "  phase    exchanging", "60/60 proven", "  revoked  [", "shredded", "\x1b[J"} {
		c.waitFor(want)
	}
	if code := <-ended; code != exitDone || !strings.HasPrefix(stdout.String(), "result:") || strings.Contains(stdout.String(), "\x1b") {
		t.Errorf("exit code %d\n%s", code, &stdout)
	}
	for deadline := time.After(30 * time.Second); !strings.HasSuffix(c.text(), "\x1b[J"); {
		select {
		case <-c.grew:
		case <-deadline:
			t.Fatalf("the live view is left on the screen: %q", c.text())
		}
	}
	if strings.Count(c.text(), "Step 1") != 1 {
		t.Error("what was said was said again")
	}
}
