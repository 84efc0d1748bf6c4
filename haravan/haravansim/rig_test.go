package haravansim_test

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"go.uber.org/goleak"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// clock stands still until it is moved, so that buckets and pauses are exact.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func newClock() *clock { return &clock{t: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

// rig is a simulator on real ports and a client that follows no redirect and
// reuses no connection, so that each call meets its own fault.
type rig struct {
	*haravansim.Server
	t       *testing.T
	client  *http.Client
	secret  string // what exchange sends
	refresh string
}

func newRig(t *testing.T, o haravansim.Options) *rig {
	t.Helper()
	if o.Now == nil {
		o.Now = newClock().Now
	}
	if o.Shops == 0 {
		o.Shops = 10
	}
	server, err := haravansim.Start(context.Background(), o, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := server.Close(); err != nil {
			t.Error(err)
		}
	})
	return &rig{Server: server, t: t, client: &http.Client{
		Transport:     &http.Transport{DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// arm creates the second secret and a refresh token: the app is ready to rotate.
func (g *rig) arm() *rig {
	g.t.Helper()
	made, err := g.CreateSecret()
	if err != nil {
		g.t.Fatal(err)
	}
	g.secret, g.refresh = made.Value, g.CreateRefreshToken().Value
	return g
}

// seen is what a client learns from one call.
type seen struct {
	status int
	header http.Header
	body   string
	err    error // no answer, or one that broke off
}

func (g *rig) do(req *http.Request) seen {
	g.t.Helper()
	res, err := g.client.Do(req)
	if err != nil {
		return seen{err: err}
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(res.Body)
	return seen{res.StatusCode, res.Header, string(body), err}
}

func (g *rig) request(method, shop, path, contentType, body string) *http.Request {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.PlatformURL+path, strings.NewReader(body))
	if err != nil {
		g.t.Fatal(err)
	}
	req.Host = shop
	if contentType != "" {
		req.Header.Set("Content-Type", contentType)
	}
	return req
}

const form = "application/x-www-form-urlencoded"

func (g *rig) params(pairs ...string) url.Values {
	v := url.Values{"client_id": {g.App().ClientID}, "client_secret": {g.secret}, "refresh_token": {g.refresh}}
	for i := 0; i < len(pairs); i += 2 {
		v.Set(pairs[i], pairs[i+1])
		if pairs[i+1] == "" {
			v.Del(pairs[i])
		}
	}
	return v
}

// exchange asks for a new token; pairs change its parameters, "" leaves one out.
func (g *rig) exchange(shop string, pairs ...string) seen {
	g.t.Helper()
	return g.do(g.request("POST", shop, "/admin/oauth/access_token", form, g.params(pairs...).Encode()))
}

// token exchanges and expects a token.
func (g *rig) token(shop string, pairs ...string) string {
	g.t.Helper()
	return g.exchange(shop, pairs...).token(g.t)
}

func (r seen) token(t *testing.T) string {
	t.Helper()
	_, rest, ok := strings.Cut(r.body, `"access_token":"`)
	token, _, closed := strings.Cut(rest, `"`)
	if r.status != 200 || !ok || !closed || len(token) != 32 {
		t.Fatalf("no token in %d %s (%v)", r.status, r.body, r.err)
	}
	return token
}

func (g *rig) identity(shop, token string) seen {
	g.t.Helper()
	req := g.request("GET", shop, "/admin/shop.json", "", "")
	req.Header.Set("Authorization", "Bearer "+token)
	return g.do(req)
}

// stored lists what the app has, by domain.
func (g *rig) stored() map[string]string {
	out := map[string]string{}
	for sh := range g.Shops {
		out[sh.Domain] = sh.AccessToken
	}
	return out
}

func (g *rig) setKnobs(k haravansim.Knobs) {
	g.t.Helper()
	if err := g.SetKnobs(k); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) advance(d time.Duration) {
	g.t.Helper()
	if _, err := g.Advance(d); err != nil {
		g.t.Fatal(err)
	}
}

func (g *rig) noMisuse() {
	g.t.Helper()
	for _, words := range g.Misuse() {
		g.t.Errorf("misuse: %s", words)
	}
}

func (g *rig) must(err error) {
	g.t.Helper()
	if err != nil {
		g.t.Fatal(err)
	}
}

const (
	shop1 = "shop-000001.myharavan.com"
	shop2 = "shop-000002.myharavan.com"
	shop3 = "shop-000003.myharavan.com"
)
