package main

import (
	"fmt"
	"time"
)

const (
	// quietFor is how long work may take before anything is said about it.
	quietFor = 2 * time.Second
	// redrawEvery and lineEvery space the updates on a terminal and elsewhere.
	redrawEvery = 200 * time.Millisecond
	lineEvery   = 5 * time.Second
)

// progress tells a person on stderr how far a long command is. It is not safe
// for concurrent use.
type progress struct {
	c        *cli
	terminal bool
	begun    time.Time
	next     time.Time // nothing is said before
	drawn    bool      // a line on the terminal waits to be ended
}

func (c *cli) startProgress() *progress {
	now := time.Now()
	return &progress{c: c, terminal: isTerminal(c.stderr), begun: now, next: now.Add(quietFor)}
}

// sayf says how far the work is, unless it is too early to say anything.
func (p *progress) sayf(format string, args ...any) {
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	if !p.terminal {
		p.c.notef(format, args...)
		p.next = now.Add(lineEvery)
		return
	}
	// Erase the line, then write it anew (ECMA-48, EL).
	_, _ = fmt.Fprintf(p.c.stderr, "\r\x1b[K"+format, args...)
	p.drawn, p.next = true, now.Add(redrawEvery)
}

// end removes the line from the terminal.
func (p *progress) end() {
	if p.drawn {
		_, _ = fmt.Fprint(p.c.stderr, "\r\x1b[K")
		p.drawn = false
	}
}
