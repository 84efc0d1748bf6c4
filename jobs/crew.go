package jobs

import "sync"

// crew works shops for all batches of a process: a fixed number side by side,
// and of those who wait the first of their walk first.
type crew struct {
	work chan func()

	mu      sync.Mutex
	free    int
	waiting line
}

func newCrew(most int) *crew { return &crew{work: make(chan func()), free: most} }

// start starts the goroutines; stop ends them.
func (c *crew) start() {
	for range c.free {
		go func() {
			for work := range c.work {
				work()
				c.leave()
			}
		}()
	}
}

// stop ends the goroutines. Nobody may be in do.
func (c *crew) stop() { close(c.work) }

// do waits until there is somebody for the item at a place, and has them do work.
func (c *crew) do(at place, work func()) {
	c.mu.Lock()
	if c.free > 0 {
		c.free--
		c.mu.Unlock()
	} else {
		turn := c.waiting.join(at)
		c.mu.Unlock()
		<-turn.let
	}
	c.work <- work
}

func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.waiting.len() > 0 {
		c.waiting.next()
	} else {
		c.free++
	}
}
