package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"time"

	"golang.org/x/term"

	"github.com/haravan-rotator/rotator/rotation"
)

const (
	// watchEvery spaces the looks, stretched so that looking takes no more than
	// a fifth of the time; watchLineEvery the lines of a watch without a screen.
	watchEvery     = time.Second
	watchLineEvery = 2 * time.Second
	// watchPatience is how long the database may be away, and how long no worker
	// may be alive, or able to write, before a watch ends.
	watchPatience = 15 * time.Second
)

// watch shows the run until it is over or waits for a human.
func (c *cli) watch(ctx context.Context, o onRun) error {
	reader := &statusReader{store: o.store, run: o.run.ID, words: o.words}
	show := c.newWatchOutput()
	var failedSince time.Time
	var last runStatus
	movedAt := time.Now()
	for {
		begin := time.Now()
		o.counting()
		st, err := reader.read(ctx)
		c.came() // nothing may be shown of it, and a pause follows
		switch {
		case ctx.Err() != nil:
			return c.stopWatching(last)
		case err != nil && failedSince.IsZero():
			failedSince = begin
			c.notef("rotator: cannot look at the run, trying again: %s", inline(err.Error()))
		case err != nil && time.Since(failedSince) > watchPatience:
			return err
		case err == nil:
			failedSince, last = time.Time{}, st
			if !st.wantsWorker() && !st.wantsDatabase() {
				movedAt = begin
			}
			ended := st.watched(begin.Sub(movedAt))
			whole, err := show(st, ended)
			if err != nil {
				return err
			}
			if ended {
				return c.endWatch(st, whole)
			}
		}
		select {
		case <-ctx.Done():
			return c.stopWatching(last)
		case <-time.After(max(watchEvery-time.Since(begin), 4*time.Since(begin))):
		}
	}
}

// What rotation.Next names when no worker is alive, and when none can write.
const (
	workerCommand   = "rotator worker"
	databaseCommand = "rotator doctor"
)

// over tells that nothing will move before somebody does something.
func (st runStatus) over() bool { return st.State != runOpen || st.Next.Human }

// wantsWorker tells that the run stands still for want of a worker.
func (st runStatus) wantsWorker() bool {
	return st.State == runOpen && st.Next.Command == workerCommand
}

// wantsDatabase tells that the run stands still since no worker can store anything.
func (st runStatus) wantsDatabase() bool {
	return st.State == runOpen && st.Next.Command == databaseCommand
}

// watched tells that a watch has seen all there is to see, after no worker was
// alive, or could write, for so long: one that is started again is waited for, and
// so is a database that comes back.
func (st runStatus) watched(idle time.Duration) bool {
	return st.over() && (!st.wantsWorker() && !st.wantsDatabase() || idle > watchPatience)
}

// stopWatching says what becomes of the run without the watcher, as far as last
// tells it.
func (c *cli) stopWatching(last runStatus) error {
	switch {
	case last.wantsWorker():
		c.notef("No longer watching; nothing moves: no worker is alive, run `%s`.", last.Next.Command)
	case len(last.Workers) > 0 && !last.over():
		c.notef("No longer watching; the run goes on without.")
	default:
		c.notef("No longer watching.")
	}
	return exitWith(exitFailed, nil, "")
}

// endWatch says what a human must do now, unless the last view was drawn whole.
func (c *cli) endWatch(st runStatus, whole bool) error {
	if line := stepLine(st.Next); !whole && line != "" && st.Next.Human {
		c.notef("%s", line)
	}
	if code := st.exitFor(); code != exitDone {
		return exitWith(code, nil, "")
	}
	return nil
}

// newWatchOutput returns what shows a status: a screen that is drawn anew, JSON
// Lines, or plain lines. last tells that none will follow; whole, that nothing of
// the status is left to say.
func (c *cli) newWatchOutput() func(st runStatus, last bool) (whole bool, err error) {
	if screen, ok := c.screen(c.stdout); ok && !c.asJSON {
		return c.drawOn(screen)
	}
	var before string
	var phase rotation.Phase
	var next time.Time
	return func(st runStatus, last bool) (bool, error) {
		now := time.Now()
		// Times go on by themselves; what matters is what else changed.
		facts := fmt.Sprint(st.State, st.Phase, st.Next.Command, st.Held != nil, st.HeldWhy, st.Items, st.Revocation, st.Migration, len(st.Workers), st.Rate, st.Certificate,
			st.Deliveries.Pending, st.Deliveries.Failing)
		if !last && (facts == before || st.Phase == phase && now.Before(next)) {
			return false, nil
		}
		before, phase, next = facts, st.Phase, now.Add(watchLineEvery)
		if c.asJSON {
			return false, c.printJSON(st)
		}
		return false, c.printf("%s\n", statusView{st}.Line(now))
	}
}

// drawOn draws over what was drawn before (ECMA-48: CPL, ED).
func (c *cli) drawOn(screen *os.File) func(runStatus, bool) (bool, error) {
	drawn := 0
	return func(st runStatus, _ bool) (bool, error) {
		width, height, err := term.GetSize(int(screen.Fd()))
		if err != nil || width <= 0 || height <= 1 {
			width, height = 80, 24
		}
		lines := strings.SplitAfter(strings.TrimSuffix(statusView{st}.Render(width), "\n"), "\n")
		most := height - 1
		whole := len(lines) <= most
		if !whole {
			lines = lines[:most] // what scrolled away could not be drawn over
			lines[most-1] = strings.TrimSuffix(lines[most-1], "\n")
		}
		text := strings.Join(lines, "") + "\n"
		if drawn > 0 {
			text = fmt.Sprintf("\x1b[%dF\x1b[J", drawn) + text
		}
		drawn = len(lines)
		return whole, c.printf("%s", text)
	}
}
