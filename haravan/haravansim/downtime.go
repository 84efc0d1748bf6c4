package haravansim

import (
	"cmp"
	"slices"
	"time"
)

// Downtime is what a revoke cost one shop, or would if it came back now.
type Downtime struct {
	Domain string `json:"domain"`
	// Down is the time from the moment that the last revoke bit until the first
	// identity read with a living token; 0 when the token was there before it.
	Down time.Duration `json:"down_ns"`
	// Back is false while nobody has read the shop's identity since.
	Back bool `json:"back"`
}

// lastDeath is when the last revoke that has bitten did, zero for none.
func (b *book) lastDeath(now time.Time) time.Time {
	var last time.Time
	for _, s := range b.secrets {
		if !s.DiesAt.IsZero() && !now.Before(s.DiesAt) && s.DiesAt.After(last) {
			last = s.DiesAt
		}
	}
	return last
}

// noteBack remembers the first good read after the last revoke. The caller holds
// the shop's lock.
func (sh *shop) noteBack(i int, b *book, now time.Time) {
	last := b.lastDeath(now)
	died := last.UnixNano()
	switch {
	case last.IsZero() || sh.backAt >= died:
	case sh.tokens[i].bornAt <= died:
		sh.backAt = died // it never was without
	default:
		sh.backAt = now.UnixNano()
	}
}

// Downtimes tells of every installed shop, in the order of their return and then
// those that are not back, how long the last revoke left it without a working
// token. It is empty before any revoke.
func (s *Sim) Downtimes() []Downtime {
	now := s.Now()
	died := s.creds.book.Load().lastDeath(now)
	if died.IsZero() {
		return []Downtime{}
	}
	out := []Downtime{}
	for index := 0; ; index++ {
		r, ok := s.at(index)
		if !ok {
			break
		}
		if d, installed := s.downtime(r, died, now); installed {
			out = append(out, d)
		}
	}
	slices.SortStableFunc(out, func(a, b Downtime) int {
		switch {
		case a.Back && !b.Back:
			return -1
		case b.Back && !a.Back:
			return 1
		}
		return cmp.Compare(a.Down, b.Down)
	})
	return out
}

func (s *Sim) downtime(r ref, died, now time.Time) (d Downtime, installed bool) {
	s.fleet.locks[r.index%lockCount].Lock()
	defer s.unlock(r)
	sh := s.peek(r)
	if s.state(r, sh) != StateInstalled {
		return d, false
	}
	d = Downtime{Domain: r.domain, Down: now.Sub(died)}
	if sh != nil && sh.backAt >= died.UnixNano() {
		d.Down, d.Back = time.Duration(sh.backAt-died.UnixNano()), true
	}
	return d, true
}
