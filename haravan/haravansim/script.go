package haravansim

import (
	"fmt"
	"sync"
	"sync/atomic"
)

// scripts are the faults that a test ordered by name; they go before rates.
type scripts struct {
	pending atomic.Int64 // faults not consumed yet, so that calls without scripts pay nothing
	mu      sync.Mutex
	byShop  map[scriptKey][]Fault
	any     [opCount][]Fault
}

type scriptKey struct {
	domain string
	op     int
}

// Script gives the next calls of one operation to one shop these faults, in
// order; FaultNone leaves a call alone. It adds to what is scripted already.
func (s *Sim) Script(domain string, op Op, faults ...Fault) error {
	if _, ok := s.locate(domain); !ok {
		return fmt.Errorf("script faults: there is no shop %q", domain)
	}
	for _, f := range faults {
		if err := checkFault(f, op); err != nil {
			return fmt.Errorf("script faults: %w", err)
		}
	}
	s.scripts.mu.Lock()
	defer s.scripts.mu.Unlock()
	if s.scripts.byShop == nil {
		s.scripts.byShop = map[scriptKey][]Fault{}
	}
	key := scriptKey{domain, op.index()}
	s.scripts.byShop[key] = append(s.scripts.byShop[key], faults...)
	s.scripts.pending.Add(int64(len(faults)))
	return nil
}

// maxScripted bounds one ScriptAny.
const maxScripted = 1_000_000

// ScriptAny gives the next n calls of one operation the fault, whichever shops
// they are for. Which shops meet it depends on the order of arrival.
func (s *Sim) ScriptAny(op Op, n int, fault Fault) error {
	if err := checkFault(fault, op); err != nil {
		return fmt.Errorf("script faults: %w", err)
	}
	if n < 1 || n > maxScripted {
		return fmt.Errorf("script faults: n is %d: use 1 to %d", n, maxScripted)
	}
	s.scripts.mu.Lock()
	defer s.scripts.mu.Unlock()
	for range n {
		s.scripts.any[op.index()] = append(s.scripts.any[op.index()], fault)
	}
	s.scripts.pending.Add(int64(n))
	return nil
}

// next consumes the fault scripted for this call, if there is one.
func (c *scripts) next(domain string, op int) (Fault, bool) {
	if c.pending.Load() == 0 {
		return "", false
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	key := scriptKey{domain, op}
	if queue := c.byShop[key]; len(queue) > 0 {
		c.pending.Add(-1)
		if len(queue) == 1 {
			delete(c.byShop, key)
		} else {
			c.byShop[key] = queue[1:]
		}
		return queue[0], true
	}
	if queue := c.any[op]; len(queue) > 0 {
		c.pending.Add(-1)
		c.any[op] = queue[1:]
		return queue[0], true
	}
	return "", false
}
