package jobs_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/haravan-rotator/rotator/internal/deliver"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// told is a message as an app receives it.
type told struct {
	ID         string `json:"id"`
	Shop       string `json:"shop"`
	Token      string `json:"access_token"`
	Generation int64  `json:"generation"`
	// left is closed when the sender no longer waits for the answer.
	left <-chan struct{}
}

// appServer is an app that verifies, remembers and answers.
type appServer struct {
	*httptest.Server
	t   *testing.T
	key secret.String
	// answer is asked for each message that is signed as it must be.
	answer func(w http.ResponseWriter, m told)

	mu     sync.Mutex
	at     map[string]int // requests under way, by shop
	most   int            // of all shops, ever
	inside int
	tokens map[string]told
	ids    map[string][]string // by shop, in the order of arrival
	forged int
}

func newApp(t *testing.T, answer func(http.ResponseWriter, told)) *appServer {
	t.Helper()
	a := &appServer{t: t, key: deliver.NewKey(), answer: answer, at: map[string]int{}, tokens: map[string]told{}, ids: map[string][]string{}}
	a.Server = httptest.NewServer(a)
	t.Cleanup(a.Close)
	return a
}

func fine(w http.ResponseWriter, _ told) { w.WriteHeader(http.StatusNoContent) }

// ServeHTTP is a receiver as README.md wants it.
func (a *appServer) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	a.mu.Lock()
	key, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(a.key.Reveal(), "whsec_"))
	if err != nil {
		a.t.Error(err)
	}
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("webhook-id"), r.Header.Get("webhook-timestamp"), body)
	if r.Header.Get("webhook-signature") != "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)) {
		a.forged++
		a.mu.Unlock()
		http.Error(w, "unsigned", http.StatusUnauthorized)
		return
	}
	var m told
	if err := json.Unmarshal(body, &m); err != nil || m.ID != r.Header.Get("webhook-id") {
		a.t.Errorf("message %s: %v", body, err)
	}
	m.left = r.Context().Done()
	if a.at[m.Shop]++; a.at[m.Shop] > 1 {
		a.t.Errorf("%s is told twice at a time", m.Shop)
	}
	a.inside++
	a.most = max(a.most, a.inside)
	a.ids[m.Shop] = append(a.ids[m.Shop], m.ID)
	answer := a.answer
	a.mu.Unlock()
	rec := httptest.NewRecorder()
	answer(rec, m)
	a.mu.Lock()
	if rec.Code/100 == 2 && m.Generation > a.tokens[m.Shop].Generation {
		a.tokens[m.Shop] = m
	}
	a.at[m.Shop]--
	a.inside--
	a.mu.Unlock()
	for name, values := range rec.Header() {
		w.Header()[name] = values
	}
	w.WriteHeader(rec.Code)
	_, _ = w.Write(rec.Body.Bytes())
}

func (a *appServer) say(answer func(http.ResponseWriter, told)) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.answer = answer
}

func (a *appServer) requests() (n int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, ids := range a.ids {
		n += len(ids)
	}
	return n + a.forged
}

// deliverTo makes the rig's app one that is told.
func (r *rig) deliverTo(a *appServer) {
	r.t.Helper()
	var err error
	r.app.Settings.DeliverURL, r.app.DeliverKey = a.URL+"/tokens", a.key
	r.app, err = r.db.SetApp(r.ctx, storetest.Actor, r.app)
	r.must(err)
}

// knows wants the app to have every shop's stored token.
func (r *rig) knows(a *appServer) {
	r.t.Helper()
	a.mu.Lock()
	defer a.mu.Unlock()
	for s := range r.sim.Shops {
		token, err := r.db.ShopToken(r.ctx, r.app.ID, s.Domain)
		r.must(err)
		if got := a.tokens[s.Domain]; got.Token != token.Reveal() {
			r.t.Errorf("the app does not have the token of %s: generation %d", s.Domain, got.Generation)
		}
	}
	for shop, ids := range a.ids {
		if len(ids) > 1 && ids[0] != ids[len(ids)-1] {
			r.t.Logf("%s was told of two tokens", shop)
		}
	}
}

func acknowledgedAll(n int) func(rotation.Snapshot) bool {
	return func(s rotation.Snapshot) bool {
		return s.Deliveries.Acknowledged == n && s.Deliveries.Undelivered() == 0
	}
}

// hasten makes every delivery due that waits for its next attempt.
func (r *rig) hasten() {
	r.t.Helper()
	_, err := r.db.RetryDeliveries(r.ctx, storetest.Actor, r.app, "")
	r.must(err)
}
