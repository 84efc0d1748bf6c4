package haravansim_test

import (
	"encoding/json"
	"errors"
	"io"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// What each fault looks like from outside, and whether it left a token behind.
func TestFaults(t *testing.T) {
	t.Parallel()
	const limit = "X-Haravan-Api-Call-Limit"
	for fault, test := range map[haravansim.Fault]struct {
		minted int
		check  func(*testing.T, seen) bool
	}{
		haravansim.FaultNone: {1, func(_ *testing.T, r seen) bool { return r.status == 200 }},
		haravansim.FaultThrottle: {0, func(_ *testing.T, r seen) bool {
			return r.status == 429 && r.header.Get("Retry-After") == "2.0" && r.header.Get(limit) == "80/80"
		}},
		haravansim.FaultThrottleBare: {0, func(_ *testing.T, r seen) bool {
			return r.status == 429 && r.header.Get("Retry-After") == ""
		}},
		haravansim.FaultThrottleEmpty: {0, func(_ *testing.T, r seen) bool {
			return r.status == 429 && r.header.Get("Retry-After") == "2.0" && r.header.Get(limit) == "1/80"
		}},
		haravansim.FaultServerText: {0, func(_ *testing.T, r seen) bool {
			return r.status == 500 && r.body == "Something went wrong. Please try again later." && strings.HasPrefix(r.header.Get("Content-Type"), "text/plain")
		}},
		haravansim.FaultServerHTML: {0, func(_ *testing.T, r seen) bool {
			return r.status == 502 && strings.HasPrefix(r.body, "<html>") && strings.HasPrefix(r.header.Get("Content-Type"), "text/html")
		}},
		haravansim.FaultSlow:      {1, func(_ *testing.T, r seen) bool { return r.status == 200 }},
		haravansim.FaultReset:     {0, func(_ *testing.T, r seen) bool { return errors.Is(r.err, syscall.ECONNRESET) }},
		haravansim.FaultLostReset: {1, func(_ *testing.T, r seen) bool { return errors.Is(r.err, syscall.ECONNRESET) }},
		haravansim.FaultLostClose: {1, func(_ *testing.T, r seen) bool { return errors.Is(r.err, io.EOF) }},
		haravansim.FaultTruncated: {1, func(_ *testing.T, r seen) bool {
			return r.status == 200 && errors.Is(r.err, io.ErrUnexpectedEOF) && r.body != ""
		}},
		haravansim.FaultHalfJSON: {1, func(_ *testing.T, r seen) bool {
			return r.status == 200 && r.err == nil && r.body != "" && !json.Valid([]byte(r.body))
		}},
		haravansim.FaultRedirect: {0, func(_ *testing.T, r seen) bool {
			return r.status == 302 && strings.HasPrefix(r.header.Get("Location"), "https://accounts.")
		}},
		haravansim.FaultNoToken: {0, func(_ *testing.T, r seen) bool {
			return r.status == 200 && json.Valid([]byte(r.body)) && !strings.Contains(r.body, "access_token")
		}},
		haravansim.FaultErrorsString: {0, errorsShaped[string]},
		haravansim.FaultErrorsList:   {0, errorsShaped[[]string]},
		haravansim.FaultErrorsObject: {0, errorsShaped[map[string][]string]},
		haravansim.FaultUnprocessable: {0, func(_ *testing.T, r seen) bool {
			return r.status == 422 && r.body == `{"error":"Unprocessable Entity"}`
		}},
	} {
		t.Run(string(fault), func(t *testing.T) {
			t.Parallel()
			g := newRig(t, haravansim.Options{Knobs: haravansim.Knobs{TokenEndpointCounts: true, SlowBy: time.Millisecond}}).arm()
			before := g.stored()[shop1]
			g.must(g.Script(shop1, haravansim.OpExchange, fault))
			got := g.exchange(shop1)
			if !test.check(t, got) {
				t.Errorf("the client saw %+v", got)
			}
			if c := g.ShopCounts(shop1); c.Minted != test.minted {
				t.Errorf("minted %d, want %d", c.Minted, test.minted)
			}
			given := got.status == 200 && got.err == nil && strings.Contains(got.body, `"scope"`) && strings.HasSuffix(got.body, "}")
			if stored := g.stored()[shop1]; (stored != before) != given {
				t.Errorf("the app was given a token: %v, and Shops shows a new one: %v", given, stored != before)
			}
			last := g.History()[len(g.History())-1]
			wantFault := fault
			if fault == haravansim.FaultNone {
				wantFault = ""
			}
			if last.Fault != wantFault || last.Status != got.status || (last.TokenVersionMinted == 2) != (test.minted == 1) {
				t.Errorf("history has %+v", last)
			}
			if n := g.Counts().Faults[wantFault]; wantFault != "" && n != 1 {
				t.Errorf("counted %d", n)
			}
			g.advance(2 * time.Second)
			if again := g.exchange(shop1); again.status != 200 {
				t.Errorf("the next call: %+v", again)
			}
			g.noMisuse()
		})
	}
}

func errorsShaped[T any](t *testing.T, r seen) bool {
	t.Helper()
	var body struct{ Errors T }
	return r.status == 500 && json.Unmarshal([]byte(r.body), &body) == nil
}

func TestEveryFaultHasAReason(t *testing.T) {
	t.Parallel()
	reasons := map[string]haravansim.Fault{}
	for _, f := range haravansim.AllFaults() {
		if other, ok := reasons[f.Reason()]; ok || f.Reason() == "" {
			t.Errorf("%s: reason %q is empty or that of %q", f, f.Reason(), other)
		}
		reasons[f.Reason()] = f
	}
	if got := haravansim.Fault("gremlins").Reason(); got != "" {
		t.Errorf("an unknown fault has the reason %q", got)
	}
}

func TestWrongShop(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{Shops: 1})
	token := g.stored()[shop1]
	g.must(g.Script(shop1, haravansim.OpIdentity, haravansim.FaultWrongShop))
	if got := g.identity(shop1, token); got.status != 200 || strings.Contains(got.body, "://"+shop1) {
		t.Errorf("fault: %d %s", got.status, got.body)
	}
	if got := g.identity(shop1, token); !strings.Contains(got.body, "://"+shop1) {
		t.Errorf("after the fault: %d %s", got.status, got.body)
	}
	g.must(g.AnswerAs(shop1, "elsewhere.myharavan.com"))
	if got := g.identity(shop1, token); got.status != 200 || !strings.Contains(got.body, "://elsewhere.myharavan.com") {
		t.Errorf("answer as: %d %s", got.status, got.body)
	}
	g.must(g.AnswerAs(shop1, shop1))
	if got := g.identity(shop1, token); !strings.Contains(got.body, "://"+shop1) {
		t.Errorf("as itself again: %d %s", got.status, got.body)
	}
}

