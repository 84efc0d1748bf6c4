package haravansim_test

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

func TestShopStates(t *testing.T) {
	t.Parallel()
	allAre := func(state haravansim.State) haravansim.Options {
		return haravansim.Options{Faults: haravansim.Faults{Dead: map[haravansim.State]float64{state: 1}}}
	}
	for name, test := range map[string]struct {
		options            haravansim.Options
		prepare            func(*rig) error
		shop               string
		exchange, identity int
		alive              bool
	}{
		"installed":          {shop: shop1, exchange: 200, identity: 200, alive: true},
		"uninstalled":        {prepare: func(g *rig) error { return g.Uninstall(shop1) }, shop: shop1, exchange: 401, identity: 401},
		"frozen":             {prepare: func(g *rig) error { return g.Freeze(shop1) }, shop: shop1, exchange: 402, identity: 402, alive: true},
		"beyond the fleet":   {shop: "shop-000011.myharavan.com", exchange: 404, identity: 404},
		"number spelled odd": {shop: "shop-0000001.myharavan.com", exchange: 404, identity: 404},
		"shop zero":          {shop: "shop-000000.myharavan.com", exchange: 404, identity: 404},
		"another shop froze": {prepare: func(g *rig) error { return g.Freeze(shop2) }, shop: shop1, exchange: 200, identity: 200, alive: true},
		"all uninstalled":    {options: allAre(haravansim.StateUninstalled), shop: shop1, exchange: 401, identity: 401},
		"all frozen":         {options: allAre(haravansim.StateFrozen), shop: shop1, exchange: 402, identity: 402, alive: true},
		"all unknown":        {options: allAre(haravansim.StateUnknown), shop: shop1, exchange: 404, identity: 404},
		"thawed by name":     {options: allAre(haravansim.StateFrozen), prepare: func(g *rig) error { return g.Thaw(shop1) }, shop: shop1, exchange: 200, identity: 200, alive: true},
		"answered by a knob": {
			options: haravansim.Options{Knobs: haravansim.Knobs{FrozenShop: haravansim.Reply{Status: 302, Location: "/admin/closed"}}},
			prepare: func(g *rig) error { return g.Freeze(shop1) }, shop: shop1, exchange: 302, identity: 302, alive: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, test.options).arm()
			token := g.stored()[test.shop]
			if test.prepare != nil {
				g.must(test.prepare(g))
			}
			if alive := g.TokenAlive(test.shop, token); alive != test.alive {
				t.Errorf("token alive: %v", alive)
			}
			if token == "" {
				token = "unknown"
			}
			if got := g.identity(test.shop, token); got.status != test.identity {
				t.Errorf("identity: %d %s", got.status, got.body)
			}
			if got := g.exchange(test.shop); got.status != test.exchange {
				t.Errorf("exchange: %d %s", got.status, got.body)
			}
			g.noMisuse()
		})
	}
}

func (g *rig) install(shop, code string, pairs ...string) seen {
	g.t.Helper()
	pairs = append([]string{
		"refresh_token", "", "grant_type", "authorization_code", "code", code, "redirect_uri", "https://app.example/callback",
	}, pairs...)
	return g.exchange(shop, pairs...)
}

// A shop that installs in the middle of a rotation gets a token of whichever
// secret the app used for it.
func TestLateInstall(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{Shops: 2}).arm()
	const late = "late.myharavan.com"
	code, err := g.InstallShop(late)
	g.must(err)
	if stored, ok := g.stored()[late]; !ok || stored != "" {
		t.Errorf("before the code is exchanged Shops has %q, %v", stored, ok)
	}
	if got := g.install(shop1, code); got.status != 400 {
		t.Errorf("the code worked for another shop: %d", got.status)
	}
	if got := g.install(late, code, "redirect_uri", ""); got.status != 400 {
		t.Errorf("without redirect_uri: %d", got.status)
	}
	if got := g.install(late, code, "grant_type", ""); got.status != 400 {
		t.Errorf("without grant_type: %d", got.status)
	}
	token := g.install(late, code, "client_secret", g.Secrets()[0].Value).token(t)
	if v := g.TokenVersion(late, token); v != 1 {
		t.Errorf("version %d, want that of the secret used: 1", v)
	}
	if got := g.install(late, code); got.status != 400 || !strings.Contains(got.body, "invalid_grant") {
		t.Errorf("the code worked twice: %d %s", got.status, got.body)
	}
	if got := g.identity(late, token); got.status != 200 || !strings.Contains(got.body, "://"+late) {
		t.Errorf("identity: %d %s", got.status, got.body)
	}
	if g.stored()[late] != token {
		t.Error("Shops does not show the token")
	}
	if fresh := g.token(late); g.TokenVersion(late, fresh) != 2 {
		t.Error("the late shop cannot be rotated")
	}
	if _, err := g.InstallShop("Not A Shop"); err == nil {
		t.Error("a bad domain was installed")
	}
}

func TestReinstallKeepsOldTokensDead(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	old := g.stored()[shop1]
	newer := g.token(shop1)
	g.must(g.Uninstall(shop1))
	if g.stored()[shop1] != newer {
		t.Error("the app forgot its token when the merchant left")
	}
	code, err := g.InstallShop(shop1)
	g.must(err)
	fresh := g.install(shop1, code).token(t)
	for token, want := range map[string]bool{old: false, newer: false, fresh: true} {
		if g.TokenAlive(shop1, token) != want {
			t.Errorf("token of version %d alive: %v", g.TokenVersion(shop1, token), !want)
		}
	}
}

// The same for a shop that the shares of dead shops took away.
func TestReinstallAfterDrawnDeath(t *testing.T) {
	t.Parallel()
	for _, state := range []haravansim.State{haravansim.StateUninstalled, haravansim.StateUnknown} {
		g := newRig(t, haravansim.Options{Faults: haravansim.Faults{Dead: map[haravansim.State]float64{state: 1}}}).arm()
		old := g.stored()[shop1]
		code, err := g.InstallShop(shop1)
		g.must(err)
		if g.TokenAlive(shop1, old) {
			t.Errorf("%s: the old token came back to life", state)
		}
		if fresh := g.install(shop1, code).token(t); !g.TokenAlive(shop1, fresh) {
			t.Errorf("%s: the new token is dead", state)
		}
	}
}

func TestUnknownShopsCannotBeChanged(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{})
	const nobody = "nobody.myharavan.com"
	for name, err := range map[string]error{
		"uninstall": g.Uninstall(nobody), "freeze": g.Freeze(nobody), "thaw": g.Thaw(nobody),
		"answer as": g.AnswerAs(nobody, shop1), "answer as nonsense": g.AnswerAs(shop1, "x"),
	} {
		if err == nil {
			t.Errorf("%s: no error", name)
		}
	}
}
