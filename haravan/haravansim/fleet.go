package haravansim

import (
	"fmt"
	"strings"
	"sync"
)

const domainSuffix = ".myharavan.com"

const lockCount = 256

// fleet holds the shops. Those that Options.Shops made are found by arithmetic
// on their names; the ones installed later are kept by name, numbered on.
type fleet struct {
	locks [lockCount]paddedMutex // shop i is guarded by lock i % lockCount
	shops []*shop                // nil until first touched

	mu     sync.RWMutex // guards the two below, not the shops in them
	extras map[string]int
	late   []lateShop
}

type paddedMutex struct {
	sync.Mutex
	_ [56]byte // one cache line each: two cores must not fight over neighbours
}

type lateShop struct {
	domain string
	shop   *shop
}

// ref points at a shop without saying that it was ever touched.
type ref struct {
	index  int
	domain string
	key    uint64 // what its draws and tokens are made from
}

// fleetDomain is the name of the i-th shop of the fleet, counted from 0.
func fleetDomain(i int) string { return fmt.Sprintf("shop-%06d%s", i+1, domainSuffix) }

// fleetIndex undoes fleetDomain, and accepts nothing else.
func fleetIndex(domain string, shops int) (int, bool) {
	digits, ok := strings.CutPrefix(domain, "shop-")
	if !ok {
		return 0, false
	}
	digits, ok = strings.CutSuffix(digits, domainSuffix)
	if !ok || len(digits) < 6 || len(digits) > 9 || (len(digits) > 6 && digits[0] == '0') {
		return 0, false
	}
	n := 0
	for i := range len(digits) {
		c := digits[i] - '0'
		if c > 9 {
			return 0, false
		}
		n = 10*n + int(c)
	}
	return n - 1, n >= 1 && n <= shops
}

// checkDomain accepts a shop's domain in the one spelling the platform uses.
func checkDomain(domain string) error {
	name, ok := strings.CutSuffix(domain, domainSuffix)
	if !ok || name == "" || len(name) > 63 || name[0] == '-' || name[len(name)-1] == '-' {
		return fmt.Errorf("%q is not a shop's domain: write name%s", domain, domainSuffix)
	}
	for i := range len(name) {
		if c := name[i]; (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' {
			return fmt.Errorf("%q is not a shop's domain: use lower-case letters, digits and hyphens before %s", domain, domainSuffix)
		}
	}
	return nil
}

// locate finds a shop by its exact domain.
func (s *Sim) locate(domain string) (ref, bool) {
	i, ok := fleetIndex(domain, len(s.fleet.shops))
	if !ok {
		s.fleet.mu.RLock()
		i, ok = s.fleet.extras[domain]
		s.fleet.mu.RUnlock()
	}
	return ref{i, domain, s.key(domain)}, ok
}

func (s *Sim) key(domain string) uint64 { return draw(s.seed, saltShop, textKey(domain), 0) }

// lock returns the shop's record, made on the first touch, and holds its lock.
func (s *Sim) lock(r ref) *shop {
	s.fleet.locks[r.index%lockCount].Lock()
	if sh := s.peek(r); sh != nil {
		return sh
	}
	sh := s.fresh(r)
	s.fleet.shops[r.index] = sh
	return sh
}

func (s *Sim) unlock(r ref) { s.fleet.locks[r.index%lockCount].Unlock() }

// peek returns the shop's record, or nil if it was never touched. The caller
// holds its lock.
func (s *Sim) peek(r ref) *shop {
	if i := r.index - len(s.fleet.shops); i >= 0 {
		s.fleet.mu.RLock()
		defer s.fleet.mu.RUnlock()
		return s.fleet.late[i].shop
	}
	return s.fleet.shops[r.index]
}

// fresh is a shop of the fleet as it stands before anything happened: one token
// of secret version 1, minted before the simulator's time. Of a legacy shop it
// is the one that follows from its credential, and the app was not given it.
func (s *Sim) fresh(r ref) *shop {
	sh := &shop{tokens: make([]token, 1, 2)}
	sh.tokens[0] = token{value: s.initialToken(r), version: firstSecret}
	if s.isLegacy(r) {
		sh.tokens[0].derived, sh.given = true, -1
	}
	return sh
}

func (s *Sim) initialToken(r ref) value {
	if s.isLegacy(r) {
		return s.derived(r)
	}
	return newValue(r.key, saltToken, 0, firstSecret)
}

