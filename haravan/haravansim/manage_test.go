package haravansim_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// manage calls the management port and decodes the answer.
func (g *rig) manage(method, path, body string, into any) int {
	g.t.Helper()
	req, err := http.NewRequestWithContext(g.t.Context(), method, g.ManagementURL+path, strings.NewReader(body))
	g.must(err)
	res, err := g.client.Do(req)
	g.must(err)
	defer func() { _ = res.Body.Close() }()
	data, err := io.ReadAll(res.Body)
	g.must(err)
	if into != nil {
		if err := json.Unmarshal(data, into); err != nil {
			g.t.Fatalf("%s %s: %d %s: %v", method, path, res.StatusCode, data, err)
		}
	}
	return res.StatusCode
}

// A whole rotation with nothing but the two ports.
func TestRotationOverManagement(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{Shops: 3})
	var health struct {
		Status string
		App    haravansim.App
		Shops  int
	}
	g.manage("GET", "/healthz", "", &health)
	if health.Status != "ok" || health.Shops != 3 || health.App != g.App() {
		t.Errorf("health: %+v", health)
	}
	old := g.stored()[shop1]
	var secret haravansim.Secret
	g.manage("POST", "/secrets", "", &secret)
	var refresh haravansim.RefreshToken
	g.manage("POST", "/refresh-tokens", "", &refresh)
	g.secret, g.refresh = secret.Value, refresh.Value
	fresh := g.token(shop1)
	var revoked haravansim.Secret
	g.manage("POST", "/secrets/1/revoke", "", &revoked)
	if secret.Version != 2 || revoked.Version != 1 || revoked.RevokedAt.IsZero() {
		t.Errorf("secrets: %+v, %+v", secret, revoked)
	}
	for token, want := range map[string]bool{old: false, fresh: true} {
		var is struct{ Alive bool }
		g.manage("POST", "/shops/"+shop1+"/token", `{"access_token":"`+token+`"}`, &is)
		if is.Alive != want {
			t.Errorf("alive: %v, want %v", is.Alive, want)
		}
	}
	var clock struct{ Now time.Time }
	before := g.Now()
	g.manage("POST", "/clock/advance", `{"duration":"1h"}`, &clock)
	if clock.Now.Sub(before) != time.Hour {
		t.Errorf("clock moved by %s", clock.Now.Sub(before))
	}
	if got := g.exchange(shop1); got.status != 400 {
		t.Errorf("an hour later: %d", got.status)
	}
	var counts haravansim.Totals
	g.manage("GET", "/counts", "", &counts)
	if diff := cmp.Diff(g.Counts(), counts); diff != "" {
		t.Errorf("counts:\n%s", diff)
	}
	var history struct{ Calls []haravansim.Call }
	g.manage("GET", "/history?after=1&limit=5", "", &history)
	if len(history.Calls) != 1 || history.Calls[0].Seq != 2 || history.Calls[0].Shop != shop1 {
		t.Errorf("history: %+v", history.Calls)
	}
	var list struct{ Secrets []haravansim.Secret }
	g.manage("GET", "/secrets", "", &list)
	if diff := cmp.Diff(g.Secrets(), list.Secrets); diff != "" {
		t.Errorf("secrets:\n%s", diff)
	}
	var misuse struct{ Misuse []string }
	g.manage("GET", "/misuse", "", &misuse)
	if misuse.Misuse == nil || len(misuse.Misuse) != 0 {
		t.Errorf("misuse: %#v", misuse.Misuse)
	}
	if status := g.manage("POST", "/refresh-tokens/revoke", `{"value":"`+refresh.Value+`"}`, nil); status != 200 {
		t.Errorf("revoke refresh token: %d", status)
	}
}

