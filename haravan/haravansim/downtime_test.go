package haravansim_test

import (
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// A leaked secret is revoked before anything was exchanged: the new one still
// brings every shop back, and the books tell after how long.
func TestExchangeAfterTheRevokeEndsTheDowntime(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{Shops: 3, Knobs: haravansim.Knobs{RevokeDelay: 10 * time.Second}})
	g.arm()
	stored := g.stored()
	if got := g.Downtimes(); len(got) != 0 {
		t.Errorf("before any revoke: %+v", got)
	}
	early := g.token(shop2)
	g.advance(time.Second)
	_, err := g.RevokeSecret(1)
	g.must(err)
	if got := g.identity(shop1, stored[shop1]); got.status != 200 || len(g.Downtimes()) != 0 {
		t.Errorf("the revoke bites before its delay: %d, %+v", got.status, g.Downtimes())
	}
	g.advance(10 * time.Second) // it bites now
	if got := g.identity(shop1, stored[shop1]); got.status != 401 {
		t.Errorf("an old token after the revoke: %d", got.status)
	}
	if got := g.identity(shop2, early); got.status != 200 {
		t.Errorf("a token of the new secret after the revoke: %d", got.status)
	}
	g.advance(time.Minute)
	fresh := g.token(shop1)
	g.advance(time.Second)
	if got := g.identity(shop1, fresh); got.status != 200 {
		t.Errorf("a token that was exchanged after the revoke: %d", got.status)
	}
	g.advance(time.Minute)
	if got := g.identity(shop1, fresh); got.status != 200 {
		t.Errorf("its second use: %d", got.status)
	}
	want := []haravansim.Downtime{
		{Domain: shop2, Back: true},
		{Domain: shop1, Down: 61 * time.Second, Back: true},
		{Domain: shop3, Down: 121 * time.Second},
	}
	if diff := cmp.Diff(want, g.Downtimes()); diff != "" {
		t.Errorf("downtimes (-want +got):\n%s", diff)
	}
	var told struct{ Shops []haravansim.Downtime }
	g.manage("GET", "/downtime", "", &told)
	if diff := cmp.Diff(want, told.Shops); diff != "" {
		t.Errorf("the management port's (-want +got):\n%s", diff)
	}
	g.must(g.Uninstall(shop3))
	if got := g.Downtimes(); len(got) != 2 {
		t.Errorf("a shop that is gone is down: %+v", got)
	}
	g.noMisuse()
}
