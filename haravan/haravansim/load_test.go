package haravansim_test

import (
	"bytes"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// direct calls the platform without a network, and returns the status, 0 for a
// broken connection.
func direct(h http.Handler, req *http.Request) (res *httptest.ResponseRecorder, broken bool) {
	res = httptest.NewRecorder()
	defer func() {
		if p := recover(); p != nil {
			if p != http.ErrAbortHandler {
				panic(p)
			}
			broken = true
		}
	}()
	h.ServeHTTP(res, req)
	return res, false
}

func hammer(sim *haravansim.Sim, n int, method, path string) {
	h := sim.Platform()
	for range n {
		direct(h, httptest.NewRequest(method, "http://"+shop1+path, nil))
	}
}

func exchangeRequest(shop, body string) *http.Request {
	req := httptest.NewRequest("POST", "http://"+shop+"/admin/oauth/access_token", strings.NewReader(body))
	req.Header.Set("Content-Type", form)
	return req
}

func armed(t testing.TB, o haravansim.Options) (sim *haravansim.Sim, body string) {
	t.Helper()
	sim = haravansim.New(o)
	made, err := sim.CreateSecret()
	if err != nil {
		t.Fatal(err)
	}
	return sim, url.Values{
		"client_id": {sim.App().ClientID}, "client_secret": {made.Value}, "refresh_token": {sim.CreateRefreshToken().Value},
	}.Encode()
}

// What each shop meets must not depend on who comes first.
func TestSeedDecidesNotOrder(t *testing.T) {
	t.Parallel()
	const shops, rounds = 400, 3
	fates := func(seed uint64, order *rand.Rand) map[string]string {
		c := newClock()
		faults := haravansim.Hostile()
		for f := range faults.Rates {
			faults.Rates[f] *= 10 // so that every fault shows
		}
		sim, body := armed(t, haravansim.Options{
			Seed: seed, Shops: shops, Faults: faults, Now: c.Now,
			Knobs: haravansim.Knobs{SlowBy: 1, RetryAfter: 1},
		})
		var calls []string
		for sh := range sim.Shops {
			for range rounds {
				calls = append(calls, sh.Domain)
			}
		}
		order.Shuffle(len(calls), func(i, j int) { calls[i], calls[j] = calls[j], calls[i] })
		h, out := sim.Platform(), map[string]string{}
		for _, shop := range calls {
			if _, err := sim.Advance(1); err != nil { // every pause is over at once
				t.Fatal(err)
			}
			res, broken := direct(h, exchangeRequest(shop, body))
			out[shop] += fmt.Sprint(res.Code, broken, res.Body.String(), res.Header().Get("Retry-After"), "|")
		}
		if words := sim.Misuse(); len(words) > 0 {
			t.Errorf("misuse: %s", words[0])
		}
		if seen := len(sim.Counts().Faults); seen != len(faults.Rates) {
			t.Errorf("%d of %d faults happened", seen, len(faults.Rates))
		}
		return out
	}
	one := fates(7, rand.New(rand.NewPCG(1, 1)))
	other := fates(7, rand.New(rand.NewPCG(2, 2)))
	if diff := cmp.Diff(one, other); diff != "" {
		t.Errorf("another order, other fates:\n%s", diff)
	}
	if cmp.Equal(one, fates(8, rand.New(rand.NewPCG(1, 1)))) {
		t.Error("another seed, the same fates")
	}
}

func TestHostileIsMild(t *testing.T) {
	t.Parallel()
	if err := haravansim.Hostile().Validate(); err != nil {
		t.Fatal(err)
	}
	sim := haravansim.New(haravansim.Options{Seed: 3, Shops: 20_000, Faults: haravansim.Hostile()})
	dead := map[haravansim.State]int{}
	for sh := range sim.Shops {
		dead[sh.State]++
	}
	if share := 1 - float64(dead[haravansim.StateInstalled])/20_000; share < 0.01 || share > 0.03 || len(dead) != 4 {
		t.Errorf("dead shops: %v", dead)
	}
	sum := 0.0
	for _, rate := range haravansim.Hostile().Rates {
		sum += rate
	}
	if sum < 0.02 || sum > 0.06 {
		t.Errorf("%.3f of the calls go wrong", sum)
	}
}

// A rate is a share of calls, also of the calls to one shop.
func TestRateIsAShareOfCalls(t *testing.T) {
	t.Parallel()
	const calls = 3000
	sim, body := armed(t, haravansim.Options{Shops: 2, Faults: haravansim.Faults{
		Rates: map[haravansim.Fault]float64{haravansim.FaultRedirect: 0.1, haravansim.FaultUnprocessable: 0.3},
	}})
	h, statuses := sim.Platform(), map[int]float64{}
	for range calls {
		res, _ := direct(h, exchangeRequest(shop1, body))
		statuses[res.Code] += 1.0 / calls
	}
	for status, want := range map[int]float64{200: 0.6, 302: 0.1, 422: 0.3} {
		if got := statuses[status]; got < want-0.03 || got > want+0.03 {
			t.Errorf("status %d: a share of %.3f, want %.1f", status, got, want)
		}
	}
}

func TestConcurrentUse(t *testing.T) {
	t.Parallel()
	sim, body := armed(t, haravansim.Options{Seed: 1, Shops: 50, History: 100, Knobs: haravansim.Knobs{BucketSize: 1_000_000}})
	h := sim.Platform()
	const workers, each = 8, 300
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(w), 0))
			for i := range each {
				shop := fmt.Sprintf("shop-%06d.myharavan.com", rng.IntN(50)+1)
				if res, _ := direct(h, exchangeRequest(shop, body)); res.Code != 200 {
					t.Errorf("exchange: %d %s", res.Code, res.Body)
				}
				req := httptest.NewRequest("GET", "http://"+shop+"/admin/shop.json", nil)
				req.Header.Set("Authorization", "Bearer unknown")
				direct(h, req)
				switch i % 50 {
				case 0:
					if _, err := sim.InstallShop(fmt.Sprintf("late-%d-%d.myharavan.com", w, i)); err != nil {
						t.Error(err)
					}
				case 1:
					sim.CreateRefreshToken()
				case 2:
					sim.Counts()
					sim.History()
				case 3:
					for sh := range sim.Shops {
						sim.TokenAlive(sh.Domain, sh.AccessToken)
					}
				case 4:
					if err := sim.SetKnobs(sim.Knobs()); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	wg.Wait()
	c := sim.Counts()
	if c.Minted != workers*each || c.IdentityCalls != workers*each || c.IdentityReads != 0 {
		t.Errorf("counts: %+v", c)
	}
	if n := len(sim.History()); n != 100 {
		t.Errorf("history has %d calls", n)
	}
}

// A million shops must fit in 700 MB: a few bytes each until they are called,
// and a small record after a rotation. Not parallel: it measures the heap.
func TestMemoryPerShop(t *testing.T) {
	const shops, touched = 1_000_000, 20_000
	heap := func() int64 {
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	sim, body := armed(t, haravansim.Options{Shops: shops, History: -1})
	listed := 0
	for range sim.Shops {
		listed++
	}
	if listed != shops {
		t.Fatalf("%d shops", listed)
	}
	if used := heap() - before; used > 16*shops {
		t.Errorf("an untouched fleet takes %d bytes a shop", used/shops)
	}
	before = heap()
	h := sim.Platform()
	for i := range touched {
		shop := fmt.Sprintf("shop-%06d.myharavan.com", i+1)
		res, _ := direct(h, exchangeRequest(shop, body))
		if res.Code != 200 {
			t.Fatalf("exchange: %d", res.Code)
		}
		req := httptest.NewRequest("GET", "http://"+shop+"/admin/shop.json", nil)
		req.Header.Set("Authorization", "Bearer "+res.Body.String()[17:49])
		if res, _ := direct(h, req); res.Code != 200 {
			t.Fatalf("identity: %d", res.Code)
		}
	}
	perShop := (heap() - before) / touched
	t.Logf("%d bytes a touched shop", perShop)
	if perShop > 400 {
		t.Errorf("a touched shop takes %d bytes", perShop)
	}
	runtime.KeepAlive(sim)
}

// The simulator's own share of a call, without a network.
func BenchmarkPlatform(b *testing.B) {
	sim, body := armed(b, haravansim.Options{Shops: 100_000, History: -1})
	h := sim.Platform()
	payload := []byte(body)
	w := &discard{header: http.Header{}}
	b.ReportAllocs()
	i := 0
	for b.Loop() {
		req := &http.Request{
			Method: "POST", Host: fmt.Sprintf("shop-%06d.myharavan.com", i%100_000+1),
			URL:    &url.URL{Path: "/admin/oauth/access_token"},
			Header: http.Header{"Content-Type": {form}},
			Body:   io.NopCloser(bytes.NewReader(payload)),
		}
		clear(w.header)
		h.ServeHTTP(w, req)
		i++
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
}

type discard struct {
	header http.Header
	status int
}

func (d *discard) Header() http.Header         { return d.header }
func (d *discard) Write(p []byte) (int, error) { return len(p), nil }
func (d *discard) WriteHeader(status int)      { d.status = status }

// Calls over loopback, client and server on the same cores.
func BenchmarkLoopback(b *testing.B) {
	server, err := haravansim.Start(b.Context(), haravansim.Options{Shops: 100_000, History: -1}, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	made, err := server.CreateSecret()
	if err != nil {
		b.Fatal(err)
	}
	body := url.Values{
		"client_id": {server.App().ClientID}, "client_secret": {made.Value}, "refresh_token": {server.CreateRefreshToken().Value},
	}.Encode()
	transport := &http.Transport{MaxIdleConns: 64, MaxIdleConnsPerHost: 64}
	defer transport.CloseIdleConnections()
	b.SetParallelism(16)
	before := cpuTime(b)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			req, err := http.NewRequest("POST", server.PlatformURL+"/admin/oauth/access_token", strings.NewReader(body))
			if err != nil {
				b.Fatal(err)
			}
			req.Host = fmt.Sprintf("shop-%06d.myharavan.com", rand.IntN(100_000)+1)
			req.Header.Set("Content-Type", form)
			res, err := transport.RoundTrip(req)
			if err != nil {
				b.Fatal(err)
			}
			if _, err := io.Copy(io.Discard, res.Body); err != nil || res.StatusCode != 200 {
				b.Fatal(res.Status, err)
			}
			_ = res.Body.Close()
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "calls/s")
	// Wall time depends on who else is on the machine; this does not.
	b.ReportMetric(float64(cpuTime(b)-before)/float64(time.Microsecond)/float64(b.N), "cpu-µs/call")
	if err := server.Close(); err != nil {
		b.Fatal(err)
	}
}

// cpuTime is what this process has used so far, client and server together.
func cpuTime(b *testing.B) time.Duration {
	b.Helper()
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
