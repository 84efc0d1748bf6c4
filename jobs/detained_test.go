package jobs_test

import (
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/jobs"
	"github.com/haravan-rotator/rotator/store"
)

// detained stands before the platform and keeps the first exchange of one shop, or
// of any (""), which the platform sees when it is let go.
type detained struct {
	// has is closed when it is kept.
	has   chan struct{}
	letGo func()
	// proofless tells that no proof comes through.
	proofless atomic.Bool
}

// workerDetained is worker with such a platform, whose calls take their time.
func (r *rig) workerDetained(shop string) *detained {
	r.t.Helper()
	to, err := url.Parse(r.sim.PlatformURL)
	r.must(err)
	through := &httputil.ReverseProxy{Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(to)
		p.Out.Host = p.In.Host // which names the shop
	}}
	gate := make(chan struct{})
	d := &detained{has: make(chan struct{}), letGo: sync.OnceFunc(func() { close(gate) })}
	var kept atomic.Bool
	front := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		switch exchange := strings.Contains(req.URL.Path, "access_token"); {
		case exchange && (shop == "" || req.Host == shop) && kept.CompareAndSwap(false, true):
			close(d.has)
			<-gate
		case !exchange && d.proofless.Load():
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		through.ServeHTTP(w, req)
	}))
	r.t.Cleanup(front.Close)
	started := make(chan struct{})
	e := jobs.New(jobs.Config{
		Store: r.db.Store, Log: r.log, InFlight: r.inflight, Version: "test", Started: func() { close(started) },
		Client: func(store.App, store.RunSettings) (*haravan.Client, error) {
			return haravan.New(haravan.Config{APIURL: front.URL, InFlight: r.inflight, Timeout: time.Minute})
		},
	})
	r.work(e, started)
	r.t.Cleanup(d.letGo) // first, or the worker waits for the answer
	return d
}
