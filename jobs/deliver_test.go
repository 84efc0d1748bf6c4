package jobs_test

import (
	"encoding/hex"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/deliver"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestAppIsToldOfEveryTokenBeforeTheRunIsProven(t *testing.T) {
	t.Parallel()
	const shops = 300
	r := newRig(t, haravansim.Options{Shops: shops})
	app := newApp(t, func(w http.ResponseWriter, _ told) { http.Error(w, "busy", http.StatusServiceUnavailable) })
	r.deliverTo(app)
	r.worker()
	r.worker()
	r.start(operate.StartOptions{RequireDelivery: true})
	r.arm()
	r.until("the app is seen to fail", func(s rotation.Snapshot) bool {
		return s.Counts.Proven == shops && s.Counts.Open() == 0 && s.Deliveries.Undelivered() == shops && s.Deliveries.Failing >= store.DownAfter && !s.Deliveries.DownSince.IsZero()
	})
	// One at a time while all fail: at most what was under way when it went down,
	// of each worker, and a probe now and then.
	if n := app.requests(); n > 60 {
		t.Errorf("%d requests to an app that is down", n)
	}
	snap := r.until("still exchanging", inPhase(rotation.PhaseExchanging))
	if snap.Held != rotation.HeldNot {
		t.Errorf("the run is held: %s", snap.HeldWhy)
	}
	app.say(fine)
	r.hasten()
	snap = r.until("proven", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseProven && s.Certificate })
	if snap.Deliveries.Acknowledged != shops {
		t.Errorf("deliveries %+v", snap.Deliveries)
	}
	certificate, err := r.db.Certificate(r.ctx, r.run.ID)
	r.must(err)
	if want := fmt.Sprintf("%d acknowledged, 0 waived", shops); !strings.Contains(string(certificate), want) {
		t.Errorf("the certificate lacks %q: %s", want, certificate)
	}
	r.knows(app)
	if app.most > 16 {
		t.Errorf("%d requests at once", app.most)
	}
}

func TestDeliveriesGoOnWhenTheRunIsOver(t *testing.T) {
	t.Parallel()
	const shops = 60
	r := newRig(t, haravansim.Options{Shops: shops})
	app := newApp(t, func(w http.ResponseWriter, _ told) { w.WriteHeader(http.StatusInternalServerError) })
	r.deliverTo(app)
	stop := r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("proven without the app", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseProven && s.Certificate })
	r.must(r.op.Pause(r.ctx, r.run.ID, "held"))
	r.must(r.op.Resume(r.ctx, r.run.ID))
	r.must(r.op.Cancel(r.ctx, r.run.ID, r.app.Name))
	stop()
	app.say(fine)
	r.hasten()
	r.once()
	snap, _, err := r.db.Snapshot(r.ctx, r.run.ID, store.Counted)
	r.must(err)
	if !acknowledgedAll(shops)(snap) {
		t.Errorf("one pass of a worker left %+v", snap.Deliveries)
	}
	r.knows(app)
}

func TestOneBadShopHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	const shops = 120
	r := newRig(t, haravansim.Options{Shops: shops})
	var bad []string
	for s := range r.sim.Shops {
		if len(bad) < 4 {
			bad = append(bad, s.Domain)
		}
	}
	app := newApp(t, func(w http.ResponseWriter, m told) {
		switch m.Shop {
		case bad[0]:
			<-m.left // slow beyond patience
		case bad[1]:
			w.WriteHeader(http.StatusGone)
		case bad[2]:
			w.Header().Set("Retry-After", "300")
			w.WriteHeader(http.StatusTooManyRequests)
		case bad[3]:
			w.Header().Set("Location", "/elsewhere")
			w.WriteHeader(http.StatusPermanentRedirect)
		default:
			w.WriteHeader(http.StatusOK)
		}
	})
	r.deliverTo(app)
	r.worker()
	r.start(operate.StartOptions{RequireDelivery: true})
	r.arm()
	r.until("the others are told", func(s rotation.Snapshot) bool {
		return s.Deliveries.Acknowledged == shops-4 && s.Deliveries.Failing == 4
	})
	want := map[string]string{bad[0]: "in time", bad[1]: "410 Gone", bad[2]: "429", bad[3]: "redirects are not followed"}
	for shop, text := range want {
		d, err := r.db.Delivery(r.ctx, r.app.ID, shop)
		r.must(err)
		if !strings.Contains(d.LastError, text) || (d.State == store.DeliveryStopped) != (shop == bad[1]) {
			t.Errorf("%s: %+v", shop, d)
		}
		if shop == bad[2] && time.Until(*d.NextAttemptAt) < 4*time.Minute {
			t.Errorf("it asked for five minutes: %s", d.NextAttemptAt)
		}
	}
	// Waived by name, the run goes on without them.
	for shop := range want {
		r.must(r.op.Waive(r.ctx, r.run.ID, shop, "the app will be restarted"))
	}
	snap := r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Deliveries.Waived != 4 || snap.Counts.Proven != shops {
		t.Errorf("deliveries %+v, counts %+v", snap.Deliveries, snap.Counts)
	}
}

