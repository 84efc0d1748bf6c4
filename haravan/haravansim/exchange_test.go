package haravansim_test

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// The six steps, as a correct client takes them.
func TestRotation(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{Shops: 5})
	before := g.stored()
	g.arm()
	after := map[string]string{}
	for shop, old := range before {
		after[shop] = g.token(shop)
		if after[shop] == old {
			t.Errorf("%s: the exchange returned the old token", shop)
		}
		for what, token := range map[string]string{"old": old, "new": after[shop]} {
			if got := g.identity(shop, token); got.status != 200 || !strings.Contains(got.body, shop) {
				t.Errorf("%s: identity with the %s token before the revoke: %d %s", shop, what, got.status, got.body)
			}
		}
		if got := g.identity(shop, "0123456789abcdef0123456789abcdef"); got.status != 401 {
			t.Errorf("%s: identity with a foreign token: %d", shop, got.status)
		}
	}
	if _, err := g.RevokeSecret(1); err != nil {
		t.Fatal(err)
	}
	for shop, old := range before {
		if got := g.identity(shop, old); got.status != 401 || g.TokenAlive(shop, old) {
			t.Errorf("%s: the old token outlived its secret: %d", shop, got.status)
		}
		if got := g.identity(shop, after[shop]); got.status != 200 || !g.TokenAlive(shop, after[shop]) {
			t.Errorf("%s: the new token died with the old secret: %d %s", shop, got.status, got.body)
		}
		if v := g.TokenVersion(shop, after[shop]); v != 2 {
			t.Errorf("%s: new token is of version %d", shop, v)
		}
		if g.stored()[shop] != after[shop] {
			t.Errorf("%s: Shops does not show the token that the app was given", shop)
		}
	}
	if c := g.Counts(); c.Minted != 5 || c.ShopsMinted != 5 || c.MostMinted != 1 || c.MintedUnderOld != 0 || c.IdentityReads != 15 {
		t.Errorf("counts: %+v", c)
	}
	g.noMisuse()
}

// An exchange under the old secret works, and its token dies at the revoke.
func TestOldSecretIsATrap(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	token := g.token(shop1, "client_secret", g.Secrets()[0].Value)
	if v := g.TokenVersion(shop1, token); v != 1 {
		t.Errorf("version %d, want 1", v)
	}
	if c := g.Counts(); c.MintedUnderOld != 1 {
		t.Errorf("minted under old: %d, want 1", c.MintedUnderOld)
	}
	if _, err := g.RevokeSecret(1); err != nil {
		t.Fatal(err)
	}
	if g.TokenAlive(shop1, token) {
		t.Error("the token outlived its secret")
	}
}

func TestExchangeRefusals(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		prepare func(*rig)
		pairs   []string
		status  int
		body    string
	}{
		"wrong secret":          {pairs: []string{"client_secret", "nope"}, status: 401, body: "invalid_client"},
		"wrong client":          {pairs: []string{"client_id", "nope"}, status: 401, body: "client not found"},
		"no client":             {pairs: []string{"client_id", ""}, status: 400, body: "client_id is missing"},
		"no secret":             {pairs: []string{"client_secret", ""}, status: 400, body: "secret's parameter is missing"},
		"other parameter":       {pairs: []string{"client_secret", "", "shared_secret", "x"}, status: 400, body: "secret's parameter is missing"},
		"no refresh token":      {pairs: []string{"refresh_token", ""}, status: 400, body: "refresh_token is missing"},
		"unknown refresh token": {pairs: []string{"refresh_token", "nope"}, status: 400, body: "refresh token not found"},
		"odd grant type":        {pairs: []string{"grant_type", "password"}, status: 400, body: "unsupported_grant_type"},
		"foreign refresh token": {
			prepare: func(g *rig) { g.refresh = g.CreateForeignRefreshToken().Value },
			status:  400, body: "another client",
		},
		"expired refresh token": {
			prepare: func(g *rig) { g.advance(time.Hour) },
			status:  400, body: "refresh token expired",
		},
		"revoked refresh token": {
			prepare: func(g *rig) { g.must(g.RevokeRefreshToken(g.refresh)) },
			status:  400, body: "refresh token revoked",
		},
		"revoked secret": {
			prepare: func(g *rig) { _, err := g.RevokeSecret(2); g.must(err) },
			status:  401, body: "invalid_client",
		},
		"expired, answered as the knob says": {
			prepare: func(g *rig) {
				g.advance(time.Hour)
				g.setKnobs(haravansim.Knobs{ExpiredRefreshToken: haravansim.Reply{Status: 403, Body: "<p>no</p>"}})
			},
			status: 403, body: "<p>no</p>",
		},
		"access token refused": {
			prepare: func(g *rig) { g.setKnobs(haravansim.Knobs{AccessTokenParameter: "refused"}) },
			pairs:   []string{"access_token", "x"}, status: 400, body: "access_token is not a parameter",
		},
		"access token required": {
			prepare: func(g *rig) { g.setKnobs(haravansim.Knobs{AccessTokenParameter: "required"}) },
			status:  400, body: "access_token must be",
		},
		"grant type required": {
			prepare: func(g *rig) { g.setKnobs(haravansim.Knobs{GrantTypeParameter: "required"}) },
			status:  400, body: "grant_type is missing",
		},
		"grant type refused": {
			prepare: func(g *rig) { g.setKnobs(haravansim.Knobs{GrantTypeParameter: "refused"}) },
			pairs:   []string{"grant_type", "refresh_token"}, status: 400, body: "grant_type is not a parameter",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, haravansim.Options{}).arm()
			if test.prepare != nil {
				test.prepare(g)
			}
			got := g.exchange(shop1, test.pairs...)
			if got.status != test.status || !strings.Contains(got.body, test.body) {
				t.Errorf("got %d %s, want %d with %q", got.status, got.body, test.status, test.body)
			}
			if c := g.Counts(); c.Minted != 0 {
				t.Errorf("minted %d tokens", c.Minted)
			}
			g.noMisuse()
		})
	}
}

