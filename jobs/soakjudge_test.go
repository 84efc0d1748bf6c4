package jobs_test

import (
	"errors"
	"strings"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// known is the token that the app works with, which must be the stored one unless
// the app had a newer one of its own.
func (s *soaked) known(shop string, state rotation.ItemState) string {
	s.t.Helper()
	stored, err := s.db.ShopToken(s.ctx, s.app.ID, shop)
	s.must(err)
	token := stored.Reveal()
	switch {
	case s.bound:
		s.must(s.db.Pool.QueryRow(s.ctx, `select access_token from public.app_shops where shop = $1`, shop).Scan(&token))
	case s.told != nil && state == rotation.ItemProven:
		s.told.mu.Lock()
		defer s.told.mu.Unlock()
		token = s.told.tokens[shop].Token
	}
	if token != stored.Reveal() && !s.fresh[shop] {
		s.t.Errorf("%s is %s, and the app has another token than is stored", shop, state)
	}
	if s.fresh[shop] && !s.bound {
		return stored.Reveal()
	}
	return token
}

// judge holds what is stored against the platform's own books.
func (s *soaked) judge() {
	s.t.Helper()
	states := map[rotation.ItemState]int{}
	for shop := range s.sim.Shops {
		item, err := s.db.Item(s.ctx, s.run.ID, shop.Domain)
		if errors.Is(err, store.ErrNotFound) && (s.fresh[shop.Domain] || s.gone[shop.Domain]) {
			continue // installed under the new secret once the run had taken in all, or not at all
		}
		s.must(err)
		states[item.State]++
		if shop.State != haravansim.StateInstalled || s.excluded[shop.Domain] {
			continue
		}
		token := s.known(shop.Domain, item.State)
		if v := s.sim.TokenVersion(shop.Domain, token); v != 2 {
			s.t.Errorf("%s (%s, installed again: %t): its token is of secret %d", shop.Domain, item.State, s.fresh[shop.Domain], v)
		}
		if item.State != rotation.ItemProven && !s.fresh[shop.Domain] {
			s.t.Errorf("%s is %s (%s: %s)", shop.Domain, item.State, item.Class, item.Detail)
		}
	}
	// A job of an item or of deliveries may be given up: what it was for is due again by
	// its lease, and settled by now.
	for what, query := range map[string]string{
		"groups of unproven tokens": `select count(*) from rotator.minted`,
		"tokens in items":           `select count(*) from rotator.items where new_token is not null`,
		"discarded jobs":            `select count(*) from river_job where state = 'discarded' and kind not in ('exchange_item', 'deliver')`,
	} {
		var n int
		s.must(s.db.Pool.QueryRow(s.ctx, query).Scan(&n))
		if n > 0 {
			s.t.Errorf("%d %s are left", n, what)
		}
	}
	for _, m := range s.sim.Misuse() {
		// Who knows of a pause may die before anybody else does.
		if !strings.Contains(m, "before the Retry-After") {
			s.t.Errorf("misuse: %s", m)
		}
	}
	books := s.sim.Counts()
	s.t.Logf("%v; %d tokens were minted, at most %d for a shop, %d swaps", states, books.Minted, books.MostMinted, s.swaps())
}