func TestKeyChangedInMidRun(t *testing.T) {
	t.Parallel()
	const shops = 80
	r := newRig(t, haravansim.Options{Shops: shops})
	app := newApp(t, fine)
	r.deliverTo(app)
	theirs := deliver.NewKey()
	app.mu.Lock()
	app.key = theirs
	app.mu.Unlock()
	r.worker()
	r.start(operate.StartOptions{RequireDelivery: true})
	r.arm()
	r.until("refused", func(s rotation.Snapshot) bool {
		return s.Counts.Proven == shops && s.Deliveries.Failing >= store.DownAfter
	})
	r.app.DeliverKey = theirs
	var err error
	r.app, err = r.db.SetApp(r.ctx, storetest.Actor, r.app)
	r.must(err)
	r.until("proven", inPhase(rotation.PhaseProven))
	r.knows(app)
}

// A worker that dies after the app took a message and before that is stored:
// the app hears of it again, under the same id.
func TestKilledBetweenTheAnswerAndItsCommit(t *testing.T) {
	t.Parallel()
	const shops = 40
	r := newRig(t, haravansim.Options{Shops: shops})
	var mu sync.Mutex
	taken := 0
	full, dead := make(chan struct{}), make(chan struct{})
	app := newApp(t, func(w http.ResponseWriter, _ told) {
		mu.Lock()
		if taken++; taken == 10 {
			close(full)
		}
		mu.Unlock()
		<-dead // taken, but the worker does not live to read it
		w.WriteHeader(http.StatusOK)
	})
	r.deliverTo(app)
	first := r.process()
	r.start(operate.StartOptions{RequireDelivery: true})
	r.arm()
	<-full
	r.must(first.Process.Kill())
	_ = first.Wait()
	close(dead)
	r.process()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.knows(app)
	app.mu.Lock()
	defer app.mu.Unlock()
	again := 0
	for shop, ids := range app.ids {
		if len(ids) > 1 {
			again++
		}
		for _, id := range ids {
			if id != ids[0] {
				t.Errorf("%s heard of one token under two ids: %q", shop, ids)
			}
		}
	}
	if again < 10 {
		t.Errorf("%d shops were told again, of 10 whose worker died", again)
	}
}

func TestPostgresAwayWhileTheAppAnswers(t *testing.T) {
	t.Parallel()
	const shops = 40
	cluster, db := mortal(t)
	r := rigOn(t, db, haravansim.Options{Shops: shops})
	under, back := make(chan struct{}), make(chan struct{})
	var once sync.Once
	app := newApp(t, func(w http.ResponseWriter, _ told) {
		once.Do(func() { close(under) })
		<-back
		w.WriteHeader(http.StatusOK)
	})
	r.deliverTo(app)
	r.worker()
	r.start(operate.StartOptions{RequireDelivery: true})
	r.arm()
	<-under
	r.until("only the app is waited for", func(s rotation.Snapshot) bool { return s.Counts.Proven == shops })
	r.must(cluster.Kill())
	close(back)
	r.must(cluster.StartServer(r.ctx))
	r.until("proven", inPhase(rotation.PhaseProven))
	r.knows(app)
	app.mu.Lock()
	defer app.mu.Unlock()
	for shop, ids := range app.ids {
		if len(ids) > 2 {
			t.Errorf("%s was told %d times", shop, len(ids))
		}
	}
}

func TestNoDeliveredTokenIsSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 40})
	var log lockedBuffer
	r.log = slog.New(slog.NewTextHandler(io.MultiWriter(&log, t.Output()), &slog.HandlerOptions{Level: slog.LevelDebug}))
	// An app that repeats what it was sent, in its answers and as a redirect.
	app := newApp(t, func(w http.ResponseWriter, m told) {
		w.Header().Set("Location", "/"+m.Token)
		w.Header().Set("Retry-After", m.Token)
		http.Error(w, m.Token, http.StatusFound)
	})
	r.deliverTo(app)
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("told in vain", func(s rotation.Snapshot) bool { return s.Deliveries.Failing >= store.DownAfter && s.Certificate })
	planted := []string{app.key.Reveal()}
	for s := range r.sim.Shops {
		planted = append(planted, s.AccessToken)
	}
	dump := r.dump()
	for _, value := range planted {
		for _, seen := range []string{value, hex.EncodeToString([]byte(value))} {
			if strings.Contains(log.String(), seen) || strings.Contains(dump, seen) {
				t.Fatal("a token or the key is in the log, or in the database in the clear")
			}
		}
	}
	if !strings.Contains(dump, "deliver\"") && !strings.Contains(dump, "deliver,") {
		t.Error("the dump lacks the jobs: the search proves nothing")
	}
}
