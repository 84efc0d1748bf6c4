package jobs

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// Pace is the adaptive limit on the calls that one process has in flight:
// additive increase, multiplicative decrease, decided over windows of calls so
// that one shop's full bucket does not slow the fleet.
//
// It begins low and doubles until the platform shows the first sign of trouble;
// from then on it adds a little for every good window and gives up a third for
// a bad one. A window is bad when more than a fifth of its calls answered 429,
// 5xx or not at all, or when calls take several times as long as they did.
type Pace struct {
	mu       sync.Mutex
	limit    int
	cap      int
	inflight int
	waiting  lines

	doubling bool
	calls    int
	bad      int
	rate429  int
	spent    time.Duration
	// best is the lowest mean latency of a window. It drifts upwards slowly, but
	// not while calls are slow: that would only forget what is usual.
	best time.Duration
	// slowFrom is the limit at which calls became slow, 0 while they are not;
	// bottomed counts the slow windows since there was no more to give up.
	slowFrom, bottomed int
	// recent is a ring of latencies for the percentiles.
	recent [512]time.Duration
	seen   int
	reason string
	p99    atomic.Int64
}

const (
	paceStart = 16
	paceFloor = 2
	// slowFactor and slowSlack: a mean latency over factor × best + slack is
	// trouble. The slack keeps a fast, loaded loopback from looking like one.
	slowFactor = 3
	slowSlack  = 250 * time.Millisecond
	// slowShare of the limit is left by slowness; slowPatience windows there are
	// enough to see that giving up did not help.
	slowShare    = 8
	slowPatience = 8
	// paceP99 is assumed until a window of calls was measured.
	paceP99 = 2 * time.Second
)

// reasonCap is named for whose cap it is before anybody sees it.
const reasonCap = "in-flight cap"

// NewPace returns a pace that never lets more than most calls run at once.
func NewPace(most int) *Pace {
	p := &Pace{limit: min(paceStart, most), cap: most, doubling: true, reason: reasonRamp}
	p.p99.Store(int64(paceP99))
	return p
}

// SetCap changes the most that may be in flight.
func (p *Pace) SetCap(most int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.cap = max(most, 1)
	p.limit = min(p.limit, p.cap)
	p.wake()
}

// Free takes a place if nobody waits for one.
func (p *Pace) Free() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	free := p.inflight < p.limit && p.waiting.len() == 0
	if free {
		p.inflight++
	}
	return free
}

// Acquire waits for leave to make a call, an exchange or a read, for the item at
// a place.
func (p *Pace) Acquire(ctx context.Context, exchange bool, at place) error {
	p.mu.Lock()
	waiting := p.waiting.of(exchange)
	if p.inflight < p.limit && waiting.len() == 0 {
		p.inflight++
		p.mu.Unlock()
		return nil
	}
	turn, in := waiting.wait(at)
	p.mu.Unlock()
	select {
	case <-in:
		return nil
	case <-ctx.Done():
		p.mu.Lock()
		defer p.mu.Unlock()
		if !waiting.leave(turn) { // it came at the same moment: hand it on
			p.inflight--
			p.wake()
		}
		return ctx.Err()
	}
}

// Release ends a call that took latency and came to class.
func (p *Pace) Release(class rotation.Class, latency time.Duration) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inflight--
	p.calls++
	p.spent += latency
	p.recent[p.seen%len(p.recent)] = latency
	p.seen++
	switch class {
	case rotation.ClassRateLimited:
		p.bad++
		p.rate429++
	case rotation.ClassPlatform, rotation.ClassNetwork:
		p.bad++
	}
	if p.calls >= max(20, p.limit) {
		p.judge()
	}
	p.wake()
}

// judge ends a window and sets the limit for the next.
func (p *Pace) judge() {
	mean := p.spent / time.Duration(p.calls)
	share := float64(p.bad) / float64(p.calls)
	slow := p.best > 0 && mean > slowFactor*p.best+slowSlack
	if !slow {
		p.slowFrom, p.bottomed = 0, 0
	}
	switch {
	case share > 0.2 && p.rate429*2 >= p.bad:
		p.back(reason429)
	case share > 0.2:
		p.back(reasonFailures)
	case slow:
		p.slowDown(mean)
	case share > 0.05:
		p.doubling = false
	case p.doubling:
		p.limit *= 2
		p.reason = reasonRamp
	default:
		p.limit += max(1, p.limit/16)
	}
	if p.limit >= p.cap {
		p.limit, p.reason = p.cap, reasonCap
	}
	switch {
	case p.best == 0 || mean < p.best:
		p.best = mean
	case !slow:
		p.best += p.best / 64
	}
	p.p99.Store(int64(p.percentile()))
	p.calls, p.bad, p.rate429, p.spent = 0, 0, 0, 0
}

// slowDown gives up for slowness, until that has not helped for long.
func (p *Pace) slowDown(mean time.Duration) {
	if p.slowFrom == 0 {
		p.slowFrom = p.limit
	}
	most := p.limit
	p.back(reasonSlow)
	if least := max(p.slowFrom/slowShare, paceFloor); p.limit <= least {
		p.limit = min(most, least)
		p.bottomed++
	}
	if p.bottomed >= slowPatience {
		p.best, p.slowFrom, p.bottomed = mean, 0, 0
	}
}

func (p *Pace) back(reason string) {
	p.doubling = false
	p.limit = max(min(paceFloor, p.cap), p.limit*2/3)
	p.reason = reason
}

// wake hands free places to those who wait.
func (p *Pace) wake() {
	for p.inflight < p.limit && p.waiting.len() > 0 {
		p.inflight++
		p.waiting.next()()
	}
}

// PaceState is what the limit stands at, and why.
type PaceState struct {
	InFlight, Limit int
	Reason          string
}

// State tells the limit.
func (p *Pace) State() PaceState {
	p.mu.Lock()
	defer p.mu.Unlock()
	return PaceState{InFlight: p.inflight, Limit: p.limit, Reason: p.reason}
}

// P99 is the 99th percentile of recent calls' latency, as of the last window;
// paceP99 before the first.
func (p *Pace) P99() time.Duration { return time.Duration(p.p99.Load()) }

// percentile is the 99th of the recent latencies.
func (p *Pace) percentile() time.Duration {
	n := min(p.seen, len(p.recent))
	sample := slices.Clone(p.recent[:n])
	slices.Sort(sample)
	return sample[min(n-1, n*99/100)]
}

// Return gives a place back that no call was made with.
func (p *Pace) Return() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.inflight--
	p.wake()
}