func TestRefreshTokenLivesOneHour(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	g.advance(time.Hour - time.Nanosecond)
	g.token(shop1)
	g.advance(time.Nanosecond)
	if got := g.exchange(shop1); got.status != 400 {
		t.Errorf("at one hour: %d", got.status)
	}
	g.refresh = g.CreateRefreshToken().Value
	g.token(shop2)
}

func TestWireVariants(t *testing.T) {
	t.Parallel()
	type call struct {
		path, contentType string
		secretName        string
		ok                bool
	}
	const plain, dotJSON, asJSON = "/admin/oauth/access_token", "/admin/oauth/access_token.json", "application/json"
	for name, test := range map[string]struct {
		knobs haravansim.Knobs
		calls []call
	}{
		"defaults": {calls: []call{
			{plain, form, "client_secret", true},
			{dotJSON, asJSON, "client_secret", true},
			{plain, asJSON + "; charset=utf-8", "client_secret", true},
			{plain, form, "shared_secret", false},
		}},
		"shared_secret": {haravansim.Knobs{SecretParameter: "shared_secret"}, []call{
			{plain, form, "shared_secret", true}, {plain, form, "client_secret", false},
		}},
		"either secret": {haravansim.Knobs{SecretParameter: "either"}, []call{
			{plain, form, "shared_secret", true}, {plain, form, "client_secret", true},
		}},
		"plain path": {haravansim.Knobs{TokenPath: "plain"}, []call{
			{plain, form, "client_secret", true}, {dotJSON, form, "client_secret", false},
		}},
		"json path": {haravansim.Knobs{TokenPath: "json"}, []call{
			{dotJSON, form, "client_secret", true}, {plain, form, "client_secret", false},
		}},
		"form only": {haravansim.Knobs{TokenBody: "form"}, []call{
			{plain, form, "client_secret", true}, {plain, asJSON, "client_secret", false},
		}},
		"json only": {haravansim.Knobs{TokenBody: "json"}, []call{
			{plain, asJSON, "client_secret", true}, {plain, form, "client_secret", false},
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, haravansim.Options{Knobs: test.knobs}).arm()
			for _, c := range test.calls {
				p := g.params("client_secret", "", c.secretName, g.secret, "unheard_of", "x")
				body := p.Encode()
				if strings.HasPrefix(c.contentType, asJSON) {
					flat := map[string]string{}
					for k := range p {
						flat[k] = p.Get(k)
					}
					data, err := json.Marshal(flat)
					g.must(err)
					body = string(data)
				}
				got := g.do(g.request("POST", shop1, c.path, c.contentType, body))
				if (got.status == 200) != c.ok {
					t.Errorf("%+v: %d %s", c, got.status, got.body)
				}
			}
			g.noMisuse()
		})
	}
}

func TestBadTokenBodies(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	for name, test := range map[string]struct{ contentType, body, words string }{
		"repeated parameter": {form, g.params().Encode() + "&client_id=x", "client_id is repeated"},
		"bad escape":         {form, "client_id=%zz", "not a form"},
		"bad JSON":           {"application/json", "{", "not a JSON object"},
		"number in JSON":     {"application/json", `{"client_id":1}`, "not a JSON object of strings"},
		"empty":              {form, "", "client_id is missing"},
	} {
		got := g.do(g.request("POST", shop1, "/admin/oauth/access_token", test.contentType, test.body))
		if got.status != 400 || !strings.Contains(got.body, test.words) || !json.Valid([]byte(got.body)) {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
}

func TestTooLongBodyIsMisuse(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	long := g.params().Encode() + "&x=" + strings.Repeat("x", 64<<10)
	got := g.do(g.request("POST", shop1, "/admin/oauth/access_token", form, long))
	if misuse := g.Sim.Misuse(); got.status != 413 || len(misuse) != 1 {
		t.Errorf("%d %s, misuse %q", got.status, got.body, misuse)
	}
}
