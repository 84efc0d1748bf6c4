package haravansim_test

import (
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

func TestBucket(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		knobs      haravansim.Knobs
		fits       int    // calls until the first 429
		header     string // where the bucket is shown
		full       string
		retryAfter string
		again      int // calls that fit two seconds later
	}{
		"current":     {haravansim.Knobs{}, 80, "X-Haravan-Api-Call-Limit", "80/80", "2.0", 8},
		"older pages": {haravansim.Knobs{BucketSize: 40, BucketLeak: 2, BucketHeader: "old"}, 40, "X-Haravan-Shop-Api-Call-Limit", "40/40", "2.0", 4},
		"no header":   {haravansim.Knobs{BucketSize: 3, BucketLeak: 1, BucketHeader: "none"}, 3, "X-Haravan-Api-Call-Limit", "", "2.0", 2},
		"no pause":    {haravansim.Knobs{BucketSize: 3, BucketLeak: 1, BucketOmitsRetryAfter: true}, 3, "X-Haravan-Api-Call-Limit", "3/3", "", 2},
		"long pause":  {haravansim.Knobs{BucketSize: 3, BucketLeak: 1, RetryAfter: 1250 * time.Millisecond}, 3, "X-Haravan-Api-Call-Limit", "3/3", "1.3", 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			g := newRig(t, haravansim.Options{Knobs: test.knobs})
			token := g.stored()[shop1]
			calls := func() int {
				t.Helper()
				for n := range 100 {
					got := g.identity(shop1, token)
					if got.status == 200 {
						continue
					}
					if got.status != 429 || got.header.Get(test.header) != test.full || got.header.Get("Retry-After") != test.retryAfter {
						t.Fatalf("call %d: %d %v", n+1, got.status, got.header)
					}
					return n
				}
				t.Fatal("the bucket has no bottom")
				return 0
			}
			if n := calls(); n != test.fits {
				t.Errorf("%d calls fitted, want %d", n, test.fits)
			}
			if got := g.identity(shop2, g.stored()[shop2]); got.status != 200 {
				t.Errorf("another shop's bucket: %d", got.status)
			}
			g.advance(2 * time.Second)
			if n := calls(); n != test.again {
				t.Errorf("after two seconds %d calls fitted, want %d", n, test.again)
			}
			g.noMisuse()
		})
	}
}

func TestTokenEndpointCounts(t *testing.T) {
	t.Parallel()
	for counts, want := range map[bool]int{false: 200, true: 429} {
		g := newRig(t, haravansim.Options{Knobs: haravansim.Knobs{BucketSize: 2, TokenEndpointCounts: counts}}).arm()
		g.token(shop1)
		g.token(shop1)
		got := g.exchange(shop1)
		if got.status != want {
			t.Errorf("counts %v: third exchange %d, want %d", counts, got.status, want)
		}
		if shown := got.header.Get("X-Haravan-Api-Call-Limit"); (shown != "") != counts {
			t.Errorf("counts %v: header %q", counts, shown)
		}
	}
}

// A call before its time is refused and remembered, and costs nothing else.
func TestEarlyCallIsMisuse(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	g.must(g.Script(shop1, haravansim.OpExchange, haravansim.FaultThrottle))
	g.exchange(shop1)
	g.advance(1500 * time.Millisecond)
	got := g.exchange(shop1)
	if got.status != 429 || got.header.Get("Retry-After") != "0.5" {
		t.Errorf("early call: %d %v", got.status, got.header)
	}
	if words := g.Misuse(); len(words) != 1 || !strings.Contains(words[0], "Retry-After") || !strings.Contains(words[0], shop1) {
		t.Errorf("misuse: %q", words)
	}
	if got := g.exchange(shop2); got.status != 200 {
		t.Errorf("another shop is throttled too: %d", got.status)
	}
	g.advance(500 * time.Millisecond)
	if got := g.exchange(shop1); got.status != 200 {
		t.Errorf("in time: %d", got.status)
	}
	if c := g.ShopCounts(shop1); c.Exchanges != 2 {
		t.Errorf("the early call was let in: %+v", c)
	}
}

// A 429 without Retry-After asks for nothing, so the next call is no misuse.
func TestBareThrottleIsNoPromise(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{}).arm()
	g.must(g.Script(shop1, haravansim.OpExchange, haravansim.FaultThrottleBare))
	g.exchange(shop1)
	if got := g.exchange(shop1); got.status != 200 {
		t.Errorf("next call: %d", got.status)
	}
	g.noMisuse()
}

func TestThrottleBlock(t *testing.T) {
	t.Parallel()
	g := newRig(t, haravansim.Options{Knobs: haravansim.Knobs{ThrottleBlock: 5 * time.Minute}}).arm()
	g.must(g.Script(shop1, haravansim.OpExchange, haravansim.FaultThrottle))
	refused := 0
	for refused < 10 && g.exchange(shop1).status == 429 {
		refused++
		g.advance(time.Minute)
	}
	if refused != 5 {
		t.Errorf("refused %d times, a minute apart, want 5", refused)
	}
	g.noMisuse()
}
