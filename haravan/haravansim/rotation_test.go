package haravansim_test

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// A client that obeys Retry-After and tries again brings every living shop of
// the hostile default through a rotation, without one misuse.
func TestHostileFleetCanBeRotated(t *testing.T) {
	t.Parallel()
	const shops, tries = 600, 8
	g := newRig(t, haravansim.Options{
		Seed: 11, Shops: shops, Faults: haravansim.Hostile(), Knobs: haravansim.Knobs{SlowBy: time.Millisecond},
	}).arm()
	old, living := map[string]string{}, map[string]bool{}
	for sh := range g.Shops {
		old[sh.Domain] = sh.AccessToken
		living[sh.Domain] = sh.State == haravansim.StateInstalled
	}
	proven := map[string]string{}
	for shop := range old {
		for range tries {
			if token := g.rotateOnce(shop); token != "" {
				proven[shop] = token
				break
			}
			g.advance(2 * time.Second)
		}
		if got := proven[shop] != ""; got != living[shop] {
			t.Errorf("%s: proven %v, living %v", shop, got, living[shop])
		}
	}
	if _, err := g.RevokeSecret(1); err != nil {
		t.Fatal(err)
	}
	for shop, token := range proven {
		if g.TokenAlive(shop, old[shop]) || !g.TokenAlive(shop, token) {
			t.Errorf("%s: after the revoke the old token lives, or the new one is dead", shop)
		}
		if g.stored()[shop] != token {
			t.Fatalf("%s: Shops does not show the token that was proven", shop)
		}
	}
	c := g.Counts()
	if len(proven) >= shops || c.Minted <= len(proven) || len(c.Faults) < 10 {
		t.Errorf("this was not hostile: %d of %d proven, %+v", len(proven), shops, c)
	}
	g.noMisuse()
}

// rotateOnce exchanges and proves; it returns "" when anything went wrong.
func (g *rig) rotateOnce(shop string) string {
	g.t.Helper()
	var made struct {
		AccessToken string `json:"access_token"`
	}
	got := g.exchange(shop)
	if got.err != nil || got.status != 200 || json.Unmarshal([]byte(got.body), &made) != nil || made.AccessToken == "" {
		return ""
	}
	var is struct{ Shop struct{ ID int64 } }
	got = g.identity(shop, made.AccessToken)
	if got.err != nil || got.status != 200 || json.Unmarshal([]byte(got.body), &is) != nil || is.Shop.ID == 0 {
		return ""
	}
	return made.AccessToken
}
