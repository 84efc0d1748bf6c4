package haravansim

// ShopCounts are what happened to one shop.
type ShopCounts struct {
	// Exchanges, Codes and IdentityCalls are calls that were let in: neither
	// misuse nor refused by the bucket. Faults are among them.
	Exchanges     int `json:"exchanges"`
	Codes         int `json:"codes"`
	IdentityCalls int `json:"identity_calls"`
	// Minted is how many tokens were made, lost answers included.
	Minted int `json:"minted"`
	// MintedUnderOld is how many of them are pinned to a secret that was not
	// the newest live one: they die when it is revoked.
	MintedUnderOld int `json:"minted_under_old"`
	// IdentityReads is how many identity reads had effect.
	IdentityReads int `json:"identity_reads"`
}

// Totals sum ShopCounts over all shops, and more.
type Totals struct {
	ShopCounts
	// ShopsMinted is how many shops had a token minted, MostMinted the highest
	// count of any of them.
	ShopsMinted int `json:"shops_minted"`
	MostMinted  int `json:"most_minted"`
	// Faults counts those that happened, by rate or script.
	Faults map[Fault]int64 `json:"faults"`
	// Misuse counts every misuse, also those that Sim.Misuse no longer keeps.
	Misuse int `json:"misuse"`
}

func (sh *shop) counts() ShopCounts {
	return ShopCounts{
		Exchanges:      int(sh.calls[opExchange]),
		Codes:          int(sh.calls[opCode]),
		IdentityCalls:  int(sh.calls[opIdentity]),
		Minted:         int(sh.minted),
		MintedUnderOld: int(sh.minOld),
		IdentityReads:  int(sh.reads),
	}
}

// Counts walks the touched shops and sums them up.
func (s *Sim) Counts() Totals {
	t := Totals{Faults: map[Fault]int64{}}
	s.EachCount(func(_ string, c ShopCounts) bool {
		t.Exchanges += c.Exchanges
		t.Codes += c.Codes
		t.IdentityCalls += c.IdentityCalls
		t.Minted += c.Minted
		t.MintedUnderOld += c.MintedUnderOld
		t.IdentityReads += c.IdentityReads
		if c.Minted > 0 {
			t.ShopsMinted++
			t.MostMinted = max(t.MostMinted, c.Minted)
		}
		return true
	})
	for i := range s.faults {
		if n := s.faults[i].Load(); n > 0 {
			t.Faults[faultReasons[i].fault] = n
		}
	}
	s.misuse.mu.Lock()
	t.Misuse = s.misuse.total
	s.misuse.mu.Unlock()
	return t
}

// EachCount yields the counts of every touched shop.
func (s *Sim) EachCount(yield func(domain string, c ShopCounts) bool) {
	for index := 0; ; index++ {
		r, ok := s.at(index)
		if !ok {
			return
		}
		c, touched := s.countsOf(r)
		if touched && !yield(r.domain, c) {
			return
		}
	}
}

// ShopCounts returns the counts of one shop, zero if it was never touched or
// does not exist.
func (s *Sim) ShopCounts(domain string) ShopCounts {
	r, ok := s.locate(domain)
	if !ok {
		return ShopCounts{}
	}
	c, _ := s.countsOf(r)
	return c
}

func (s *Sim) countsOf(r ref) (c ShopCounts, touched bool) {
	s.fleet.locks[r.index%lockCount].Lock()
	defer s.unlock(r)
	sh := s.peek(r)
	if sh == nil {
		return c, false
	}
	return sh.counts(), true
}
