package haravansim_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"testing/synctest"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

func TestAdvance(t *testing.T) {
	t.Parallel()
	c := newClock()
	sim := haravansim.New(haravansim.Options{Now: c.Now})
	if now, err := sim.Advance(90 * time.Minute); err != nil || !now.Equal(c.Now().Add(90*time.Minute)) {
		t.Errorf("%s %v", now, err)
	}
	for _, bad := range []time.Duration{-1, 1 << 62} {
		if now, err := sim.Advance(bad); err == nil || !now.Equal(c.Now().Add(90*time.Minute)) {
			t.Errorf("the clock moved by %s: %s %v", bad, now, err)
		}
	}
}

func TestDateHeader(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		knobs haravansim.Knobs
		want  time.Duration // from the clock before it was advanced by an hour
	}{
		"default": {haravansim.Knobs{}, 0},
		"skewed":  {haravansim.Knobs{SkewDate: -2 * time.Minute}, -2 * time.Minute},
		"follows": {haravansim.Knobs{DateFollowsClock: true}, time.Hour},
		"both":    {haravansim.Knobs{DateFollowsClock: true, SkewDate: time.Minute}, time.Hour + time.Minute},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClock()
			g := newRig(t, haravansim.Options{Now: c.Now, Knobs: test.knobs})
			g.advance(time.Hour)
			got, err := http.ParseTime(g.identity(shop1, "x").header.Get("Date"))
			if err != nil || !got.Equal(c.Now().Add(test.want)) {
				t.Errorf("date %s (%v), want %s", got, err, c.Now().Add(test.want))
			}
		})
	}
}

// Latency takes the time it says, and a client that gives up in the middle
// leaves a token behind for some shops and none for others.
func TestLatency(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const shops = 100
		sim, body := armed(t, haravansim.Options{Shops: shops, Latency: 200 * time.Millisecond, Jitter: 100 * time.Millisecond})
		h := sim.Platform()
		took := map[time.Duration]bool{}
		for i := range shops {
			before := time.Now()
			direct(h, exchangeRequest(fmt.Sprintf("shop-%06d.myharavan.com", i+1), body))
			d := time.Since(before)
			if d < 200*time.Millisecond || d >= 300*time.Millisecond {
				t.Errorf("took %s", d)
			}
			took[d] = true
		}
		if len(took) < shops/2 {
			t.Errorf("%d different times: the jitter does not jitter", len(took))
		}
		if c := sim.Counts(); c.Minted != shops {
			t.Fatalf("minted %d", c.Minted)
		}
		for i := range shops {
			shop := fmt.Sprintf("shop-%06d.myharavan.com", i+1)
			before := given(sim, i)
			ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
			_, broken := direct(h, exchangeRequest(shop, body).WithContext(ctx))
			cancel()
			if !broken {
				t.Errorf("%s: a client that gave up was answered", shop)
			}
			if given(sim, i) != before {
				t.Errorf("%s: the app holds a token whose answer it did not wait for", shop)
			}
		}
		if c := sim.Counts(); c.Minted < shops+shops/4 || c.Minted > shops+shops*3/4 {
			t.Errorf("of %d clients that gave up %d left a token behind", shops, c.Minted-shops)
		}
	})
}

// given is the token that the app holds for the i-th shop.
func given(sim *haravansim.Sim, i int) string {
	for sh := range sim.Shops {
		if i == 0 {
			return sh.AccessToken
		}
		i--
	}
	return ""
}

func TestSlow(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim, body := armed(t, haravansim.Options{Shops: 1, Knobs: haravansim.Knobs{SlowBy: 7 * time.Second}})
		if err := sim.Script(shop1, haravansim.OpExchange, haravansim.FaultSlow); err != nil {
			t.Fatal(err)
		}
		for _, want := range []time.Duration{7 * time.Second, 0} {
			before := time.Now()
			res, _ := direct(sim.Platform(), exchangeRequest(shop1, body))
			if d := time.Since(before); d != want || res.Code != 200 {
				t.Errorf("took %s, status %d", d, res.Code)
			}
		}
	})
}

// A call that was on its way when its shop was throttled could not know.
func TestCallUnderWayIsNotEarly(t *testing.T) {
	t.Parallel()
	c := newClock()
	sim, body := armed(t, haravansim.Options{Shops: 1, Now: c.Now})
	if err := sim.Script(shop1, haravansim.OpExchange, haravansim.FaultThrottle); err != nil {
		t.Fatal(err)
	}
	h := sim.Platform()
	second := exchangeRequest(shop1, body)
	second.Body = &slowBody{ReadCloser: second.Body, before: func() {
		// The second call has arrived; now the first is throttled.
		c.mu.Lock()
		c.t = c.t.Add(time.Millisecond)
		c.mu.Unlock()
		if res, _ := direct(h, exchangeRequest(shop1, body)); res.Code != 429 {
			t.Errorf("first call: %d", res.Code)
		}
	}}
	if res, _ := direct(h, second); res.Code != 200 {
		t.Errorf("second call: %d %s", res.Code, res.Body)
	}
	if words := sim.Misuse(); len(words) > 0 {
		t.Errorf("misuse: %s", words)
	}
}

// The pause that a 429 asks for begins when the client can have read it.
func TestPauseBeginsWithTheAnswer(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		sim, body := armed(t, haravansim.Options{Shops: 1, Latency: time.Second})
		if err := sim.Script(shop1, haravansim.OpExchange, haravansim.FaultThrottle); err != nil {
			t.Fatal(err)
		}
		h := sim.Platform()
		throttled := make(chan int)
		go func() {
			res, _ := direct(h, exchangeRequest(shop1, body))
			throttled <- res.Code
		}()
		synctest.Wait()
		if res, _ := direct(h, exchangeRequest(shop1, body)); res.Code != 200 {
			t.Errorf("before the 429 was answered: %d", res.Code)
		}
		if status := <-throttled; status != 429 {
			t.Errorf("scripted: %d", status)
		}
		for _, want := range []int{429, 200} {
			if res, _ := direct(h, exchangeRequest(shop1, body)); res.Code != want {
				t.Errorf("then: %d, want %d", res.Code, want)
			}
			if _, err := sim.Advance(2 * time.Second); err != nil {
				t.Fatal(err)
			}
		}
		if words := sim.Misuse(); len(words) != 1 {
			t.Errorf("misuse: %q", words)
		}
	})
}

func TestHistoryKeepsTheLast(t *testing.T) {
	t.Parallel()
	for size, want := range map[int]int{-1: 0, 0: 25, 10: 10} {
		sim := haravansim.New(haravansim.Options{Shops: 1, History: size})
		h := sim.Platform()
		for range 25 {
			direct(h, httptest.NewRequest("GET", "http://"+shop1+"/admin/shop.json", nil))
		}
		calls := sim.History()
		if len(calls) != want {
			t.Errorf("history %d: %d calls", size, len(calls))
		}
		for i, c := range calls {
			if c.Seq != uint64(25-want+i+1) {
				t.Errorf("history %d: call %d has seq %d", size, i, c.Seq)
			}
		}
	}
}

// slowBody does something before its first byte is read.
type slowBody struct {
	io.ReadCloser
	before func()
}

func (b *slowBody) Read(p []byte) (int, error) {
	if b.before != nil {
		b.before()
		b.before = nil
	}
	return b.ReadCloser.Read(p)
}