func TestScripts(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{Faults: haravansim.Faults{Rates: map[haravansim.Fault]float64{haravansim.FaultServerText: 1}}}).arm()
	g.must(g.Script(shop1, haravansim.OpExchange, haravansim.FaultNone, haravansim.FaultUnprocessable))
	g.must(g.Script(shop1, haravansim.OpExchange, haravansim.FaultNone))
	g.must(g.ScriptAny(haravansim.OpExchange, 2, haravansim.FaultRedirect))
	var got []int
	for _, shop := range []string{shop2, shop1, shop1, shop1, shop1, shop1} {
		got = append(got, g.exchange(shop).status)
	}
	want := []int{302, 200, 422, 200, 302, 500}
	for i := range want {
		if got[i] != want[i] {
			t.Fatalf("got %v, want %v", got, want)
		}
	}
	for name, err := range map[string]error{
		"no such shop":    g.Script("nobody.myharavan.com", haravansim.OpExchange, haravansim.FaultNone),
		"unknown fault":   g.Script(shop1, haravansim.OpExchange, "gremlins"),
		"unknown op":      g.ScriptAny("dance", 1, haravansim.FaultNone),
		"does not apply":  g.ScriptAny(haravansim.OpIdentity, 1, haravansim.FaultNoToken),
		"does not apply2": g.ScriptAny(haravansim.OpExchange, 1, haravansim.FaultWrongShop),
		"n is 0":          g.ScriptAny(haravansim.OpExchange, 0, haravansim.FaultNone),
	} {
		if err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestSetFaultsAtRunTime(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	g.token(shop1)
	g.must(g.SetFaults(haravansim.Faults{Rates: map[haravansim.Fault]float64{haravansim.FaultRedirect: 1}}))
	if got := g.exchange(shop1); got.status != 302 {
		t.Errorf("status %d", got.status)
	}
	g.must(g.SetFaults(haravansim.Faults{Dead: map[haravansim.State]float64{haravansim.StateFrozen: 1}}))
	if got := g.exchange(shop1); got.status != 402 {
		t.Errorf("status %d", got.status)
	}
	if err := g.SetFaults(haravansim.Faults{Rates: map[haravansim.Fault]float64{"x": 1}}); err == nil {
		t.Error("an unknown fault was taken")
	}
}
