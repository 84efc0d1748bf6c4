package rotation

import "fmt"

// Breaker watches the outcomes of attempts, in the order they come, and tells
// when so many fail for reasons that are not the shops' own that going on would
// only make a storm. It is not safe for concurrent use.
type Breaker struct {
	// Size is how many recent outcomes are looked at.
	Size int
	// Least is how many failures it takes before a share means anything.
	Least int
	// Share of failures among the recent outcomes that opens the breaker.
	Share float64

	recent  []Class
	next    int
	failed  int
	refused int
}

// NewBreaker returns a breaker with the defaults: half of the last 100
// attempts, at least 10 of them.
func NewBreaker() *Breaker { return &Breaker{Size: 100, Least: 10, Share: 0.5} }

// Trip is the breaker's decision to hold the run.
type Trip struct {
	Held  Held
	Class Class
	Why   string
}

// refusals is how many times in a row, with no success in between, the shared
// credentials must be refused before the refusal is believed.
const refusals = 3

// Observe records one attempt's class ("" for success) and returns a Trip when
// the run must be held.
func (b *Breaker) Observe(c Class) (Trip, bool) {
	if c == "" {
		b.refused = 0
	}
	if t, ok := b.observeRefusal(c); ok {
		return t, true
	}
	if c != "" && !c.TripsBreaker() && c != ClassRateLimited {
		return Trip{}, false // the shop's own fate: says nothing about the run
	}
	if len(b.recent) < b.Size {
		b.recent = append(b.recent, c)
	} else {
		if b.recent[b.next].TripsBreaker() {
			b.failed--
		}
		b.recent[b.next] = c
		b.next = (b.next + 1) % b.Size
	}
	if !c.TripsBreaker() {
		return Trip{}, false
	}
	b.failed++
	if b.failed < b.Least || float64(b.failed) < b.Share*float64(len(b.recent)) {
		return Trip{}, false
	}
	return Trip{
		Held: HeldBreakerOpen, Class: c,
		Why: fmt.Sprintf("%d of the last %d attempts failed, the last with: %s", b.failed, len(b.recent), c.Words()),
	}, true
}

// observeRefusal holds the run when the credentials that all shops share are
// refused.
func (b *Breaker) observeRefusal(c Class) (Trip, bool) {
	if !c.StopsRun() {
		return Trip{}, false
	}
	b.refused++
	if b.refused < refusals {
		return Trip{}, false
	}
	return Trip{
		Held: HeldWaiting, Class: c,
		Why: fmt.Sprintf("%d attempts in a row were refused: %s", b.refused, c.Words()),
	}, true
}
