package haravansim_test

import (
	"crypto/md5"
	"encoding/hex"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

const (
	legacyShops   = 10 // shop1 … shop10, the last of them with a password
	passwordShop  = "shop-000010.myharavan.com"
	shopWithOAuth = "shop-000011.myharavan.com"
)

// newLegacyRig is a fleet of twelve whose first ten have no OAuth token.
func newLegacyRig(t *testing.T, k haravansim.Knobs) *rig {
	t.Helper()
	return newRig(t, haravansim.Options{Shops: legacyShops + 2, Legacy: legacyShops, Knobs: k})
}

// derive does by hand what the document says.
func (g *rig) derive(domain string, version int) string {
	g.t.Helper()
	for sh := range g.Shops {
		switch {
		case sh.Domain != domain:
		case sh.LegacyPassword != "":
			return sh.LegacyPassword
		default:
			sum := md5.Sum([]byte(g.Secrets()[version-1].Value + sh.LegacyToken))
			return hex.EncodeToString(sum[:])
		}
	}
	g.t.Fatalf("no shop %s", domain)
	return ""
}

func TestDerivedTokenWaitsForThePanel(t *testing.T) {
	t.Parallel()
	for name, open := range map[string]func(*rig) haravansim.Panel{
		"panel":    func(g *rig) haravansim.Panel { return g.SwitchToOAuth() },
		"test app": func(g *rig) haravansim.Panel { return g.CreateTestApp() },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newLegacyRig(t, haravansim.Knobs{}).arm()
			for _, shop := range []string{shop1, passwordShop} {
				if got := g.identity(shop, g.derive(shop, 1)); got.status != 401 {
					t.Errorf("%s: %d before the switch", shop, got.status)
				}
				if got := g.exchange(shop); got.status != 401 {
					t.Errorf("%s: a token that is not live yet was exchanged: %d", shop, got.status)
				}
			}
			if got := g.identity(shopWithOAuth, g.stored()[shopWithOAuth]); got.status != 200 {
				t.Errorf("the shop with an OAuth token: %d", got.status)
			}
			if p := open(g); p.Legacy != legacyShops || !p.OAuth && !p.TestApp {
				t.Errorf("panel: %+v", p)
			}
			for _, shop := range []string{shop1, passwordShop} {
				if got := g.identity(shop, g.derive(shop, 1)); got.status != 200 {
					t.Errorf("%s: %d after the switch", shop, got.status)
				}
				if !g.TokenAlive(shop, g.derive(shop, 1)) || g.TokenVersion(shop, g.derive(shop, 1)) != 1 {
					t.Errorf("%s: the derived token is not a living one of version 1", shop)
				}
			}
			if got := g.identity(shop1, g.derive(shop1, 2)); got.status != 401 {
				t.Errorf("derived with the wrong secret version: %d", got.status)
			}
			g.noMisuse()
		})
	}
}

// A derived token is a token like any other: exchanged, and killed by a revoke.
func TestDerivedTokenIsPinnedToTheFirstSecret(t *testing.T) {
	t.Parallel()
	g := newLegacyRig(t, haravansim.Knobs{}).arm()
	g.SwitchToOAuth()
	derived := g.derive(shop1, 1)
	fresh := g.token(shop1)
	if g.stored()[shop1] != fresh || !g.TokenAlive(shop1, derived) {
		t.Error("the exchange must give the app a token and leave the derived one alive")
	}
	seven := []string{"write_content", "write_themes", "write_products", "write_customers", "write_orders", "write_script_tags", "write_shipping"}
	for _, token := range []string{derived, fresh} {
		if got := g.TokenScopes(shop1, token); !slices.Equal(got, seven) {
			t.Errorf("scopes: %v", got)
		}
	}
	code, err := g.InstallShop(shop2)
	g.must(err)
	installed := g.token(shop2, "code", code, "grant_type", "authorization_code", "redirect_uri", "https://app.example/", "refresh_token", "")
	if got := g.TokenScopes(shop2, installed); !slices.Contains(got, "read_shop") || g.TokenVersion(shop2, installed) != 2 {
		t.Errorf("an install grants %v under version %d", got, g.TokenVersion(shop2, installed))
	}
	if g.TokenScopes(shop2, derived) != nil {
		t.Error("another shop's token has scopes here")
	}
	_, err = g.RevokeSecret(1)
	g.must(err)
	if g.TokenAlive(shop1, derived) || !g.TokenAlive(shop1, fresh) || g.TokenAlive(shop2, g.derive(shop2, 1)) {
		t.Error("the revoke must kill derived tokens and nothing else")
	}
}