// state is how the shop stands. The caller holds the shop's lock; sh may be nil.
func (s *Sim) state(r ref, sh *shop) State {
	if sh != nil && sh.set != "" {
		return sh.set
	}
	if r.index >= len(s.fleet.shops) {
		return StateInstalled // shares of dead shops are of the fleet
	}
	return s.weather.Load().state(r.key)
}

// shopID imitates an orgid: 12 digits, more than 32 bits hold.
func shopID(index int) int64 { return 200_000_000_001 + int64(index) }

func shopName(domain string) string { return strings.TrimSuffix(domain, domainSuffix) }

// Shop is one shop as the app's own records and the platform see it.
type Shop struct {
	Domain string `json:"domain"`
	ID     int64  `json:"id"`
	// AccessToken is the one that the app was last given: a token whose answer
	// was lost is not here. Empty if the app never got one.
	AccessToken string `json:"access_token"`
	// LegacyToken or LegacyPassword is what the app stores of a legacy shop.
	LegacyToken    string `json:"legacy_token,omitempty"`
	LegacyPassword string `json:"legacy_password,omitempty"`
	// DerivedAlive tells that the OAuth token which follows from it is taken now.
	DerivedAlive bool  `json:"derived_alive,omitempty"`
	State        State `json:"state"`
}

// Shops yields every shop, the fleet in order and then late installs, and
// touches none. Use it as a range function.
func (s *Sim) Shops(yield func(Shop) bool) { s.shopsFrom(0, yield) }

func (s *Sim) shopsFrom(index int, yield func(Shop) bool) {
	for ; ; index++ {
		r, ok := s.at(index)
		if !ok {
			return
		}
		if !yield(s.shop(r)) {
			return
		}
	}
}

// at returns the shop with an index.
func (s *Sim) at(index int) (ref, bool) {
	domain := ""
	if i := index - len(s.fleet.shops); i < 0 {
		domain = fleetDomain(index)
	} else {
		s.fleet.mu.RLock()
		defer s.fleet.mu.RUnlock()
		if i >= len(s.fleet.late) {
			return ref{}, false
		}
		domain = s.fleet.late[i].domain
	}
	return ref{index, domain, s.key(domain)}, true
}

func (s *Sim) shop(r ref) Shop {
	s.fleet.locks[r.index%lockCount].Lock()
	defer s.unlock(r)
	sh := s.peek(r)
	out := Shop{Domain: r.domain, ID: shopID(r.index), State: s.state(r, sh)}
	if s.isLegacy(r) {
		if sh == nil {
			sh = s.fresh(r) // to look at, not to keep
		}
		s.describeLegacy(r, sh, &out)
	}
	switch {
	case sh == nil:
		out.AccessToken = s.initialToken(r).String()
	case sh.given >= 0:
		out.AccessToken = sh.tokens[sh.given].value.String()
	}
	return out
}

// TokenAlive reports whether the platform takes this token for this shop now,
// faults and frozen shops apart.
func (s *Sim) TokenAlive(domain, accessToken string) bool {
	_, alive := s.token(domain, accessToken)
	return alive
}

// TokenVersion returns the version of the secret that minted the token, dead or
// alive, and 0 if the shop never had such a token.
func (s *Sim) TokenVersion(domain, accessToken string) int {
	t, _ := s.token(domain, accessToken)
	return int(t.version)
}

// token finds one of the shop's tokens; its version is 0 if there is none.
func (s *Sim) token(domain, accessToken string) (t token, alive bool) {
	v, ok := parseValue(accessToken)
	if !ok {
		return t, false
	}
	r, ok := s.locate(domain)
	if !ok {
		return t, false
	}
	s.fleet.locks[r.index%lockCount].Lock()
	defer s.unlock(r)
	sh := s.peek(r)
	if sh == nil {
		sh = s.fresh(r)
	}
	i := sh.find(v)
	if i < 0 {
		return t, false
	}
	return sh.tokens[i], s.opens(r, sh, i)
}

// opens reports whether the platform takes the shop's i-th token, faults and
// frozen shops apart. The caller holds the shop's lock.
func (s *Sim) opens(r ref, sh *shop, i int) bool {
	state := s.state(r, sh)
	return (state == StateInstalled || state == StateFrozen) && sh.alive(i, s.creds.book.Load(), s.knobs.Load(), s.Now())
}