func TestManageShops(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{Shops: 5})
	var installed struct{ Domain, Code string }
	g.manage("POST", "/shops", `{"domain":"late.myharavan.com"}`, &installed)
	if installed.Domain != "late.myharavan.com" || len(installed.Code) != 32 {
		t.Errorf("installed: %+v", installed)
	}
	get := func(path, accept string) string {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", g.ManagementURL+path, nil)
		g.must(err)
		req.Header.Set("Accept", accept)
		return g.do(req).body
	}
	stored := g.stored()
	csv := "domain,access_token\n"
	for _, i := range []string{"3", "4"} {
		domain := "shop-00000" + i + ".myharavan.com"
		csv += domain + "," + stored[domain] + "\n"
	}
	for _, got := range []string{
		get("/shops?after=shop-000002.myharavan.com&limit=2&format=csv", ""),
		get("/shops?after=shop-000002.myharavan.com&limit=2", "text/csv, */*"),
	} {
		if diff := cmp.Diff(csv, got); diff != "" {
			t.Errorf("csv:\n%s", diff)
		}
	}
	decoder := json.NewDecoder(strings.NewReader(get("/shops", "")))
	n := 0
	for ; ; n++ {
		var sh haravansim.Shop
		if err := decoder.Decode(&sh); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if sh.AccessToken == "" || sh.AccessToken != stored[sh.Domain] || sh.State != haravansim.StateInstalled || sh.ID < 200_000_000_000 {
			t.Errorf("%+v", sh)
		}
	}
	if n != 5 { // the late one holds no token yet
		t.Errorf("%d shops", n)
	}
	for action, want := range map[string]haravansim.State{
		"uninstall": haravansim.StateUninstalled, "freeze": haravansim.StateFrozen, "thaw": haravansim.StateInstalled,
	} {
		var sh haravansim.Shop
		g.manage("POST", "/shops/"+shop2+"/"+action, "", &sh)
		if sh.State != want {
			t.Errorf("%s: %+v", action, sh)
		}
	}
	if status := g.manage("POST", "/shops/"+shop1+"/answer-as", `{"other":"`+shop2+`"}`, nil); status != 200 {
		t.Errorf("answer-as: %d", status)
	}
	if got := g.identity(shop1, stored[shop1]); !strings.Contains(got.body, "://"+shop2) {
		t.Errorf("answers as %s", got.body)
	}
	var one struct {
		Domain string
		Counts haravansim.ShopCounts
	}
	g.manage("GET", "/shops/"+shop1, "", &one)
	if one.Domain != shop1 || one.Counts.IdentityReads != 1 {
		t.Errorf("%+v", one)
	}
}

func TestManageFaultsAndKnobs(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	data, err := json.Marshal(haravansim.Hostile())
	g.must(err)
	var faults haravansim.Faults
	g.manage("PUT", "/faults", string(data), &faults)
	if diff := cmp.Diff(haravansim.Hostile(), faults); diff != "" {
		t.Errorf("faults:\n%s", diff)
	}
	g.manage("PUT", "/faults", `{}`, &faults)
	if diff := cmp.Diff(haravansim.Faults{Rates: map[haravansim.Fault]float64{}, Dead: map[haravansim.State]float64{}}, g.Faults()); diff != "" {
		t.Errorf("faults after PUT {}:\n%s", diff)
	}
	var knobs haravansim.Knobs
	g.manage("PUT", "/knobs", `{"bucket_size":40,"revoke_delay":"30s","frozen_shop":{"status":423,"body":"locked"}}`, &knobs)
	if diff := cmp.Diff(g.Knobs(), knobs); diff != "" || knobs.BucketSize != 40 || knobs.RevokeDelay != 30*time.Second || knobs.RetryAfter != 2*time.Second {
		t.Errorf("knobs: %+v\n%s", knobs, diff)
	}
	g.manage("PUT", "/knobs", `{}`, &knobs)
	if knobs.BucketSize != 80 {
		t.Errorf("PUT did not replace: %+v", knobs)
	}
	for _, body := range []string{
		`{"op":"exchange","domain":"` + shop1 + `","faults":["redirect","none"]}`,
		`{"op":"exchange","n":1,"fault":"server_html"}`,
	} {
		if status := g.manage("POST", "/script", body, nil); status != 200 {
			t.Errorf("%s: %d", body, status)
		}
	}
	for _, want := range []int{302, 200, 502, 200} {
		if got := g.exchange(shop1).status; got != want {
			t.Errorf("status %d, want %d", got, want)
		}
	}
	var signed struct{ Version int }
	g.manage("POST", "/webhooks/sign", `{"id":1}`, &signed)
	if signed.Version != 1 {
		t.Errorf("signed by %d", signed.Version)
	}
}