func TestIdentityMayNeedAScope(t *testing.T) {
	t.Parallel()
	g := newLegacyRig(t, haravansim.Knobs{IdentityScope: "read_shop"})
	g.SwitchToOAuth()
	if got := g.identity(shop1, g.derive(shop1, 1)); got.status != 403 || !strings.Contains(got.body, "read_shop") {
		t.Errorf("derived: %d %s", got.status, got.body)
	}
	if got := g.identity(shopWithOAuth, g.stored()[shopWithOAuth]); got.status != 200 {
		t.Errorf("installed: %d", got.status)
	}
}

func TestLegacyFleetOverManagement(t *testing.T) {
	t.Parallel()
	g := newLegacyRig(t, haravansim.Knobs{})
	response, err := g.client.Get(g.ManagementURL + "/shops?format=csv")
	g.must(err)
	defer func() { _ = response.Body.Close() }()
	list, err := io.ReadAll(response.Body)
	g.must(err)
	lines := strings.Split(strings.TrimSpace(string(list)), "\n")
	if len(lines) != legacyShops+3 || lines[0] != "domain,access_token,legacy_token,legacy_password" {
		t.Fatalf("list: %s", list)
	}
	for i, line := range lines[1:] {
		var has []bool
		for _, cell := range strings.Split(line, ",")[1:] {
			has = append(has, cell != "")
		}
		want := []bool{i >= legacyShops, i < legacyShops && i != 9, i == 9}
		if !slices.Equal(has, want) {
			t.Errorf("line %s", line)
		}
	}
	var shop haravansim.Shop
	g.manage("GET", "/shops/"+shop1, "", &shop)
	if shop.DerivedAlive || shop.LegacyToken == "" || shop.AccessToken != "" {
		t.Errorf("before: %+v", shop)
	}
	var panel haravansim.Panel
	if code := g.manage("POST", "/panel/test-app", "", &panel); code != http.StatusOK || panel != (haravansim.Panel{Legacy: legacyShops, TestApp: true}) {
		t.Errorf("test app: %d %+v", code, panel)
	}
	g.manage("POST", "/panel/oauth", "", nil)
	g.manage("GET", "/panel", "", &panel)
	g.manage("GET", "/shops/"+shop1, "", &shop)
	if !panel.OAuth || !shop.DerivedAlive {
		t.Errorf("after: %+v %+v", panel, shop)
	}
	var is struct {
		Alive   bool
		Version int
		Scopes  []string
	}
	g.manage("POST", "/shops/"+shop1+"/token", `{"access_token":"`+g.derive(shop1, 1)+`"}`, &is)
	if !is.Alive || is.Version != 1 || len(is.Scopes) != 7 {
		t.Errorf("token: %+v", is)
	}
}

func TestUninstalledLegacyShopIsDead(t *testing.T) {
	t.Parallel()
	g := newLegacyRig(t, haravansim.Knobs{})
	g.SwitchToOAuth()
	g.must(g.Uninstall(shop1))
	if g.TokenAlive(shop1, g.derive(shop1, 1)) {
		t.Error("the derived token outlived the uninstall")
	}
}

func TestLegacyShopsAreOfTheFleet(t *testing.T) {
	t.Parallel()
	for _, n := range []int{-1, 3} {
		if err := (haravansim.Options{Shops: 2, Legacy: n}).Validate(); err == nil || !strings.Contains(err.Error(), "legacy is") {
			t.Errorf("legacy %d of 2 shops: %v", n, err)
		}
	}
}
