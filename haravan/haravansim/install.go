package haravansim

import (
	"fmt"
	"sync"
)

// codes are the authorization codes not yet exchanged, each good for one shop
// and one use ("OAuth", step 3).
type codes struct {
	mu      sync.Mutex
	made    uint64
	byValue map[string]string // code to domain
}

func (c *codes) add(r ref) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.made++
	code := newValue(r.key, saltCode, c.made, 0).String()
	c.byValue[code] = r.domain
	return code
}

// take uses a code up; it reports false for one that is not this shop's.
func (c *codes) take(code, domain string) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if owner, ok := c.byValue[code]; !ok || owner != domain {
		return false
	}
	delete(c.byValue, code)
	return true
}

// InstallShop plays a merchant who installs the app, again or for the first
// time, and returns the authorization code that the redirect would carry. The
// app has no token of this install until it exchanges the code at the token
// endpoint, with whichever secret it believes in.
func (s *Sim) InstallShop(domain string) (code string, err error) {
	if err := checkDomain(domain); err != nil {
		return "", fmt.Errorf("install shop: %w", err)
	}
	r, ok := s.locate(domain)
	if !ok {
		r = s.addLate(domain)
	}
	sh := s.lock(r)
	if was := s.state(r, sh); was == StateUninstalled || was == StateUnknown {
		sh.deadBefore = int32(len(sh.tokens)) // what died stays dead
	}
	sh.set = StateInstalled
	s.unlock(r)
	s.log.Info("shop installed", "shop", domain)
	return s.codes.add(r), nil
}

// addLate gives a shop outside the fleet a record; two calls for one domain
// get the same.
func (s *Sim) addLate(domain string) ref {
	s.fleet.mu.Lock()
	defer s.fleet.mu.Unlock()
	i, ok := s.fleet.extras[domain]
	if !ok {
		i = len(s.fleet.shops) + len(s.fleet.late)
		s.fleet.extras[domain] = i
		s.fleet.late = append(s.fleet.late, lateShop{domain, &shop{given: -1}})
	}
	return ref{i, domain, s.key(domain)}
}

// Uninstall plays a merchant who removes the app: every token of the shop dies
// for good, and the app still has the last one it was given.
func (s *Sim) Uninstall(domain string) error {
	return s.change("uninstall shop", domain, func(sh *shop) {
		sh.set = StateUninstalled
		sh.deadBefore = int32(len(sh.tokens))
	})
}

// Freeze closes a shop: nothing answers for it until Thaw; its tokens stay.
func (s *Sim) Freeze(domain string) error {
	return s.change("freeze shop", domain, func(sh *shop) { sh.set = StateFrozen })
}

// Thaw opens a frozen shop again.
func (s *Sim) Thaw(domain string) error {
	return s.change("thaw shop", domain, func(sh *shop) { sh.set = StateInstalled })
}

// AnswerAs makes identity reads of one shop show another's identity, until it
// is told to answer as itself.
func (s *Sim) AnswerAs(domain, other string) error {
	if err := checkDomain(other); err != nil {
		return fmt.Errorf("answer as another shop: %w", err)
	}
	return s.change("answer as another shop", domain, func(sh *shop) { sh.answersAs = other })
}

func (s *Sim) change(what, domain string, apply func(*shop)) error {
	r, ok := s.locate(domain)
	if !ok {
		return fmt.Errorf("%s: there is no shop %q", what, domain)
	}
	apply(s.lock(r))
	s.unlock(r)
	s.log.Info(what, "shop", domain)
	return nil
}