func TestManageRefuses(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{})
	for request, want := range map[string]struct {
		status int
		words  string
	}{
		"GET /nowhere":          {404, "there is no GET /nowhere"},
		"DELETE /secrets":       {404, "there is no DELETE"},
		"POST /shops":           {400, "the body is empty"},
		"POST /shops {}":        {400, "not a shop's domain"},
		"POST /shops {\"x\":1}": {400, "unknown field"},
		"POST /shops {}{}":      {400, "after its JSON value"},

		"POST /shops/nobody.myharavan.com/freeze": {404, "there is no shop"},

		"POST /shops/" + shop1 + "/answer-as {\"other\":\"\"}": {400, "not a shop's domain"},
		"POST /secrets/9/revoke":                               {400, "there is no version 9"},
		"POST /secrets/x/revoke":                               {400, "use a number"},
		"POST /refresh-tokens/revoke {}":                       {400, "no such refresh token"},
		"POST /clock/advance {\"duration\":\"soon\"}":          {400, "write for example"},
		"POST /clock/advance {\"duration\":\"-1h\"}":           {400, "only moves forward"},
		"PUT /faults {\"rates\":{\"x\":1}}":                    {400, "unknown fault"},
		"PUT /knobs {\"bucket_size\":-1}":                      {400, "bucket of -1"},
		"PUT /knobs null":                                      {200, ""},
		"POST /script {\"op\":\"exchange\"}":                   {400, "either one shop"},
		"GET /history?limit=x":                                 {400, "whole number"},
		"GET /shops?limit=-1":                                  {400, "whole number"},
		"GET /shops?format=xml":                                {400, "use csv or jsonl"},
		"GET /shops?after=nobody":                              {400, "no such shop"},
		"POST /shops " + strings.Repeat("x", 2<<20):            {400, "too large"},
	} {
		method, rest, _ := strings.Cut(request, " ")
		path, body, _ := strings.Cut(rest, " ")
		var got map[string]any
		status := g.manage(method, path, body, &got)
		words, _ := got["error"].(string)
		if status != want.status || !strings.Contains(words, want.words) {
			t.Errorf("%.60s: %d %q, want %d %q", request, status, words, want.status, want.words)
		}
	}
}

// Whatever is put in, the answer is JSON, and what was taken can be read back.
func FuzzManagement(f *testing.F) {
	paths := []string{"/faults", "/knobs", "/script", "/shops", "/clock/advance", "/refresh-tokens", "/refresh-tokens/revoke", "/shops/" + shop1 + "/answer-as", "/shops/" + shop1 + "/token"}
	for i, body := range []string{
		`{"rates":{"slow":0.5},"dead":{"frozen":0.1}}`, `{"retry_after":"1s","dead_token":{"status":403,"body":"<p>"}}`,
		`{"op":"exchange","n":2,"fault":"reset"}`, `{"domain":"x.myharavan.com"}`, `{"duration":"1h"}`, `{"foreign":true}`, `{"value":"x"}`,
		`{"other":"y.myharavan.com"}`, `{"access_token":"00000000000000000000000000000000"}`,
	} {
		f.Add(uint8(i), body)
	}
	f.Add(uint8(1), `{"revoke_delay":null}`)
	f.Add(uint8(1), `{"frozen_shop":{"status":302,"location":"\u0000"}}`)
	f.Fuzz(func(t *testing.T, which uint8, body string) {
		sim := haravansim.New(haravansim.Options{Shops: 2})
		h, path := sim.Management(), paths[int(which)%len(paths)]
		method := "POST"
		if path == "/faults" || path == "/knobs" {
			method = "PUT"
		}
		res := httptest.NewRecorder()
		h.ServeHTTP(res, httptest.NewRequest(method, path, strings.NewReader(body)))
		if (res.Code != 200 && res.Code != 400) || !json.Valid(res.Body.Bytes()) {
			t.Fatalf("%s %s: %d %s", method, path, res.Code, res.Body)
		}
		if res.Code != 200 || method != "PUT" {
			return
		}
		shown := httptest.NewRecorder()
		h.ServeHTTP(shown, httptest.NewRequest("GET", path, nil))
		if shown.Body.String() != res.Body.String() {
			t.Errorf("PUT answered %s and GET shows %s", res.Body, shown.Body)
		}
		again := httptest.NewRecorder()
		h.ServeHTTP(again, httptest.NewRequest("PUT", path, shown.Body))
		if again.Code != 200 || again.Body.String() != res.Body.String() {
			t.Errorf("what GET shows cannot be put back: %d %s", again.Code, again.Body)
		}
		req := httptest.NewRequest("GET", "http://"+shop1+"/admin/shop.json", nil)
		req.Header.Set("Authorization", "Bearer x")
		if path == "/knobs" { // a platform under any knobs still answers
			direct(sim.Platform(), req)
		}
	})
}

// The token endpoint reads what strangers send.
func FuzzTokenEndpoint(f *testing.F) {
	f.Add(true, "client_id=a&client_secret=b&refresh_token=c")
	f.Add(false, `{"client_id":"a","code":"b"}`)
	f.Fuzz(func(t *testing.T, isForm bool, body string) {
		sim := haravansim.New(haravansim.Options{Shops: 1})
		req := exchangeRequest(shop1, body)
		if !isForm {
			req.Header.Set("Content-Type", "application/json")
		}
		res, broken := direct(sim.Platform(), req)
		if broken || res.Code < 400 || res.Code > 499 || !json.Valid(res.Body.Bytes()) {
			t.Errorf("%v %d %s", broken, res.Code, res.Body)
		}
	})
}
