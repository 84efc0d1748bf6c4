package jobs

import (
	"sync"
	"time"

	"github.com/haravan-rotator/rotator/store"
)

// gathering collects outcomes into groups. A group is ready when it is full,
// when its first outcome has waited for flushDelay, or when nobody is left who
// could add to it. It is safe for concurrent use.
type gathering struct {
	mu sync.Mutex
	// waiting groups in the order of their coming; the last is not full, or will
	// be followed by another.
	waiting []*group
	// hurried: what waits is ready. ended: so is what comes, and nobody waits for
	// more.
	hurried, ended bool
	// spare groups are used again: they are large.
	spare []*group
	// turn is held by the flusher that takes the next group; look makes it look
	// at what waits.
	turn sync.Mutex
	look chan struct{}
}

// group is what is committed together.
type group struct {
	outcomes []store.Outcome
	thens    []func(store.Verdict)
	since    time.Time
}

func newGathering() *gathering { return &gathering{look: make(chan struct{}, 1)} }

// add has an outcome taken with the next group.
func (g *gathering) add(o store.Outcome, then func(store.Verdict)) {
	g.mu.Lock()
	defer g.mu.Unlock()
	last := len(g.waiting) - 1
	if last < 0 || len(g.waiting[last].outcomes) == flushRows {
		g.waiting = append(g.waiting, g.fresh())
		last++
	}
	to := g.waiting[last]
	to.outcomes, to.thens = append(to.outcomes, o), append(to.thens, then)
	if n := len(to.outcomes); n == 1 || n == flushRows {
		knock(g.look)
	}
}

func (g *gathering) fresh() *group {
	last := len(g.spare) - 1
	if last < 0 {
		return &group{outcomes: make([]store.Outcome, 0, flushRows), thens: make([]func(store.Verdict), 0, flushRows), since: time.Now()}
	}
	to := g.spare[last]
	g.spare = g.spare[:last]
	to.since = time.Now()
	return to
}

// hurry makes what waits ready.
func (g *gathering) hurry() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) > 0 {
		g.hurried = true
		knock(g.look)
	}
}

// end makes next return what is left, and then nil. Nothing may be added.
func (g *gathering) end() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.ended = true
	knock(g.look)
}

// next waits for a group that is ready, nil after the last. It goes back with
// done.
func (g *gathering) next() *group {
	g.turn.Lock()
	defer g.turn.Unlock()
	timer := time.NewTimer(flushDelay)
	defer timer.Stop()
	for {
		ready, wait, ended := g.take()
		if ready != nil || ended {
			return ready
		}
		timer.Reset(wait)
		select {
		case <-g.look:
		case <-timer.C:
		}
	}
}

// take removes the first group if it is ready, and otherwise says when to look
// again. ended tells that none will come.
func (g *gathering) take() (ready *group, wait time.Duration, ended bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.waiting) == 0 {
		return nil, time.Hour, g.ended
	}
	first := g.waiting[0]
	if !g.ended && !g.hurried && len(first.outcomes) < flushRows {
		if wait = flushDelay - time.Since(first.since); wait > 0 {
			return nil, wait, false
		}
	}
	if g.waiting = g.waiting[1:]; len(g.waiting) == 0 {
		g.hurried = false
	}
	return first, 0, false
}

// done gives a group back that has been dealt with.
func (g *gathering) done(with *group) {
	// Tokens are not kept for longer than needed.
	clear(with.outcomes)
	clear(with.thens)
	with.outcomes, with.thens = with.outcomes[:0], with.thens[:0]
	g.mu.Lock()
	defer g.mu.Unlock()
	if len(g.spare) < flushers {
		g.spare = append(g.spare, with)
	}
}
