package jobs

import "sync"

// crew works shops for all batches of a process. A shop is under way from enter
// to leave; it has a hand only while there is something to do for it, and none
// while it waits for a commit. Proofs come before exchanges, and of those who
// wait the first of their walk is first.
type crew struct {
	mu sync.Mutex
	// places are left for shops to get under way, and entering wait for one.
	places   int
	entering line
	work     lines
	// hands are at work, of most. Those who have nothing to do wait in idle, the
	// one whose stack was used last at its end.
	hands, most int
	idle        []chan func()
	stopped     bool
	// rests is called when no hand is at work: until something else happens,
	// nothing will be done. It may not wait.
	rests func()
}

// newCrew returns a crew of hands that has at most underWay shops under way.
func newCrew(hands, underWay int) *crew {
	return &crew{most: hands, places: underWay, rests: func() {}}
}

// enter waits until the shop of the item at a place may get under way.
func (c *crew) enter(at place) {
	c.mu.Lock()
	if c.places > 0 {
		c.places--
		c.mu.Unlock()
		return
	}
	_, in := c.entering.wait(at)
	c.mu.Unlock()
	<-in
}

// leave ends what enter began.
func (c *crew) leave() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.entering.len() > 0 {
		c.entering.next()()
	} else {
		c.places++
	}
}

// exchange has the next free hand do work for the item at a place.
func (c *crew) exchange(at place, work func()) { c.add(true, at, work) }

// prove is exchange for a token that was minted.
func (c *crew) prove(at place, work func()) { c.add(false, at, work) }

func (c *crew) add(exchange bool, at place, work func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.work.of(exchange).join(at, work)
	c.call()
}

// call gets a hand to work if one may.
func (c *crew) call() {
	if c.hands >= c.most {
		return
	}
	work := c.work.next()
	if work == nil {
		return
	}
	c.hands++
	if last := len(c.idle) - 1; last >= 0 {
		c.idle[last] <- work
		c.idle = c.idle[:last]
		return
	}
	go c.hand(work)
}

func (c *crew) hand(work func()) {
	called := make(chan func(), 1)
	for work != nil {
		work()
		if work = c.again(called); work == nil {
			work = <-called
		}
	}
}

// again is what the hand that asks does next; nil if it is to wait until called.
func (c *crew) again(called chan func()) (work func()) {
	c.mu.Lock()
	defer c.mu.Unlock()
	// Too many after some came back from aside, but no proof waits for that.
	if c.hands <= c.most || c.work.proofs.len() > 0 {
		if work = c.work.next(); work != nil {
			return work
		}
	}
	c.hands--
	c.tellRest()
	if c.stopped {
		close(called)
	} else {
		c.idle = append(c.idle, called)
	}
	return nil
}

// stop sends the hands home. Nobody may be under way.
func (c *crew) stop() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stopped = true
	for _, called := range c.idle {
		close(called)
	}
	c.idle = nil
}

// aside lets another hand work while this one waits for something else than the
// platform. It ends with back.
func (c *crew) aside() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hands--
	c.call()
	c.tellRest()
}

func (c *crew) tellRest() {
	if c.hands <= 0 { // less if somebody rests who is no hand
		c.rests()
	}
}

// back takes the hand's part again; who works too much then ends later.
func (c *crew) back() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.hands++
}
