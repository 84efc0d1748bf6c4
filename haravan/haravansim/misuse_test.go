package haravansim_test

import (
	"net/http"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

func TestMisuse(t *testing.T) {
	t.Parallel()
	const endpoint = "/admin/oauth/access_token"
	for name, test := range map[string]struct {
		method, shop, path string
		contentType        string
		header             map[string]string
		status             int
		words              string
	}{
		"unknown path":         {"GET", shop1, "/admin/orders.json", "", nil, 404, "no such path"},
		"token in the path":    {"GET", shop1, "/admin/{secret}/shop.json", "", nil, 404, "/admin/[redacted]/shop.json"},
		"endless path":         {"GET", shop1, "/" + strings.Repeat("x", 5000), "", nil, 404, "/" + strings.Repeat("x", 199) + " of "},
		"path outside admin":   {"GET", shop1, "/", "", nil, 404, "no such path"},
		"secret in query":      {"POST", shop1, endpoint + "?client_secret=x", form, nil, 400, "client_secret"},
		"token in query":       {"GET", shop1, "/admin/shop.json?access_token=x", "", nil, 400, "access_token"},
		"disguised secret":     {"GET", shop1, "/admin/shop.json?q={secret}", "", nil, 400, "a credential as q"},
		"disguised refresh":    {"GET", shop1, "/admin/shop.json?q={refresh}", "", nil, 400, "a credential as q"},
		"disguised token":      {"GET", shop1, "/admin/shop.json?q={token}", "", nil, 400, "a credential as q"},
		"bad query":            {"GET", shop1, "/admin/shop.json?q=%zz", "", nil, 400, "cannot be parsed"},
		"GET a token":          {"GET", shop1, endpoint, "", nil, 405, "POST only"},
		"POST shop.json":       {"POST", shop1, "/admin/shop.json", "", nil, 405, "GET only"},
		"no content type":      {"POST", shop1, endpoint, "", nil, 415, "Content-Type"},
		"wrong content type":   {"POST", shop1, endpoint, "text/plain", nil, 415, "Content-Type"},
		"no authorization":     {"GET", shop1, "/admin/shop.json", "", nil, 401, "Bearer"},
		"not a bearer":         {"GET", shop1, "/admin/shop.json", "", map[string]string{"Authorization": "Basic eA=="}, 401, "Bearer"},
		"empty bearer":         {"GET", shop1, "/admin/shop.json", "", map[string]string{"Authorization": "Bearer "}, 401, "Bearer"},
		"old header":           {"GET", shop1, "/admin/shop.json", "", map[string]string{"X-Haravan-Access-Token": "x"}, 401, "X-Haravan-Access-Token"},
		"host is no shop":      {"GET", "example.com", "/admin/shop.json", "", nil, 404, "not a shop's domain"},
		"host is the suffix":   {"GET", ".myharavan.com", "/admin/shop.json", "", nil, 404, "not a shop's domain"},
		"host below a shop":    {"GET", "a." + shop1, "/admin/shop.json", "", nil, 404, "not a shop's domain"},
		"host with underscore": {"GET", "a_b.myharavan.com", "/admin/shop.json", "", nil, 404, "not a shop's domain"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, haravansim.Options{}).arm()
			path := strings.NewReplacer("{secret}", g.secret, "{refresh}", g.refresh, "{token}", g.stored()[shop1]).Replace(test.path)
			req := g.request(test.method, test.shop, path, test.contentType, "")
			for k, v := range test.header {
				req.Header.Set(k, v)
			}
			got := g.do(req)
			words := g.Misuse()
			if got.status != test.status || len(words) != 1 || !strings.Contains(words[0], test.words) {
				t.Errorf("answered %d %s and noted %q, want %d and %q", got.status, got.body, words, test.status, test.words)
			}
			if len(words) == 1 && (strings.Contains(words[0], g.secret) || strings.Contains(words[0], g.refresh)) {
				t.Errorf("the note carries a secret: %q", words[0])
			}
			if c := g.Counts(); c.Misuse != 1 || c.Minted != 0 || c.IdentityReads != 0 {
				t.Errorf("counts: %+v", c)
			}
		})
	}
}

// What a correct client may do although it looks odd.
func TestNotMisuse(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	token := g.stored()[shop1]
	for name, req := range map[string]*http.Request{
		"fields in the query": g.request("GET", shop1, "/admin/shop.json?fields=id", "application/json", ""),
		"host with a port":    g.request("GET", shop1+":443", "/admin/shop.json", "", ""),
		"host in capitals":    g.request("GET", strings.ToUpper(shop1), "/admin/shop.json", "", ""),
	} {
		req.Header.Set("Authorization", "bearer "+token)
		if got := g.do(req); got.status != 200 {
			t.Errorf("%s: %d %s", name, got.status, got.body)
		}
	}
	g.noMisuse()
}

func TestMisuseIsBounded(t *testing.T) {
	t.Parallel()
	sim := haravansim.New(haravansim.Options{Shops: 1})
	hammer(sim, 1100, "GET", "/nowhere")
	if n, total := len(sim.Misuse()), sim.Counts().Misuse; n != 1000 || total != 1100 {
		t.Errorf("kept %d of %d", n, total)
	}
}
