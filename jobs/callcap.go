package jobs

import "sync"

// callCap is this process's share of one run's cap on calls in flight. The pace
// bounds the calls of all runs together, which is what one run alone needs; beside
// others, each is bounded by itself. Proofs come before exchanges.
type callCap struct {
	mu          sync.Mutex
	most, taken int // most is 0 for no bound
	waiting     lines
}

// Set changes the share, 0 for no bound.
func (c *callCap) Set(most int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.most = most
	c.wake()
}

// Free takes a place if nobody waits for one.
func (c *callCap) Free() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	free := c.room() && c.waiting.len() == 0
	if free {
		c.taken++
	}
	return free
}

// Wait waits for a place: no longer than the calls before it take, because who is
// let in and may not call leaves at once.
func (c *callCap) Wait(exchange bool, at place) {
	c.mu.Lock()
	_, in := c.waiting.of(exchange).wait(at)
	c.wake()
	c.mu.Unlock()
	<-in
}

// Leave ends what Free or Wait began.
func (c *callCap) Leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.taken--
	c.wake()
}

// Queued tells how many wait.
func (c *callCap) Queued() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.waiting.len()
}

// Full reports whether enough call or wait already, with those who are about to:
// shops beyond stay in their batch, so that other runs' shops can be worked.
func (c *callCap) Full(coming int) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.most > 0 && c.taken+c.waiting.len()+coming >= c.most*attemptsPerCall
}

func (c *callCap) room() bool { return c.most == 0 || c.taken < c.most }

func (c *callCap) wake() {
	for c.room() && c.waiting.len() > 0 {
		c.taken++
		c.waiting.next()()
	}
}
