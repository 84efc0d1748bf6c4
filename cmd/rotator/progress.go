package main

import (
	"fmt"
	"os"
	"sync"
	"time"

	"golang.org/x/term"
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
	terminal bool // whose line is drawn anew
	width    int  // of the terminal; 0 if unknown
	begun    time.Time
	next     time.Time // nothing is said before
	drawn    bool      // a line on the terminal waits to be ended
}

func (c *cli) startProgress() *progress {
	c.came()
	now := time.Now()
	p := &progress{c: c, begun: now, next: now.Add(quietFor)}
	var screen *os.File
	if screen, p.terminal = c.screen(c.stderr); p.terminal {
		if width, _, err := term.GetSize(int(screen.Fd())); err == nil {
			p.width = width
		}
	}
	return p
}

// sayf says how far the work is, unless it is too early to say anything.
func (p *progress) sayf(format string, args ...any) {
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	if !p.terminal {
		p.c.linef(format, args...)
		p.next = now.Add(lineEvery)
		return
	}
	// Erase the line, then write it anew (ECMA-48, EL): one that wrapped would stay.
	_, _ = fmt.Fprint(p.c.stderr, "\r\x1b[K"+cut(fmt.Sprintf(format, args...), p.width-1))
	p.drawn, p.next = true, now.Add(redrawEvery)
}

// waits says so if what is waited for has not come after a while, and now and then
// how long it has been. Nothing else may be said before the returned function was
// called.
func (p *progress) waits(format string, args ...any) (came func()) {
	what, since := fmt.Sprintf(format, args...), time.Now()
	p.next = since.Add(quietFor)
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		for {
			select {
			case <-time.After(time.Until(p.next)):
				p.sayf("%s, for %s now", what, time.Since(since).Round(time.Second))
			case <-stop:
				return
			}
		}
	}()
	return sync.OnceFunc(func() {
		close(stop)
		<-ended
	})
}

// end removes the line from the terminal.
func (p *progress) end() {
	if p.drawn {
		_, _ = fmt.Fprint(p.c.stderr, "\r\x1b[K")
		p.drawn = false
	}
}
