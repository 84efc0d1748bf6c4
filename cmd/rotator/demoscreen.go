package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/term"

	"github.com/haravan-rotator/rotator/rotation"
)

// demoScreen is where a demo is watched. What is said stays; on a terminal the
// run's state stands below it and is drawn anew, elsewhere a plain line tells it
// when the phase changes and every two seconds. It is safe for concurrent use.
type demoScreen struct {
	mu       sync.Mutex
	out      io.Writer
	terminal *os.File // nil when out is none that can be drawn on

	block []string // as drawn at the bottom
	phase rotation.Phase
	next  time.Time // of the next plain line
	told  string
}

// demoLineEvery spaces plain lines.
const demoLineEvery = 2 * time.Second

func (c *cli) newDemoScreen() *demoScreen {
	s := &demoScreen{out: c.stderr}
	s.terminal, _ = c.screen(c.stderr)
	return s
}

// sayf writes a line that stays.
func (s *demoScreen) sayf(format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.redraw(printable(fmt.Sprintf(format, args...))+"\n", s.block)
}

// Write implements io.Writer, for logs and other packages' notes.
func (s *demoScreen) Write(p []byte) (int, error) {
	for line := range strings.Lines(string(p)) {
		s.sayf("%s", strings.TrimRight(line, "\n"))
	}
	return len(p), nil
}

// show tells how the run stands.
func (s *demoScreen) show(st runStatus, events []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.terminal != nil {
		s.redraw("", demoBlock(st, events))
		return
	}
	now := time.Now()
	line := statusView{st}.Line(now)
	told := fmt.Sprint(st.Phase, st.Items, st.Revocation)
	if told == s.told || st.Phase == s.phase && now.Before(s.next) {
		return
	}
	s.told, s.phase, s.next = told, st.Phase, now.Add(demoLineEvery)
	s.redraw("  "+line+"\n", nil)
}

// clear removes the block.
func (s *demoScreen) clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.redraw("", nil)
}

// redraw erases the block (ECMA-48: CPL, ED), writes text, and draws the block.
// That nobody sees it is no error.
func (s *demoScreen) redraw(text string, block []string) {
	var b strings.Builder
	if n := len(s.block); n > 0 {
		fmt.Fprintf(&b, "\x1b[%dF\x1b[J", n)
	}
	b.WriteString(text)
	if s.block = nil; len(block) > 0 {
		s.block = s.fit(block)
		for _, line := range s.block {
			b.WriteString(line + "\n")
		}
	}
	_, _ = io.WriteString(s.out, b.String())
}

// fit cuts the block to the terminal: what wraps or scrolls away could not be
// drawn over.
func (s *demoScreen) fit(block []string) []string {
	width, height, err := term.GetSize(int(s.terminal.Fd()))
	if err != nil || width <= 0 || height <= 1 {
		width, height = 80, 24
	}
	lines := make([]string, 0, len(block))
	for _, line := range block[:min(len(block), height-1)] {
		lines = append(lines, cut(line, width-1))
	}
	return lines
}

// demoBlock is the live view.
func demoBlock(st runStatus, events []string) []string {
	v := statusView{st}
	phase := string(st.Phase)
	if st.Held != nil {
		phase += fmt.Sprintf(", held (%s): %s", *st.Held, st.HeldWhy)
	}
	lines := []string{
		"",
		"  phase    " + printable(phase),
		"  shops    " + bar(st.Items.Settled(), st.Items.Total) + " " + v.proven(),
	}
	if rest := v.rest(); rest != "" {
		lines = append(lines, "           "+rest)
	}
	if st.Phase == rotation.PhaseExchanging {
		lines = append(lines, "  speed    "+v.speed())
	}
	if st.Window.ExpiresAt != nil && st.Phase.Before(rotation.PhaseProven) {
		lines = append(lines, "  window   "+v.windowLeft())
	}
	if r := st.Revocation; r != nil {
		lines = append(lines, fmt.Sprintf("  revoked  %s %d/%d looked at", bar(r.OldDead+r.OldAlive, r.Planned), r.OldDead+r.OldAlive, r.Planned))
	}
	for i, e := range events {
		lines = append(lines, fmt.Sprintf("  %-8s %s", first(i, "journal"), printable(e)))
	}
	return lines
}
