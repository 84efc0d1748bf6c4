package jobs

import (
	"sync"
	"time"

	"golang.org/x/time/rate"
)

// callRate is this process's share of a run's cap on calls per second. Whoever
// proves a token that exists goes before those who would make another.
//
// It hands out turns, not reservations: what was reserved at one speed could not
// be taken back at the next, and a tune must be felt at once.
type callRate struct {
	mu      sync.Mutex
	share   float64
	limiter *rate.Limiter // nil without a cap
	waiting lines
	// idle counts turns whose call has not begun: while the in-flight limit is
	// what holds calls up, no turns are saved for a burst.
	idle  int
	timer *time.Timer
}

const (
	// rateBurst is the part of a second whose calls may begin at one moment.
	rateBurst = 0.1
	// rateLook is how often those who wait look whether they still may call.
	rateLook = 200 * time.Millisecond
	// rateQueue is how many seconds' calls are kept waiting; shops beyond stay
	// in their batch, so that other runs' shops can be worked.
	rateQueue = 0.5
)

// Set changes the share, 0 for no cap.
func (g *callRate) Set(share float64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if share == g.share {
		return
	}
	g.share = share
	burst := max(1, int(share*rateBurst))
	switch {
	case share <= 0:
		g.limiter = nil
	case g.limiter == nil:
		g.limiter = rate.NewLimiter(rate.Limit(share), burst)
	default:
		g.limiter.SetLimit(rate.Limit(share))
		g.limiter.SetBurst(burst)
	}
	g.pump()
}

// Free takes a turn if there is no cap. It ends with Begun.
func (g *callRate) Free() bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limiter != nil {
		return false
	}
	g.idle++ // nobody waits without a cap
	return true
}

// Wait waits for a turn, or for stopped to tell why there is none any more. A
// turn ends with Begun.
func (g *callRate) Wait(exchange bool, at place, stopped func() error) error {
	g.mu.Lock()
	if g.limiter == nil { // then nobody waits
		g.idle++
		g.mu.Unlock()
		return nil
	}
	waiting := g.waiting.of(exchange)
	turn, in := waiting.wait(at)
	g.pump()
	g.mu.Unlock()
	look := time.NewTicker(rateLook)
	defer look.Stop()
	for {
		select {
		case <-in:
			return nil
		case <-look.C:
		}
		if err := stopped(); err != nil {
			g.mu.Lock()
			defer g.mu.Unlock()
			if !waiting.leave(turn) { // it came at the same moment
				g.idle--
				g.pump()
			}
			return err
		}
	}
}

// Begun ends a turn: its call has begun, or will not.
func (g *callRate) Begun() {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.idle--
	g.pump()
}

// Queued tells how many wait for a turn.
func (g *callRate) Queued() int {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.waiting.len()
}

// Full reports whether enough wait already, with those who are about to.
func (g *callRate) Full(coming int) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.limiter != nil && g.waiting.exchanges.len()+coming >= g.enough()
}

// enough is how many may wait under a cap.
func (g *callRate) enough() int { return max(2, int(g.share*rateQueue)) }

// Few is n, or under a cap no more than may wait.
func (g *callRate) Few(n int) int {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.limiter == nil {
		return n
	}
	return min(n, g.enough())
}

// pump hands out the turns that are due and comes back for the next.
func (g *callRate) pump() {
	for g.waiting.len() > 0 {
		if g.limiter != nil {
			now := time.Now()
			if g.idle >= g.limiter.Burst() {
				return // Begun comes back
			}
			if !g.limiter.AllowN(now, 1) {
				r := g.limiter.ReserveN(now, 1)
				delay := r.DelayFrom(now)
				r.CancelAt(now)
				g.later(delay)
				return
			}
		}
		g.idle++
		g.waiting.next()()
	}
}

func (g *callRate) later(d time.Duration) {
	if g.timer == nil {
		g.timer = time.AfterFunc(d, func() {
			g.mu.Lock()
			defer g.mu.Unlock()
			g.pump()
		})
		return
	}
	g.timer.Reset(d)
}
