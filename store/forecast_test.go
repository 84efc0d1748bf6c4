package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestTheFirstWaveIsMeasuredUntilTheRunIsJudged(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 6, store.RunSettings{BatchSize: 10, InFlight: 8, Waves: rotation.WavePolicy{Canary: 3, Budget: 1}})
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	l := r.take(t, r.release(t, 1)[0])
	claims := r.claim(t, l)
	for i, c := range claims {
		if i == 2 { // a dead one measures nothing
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemSkipped, Class: rotation.ClassUninstalled, Detail: "gone"})
			continue
		}
		token := secret.New("new-" + c.Domain)
		took := time.Duration(i+1) * 100 * time.Millisecond
		r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemExchanged, New: token, Latency: took})
		if s := r.snapshot(t, store.Counted); s.Measured != nil {
			t.Fatalf("measured before the wave is done: %+v", s.Measured)
		}
		r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemProven, New: token, SecretID: r.run.NewSecretID, Latency: 2 * took})
	}
	if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
		t.Fatal(ok, err)
	}
	for _, detail := range []store.Detail{store.Counted, store.Engine} {
		s := r.snapshot(t, detail)
		if s.Measured == nil || s.Measured.LatencyMS != 150 || s.InFlight != 8 {
			t.Fatalf("measured %+v, want the median of 100 and 200 ms a call", s.Measured)
		}
	}
	held := rotation.Judged{Verdict: rotation.Verdict{Outlook: rotation.OutlookRaise, Words: "w"}, At: time.Now().UTC()}
	save := func(ctx context.Context, tx *store.Tx) error { return tx.SaveVerdict(ctx, r.run.ID, held) }
	r.tx(t, save)
	if err := r.try(t, save); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a second verdict: %v", err)
	}
	if s := r.snapshot(t, store.Engine); s.Judged == nil || s.Judged.Words != "w" || s.Measured != nil {
		t.Errorf("judged %+v, measured %+v", s.Judged, s.Measured)
	}
	// What held the run is judged anew when it goes on, what fits is not.
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, rotation.HeldWaiting, "does not fit")
		return err
	})
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
	if s := r.snapshot(t, store.Engine); s.Judged != nil || s.Measured == nil {
		t.Errorf("resumed: judged %+v, measured %+v", s.Judged, s.Measured)
	}
	held.Outlook = rotation.OutlookFits
	r.tx(t, save)
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, rotation.HeldPaused, "lunch")
		return err
	})
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
	if s := r.snapshot(t, store.Engine); s.Judged == nil {
		t.Error("a verdict that fits was forgotten")
	}
}

func TestThePreflightAndTheWorkersReachAreInTheSnapshot(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.SavePreflight(ctx, r.run.ID, rotation.Measured{LatencyMS: 12.5, How: "identity reads"})
	})
	for _, limit := range []int{30, 12} {
		if _, err := r.StartWorker(t.Context(), store.WorkerInfo{ID: uuid.New(), Host: "h", Version: "v", Cap: limit}); err != nil {
			t.Fatal(err)
		}
	}
	s := r.snapshot(t, store.Counted)
	if s.Preflight == nil || s.Preflight.LatencyMS != 12.5 || s.Preflight.How != "identity reads" || s.Reach != 42 || s.Workers != 3 {
		t.Errorf("preflight %+v, %d workers of %d calls", s.Preflight, s.Workers, s.Reach)
	}
}

func TestOnlyOneWorkerProbesAndAPinEndsIt(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 2, store.RunSettings{BatchSize: 10, WireProbe: true})
	other := r.startWorker(t)
	take := func(w uuid.UUID) bool {
		t.Helper()
		ok, err := r.TakeProbe(t.Context(), r.run.ID, w)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if first, again := take(r.worker), take(r.worker); !first || !again || take(other) {
		t.Fatal("the probe is not one worker's")
	}
	if err := r.LeaveProbe(t.Context(), r.run.ID, other); err != nil || take(other) {
		t.Error("another worker left it")
	}
	// The probe of one that is gone is free.
	if err := r.StopWorker(t.Context(), r.worker); err != nil || !take(other) {
		t.Error("the probe died with its worker")
	}
	// The other shops wait for the pin: it counts no items while it has the run's lock.
	busy, err := r.DB.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := busy.Exec(t.Context(), "lock table rotator.items, rotator.shops in access exclusive mode"); err != nil {
		t.Fatal(err)
	}
	wire := json.RawMessage(`{"body":"json"}`)
	for range 2 { // the second pins nothing
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
		defer cancel()
		if err := r.PinWire(ctx, r.run.ID, wire, map[string]any{"wire": "json"}); err != nil {
			t.Fatal(err)
		}
		wire = json.RawMessage(`{"body":"form"}`)
	}
	if err := busy.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if s := r.reread(t).Settings; s.WireProbe || string(s.Wire) != `{"body": "json"}` && string(s.Wire) != `{"body":"json"}` {
		t.Errorf("settings %+v, wire %s", s, s.Wire)
	}
	if take(other) {
		t.Error("a pinned variant is probed again")
	}
	if n := ask[int](t, r.DB, "select count(*) from rotator.journal where event = 'run.wire_pinned'")[0]; n != 1 {
		t.Errorf("%d pins in the journal", n)
	}
}

func TestHealthPollsAreCountedOverAllWorkers(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 2, store.RunSettings{BatchSize: 10, HealthURL: "https://app.example.com/health"})
	ctx := t.Context()
	if ok, err := r.TakePoll(ctx, r.run.ID, time.Hour); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if ok, err := r.TakePoll(ctx, r.run.ID, time.Hour); err != nil || ok {
		t.Fatal("two polls in one pause", err)
	}
	if ok, err := r.TakePoll(ctx, r.run.ID, 0); err != nil || !ok {
		t.Fatal(ok, err)
	}
	poll := func(failure string) bool {
		t.Helper()
		held, err := r.WritePoll(ctx, r.run.ID, failure, 3)
		if err != nil {
			t.Fatal(err)
		}
		return held
	}
	for _, failure := range []string{"500", "500", "", "500", "500"} {
		if poll(failure) {
			t.Fatal("held although no three failed in a row")
		}
	}
	if h := r.snapshot(t, store.Engine).Health; h.Failures != 2 || h.Why != "500" || h.OKAt == nil || h.URL == "" {
		t.Errorf("health %+v", h)
	}
	if !poll("503") || poll("503") {
		t.Error("the third in a row holds, once")
	}
	s := r.snapshot(t, store.Engine)
	if s.Held != rotation.HeldBreakerOpen || s.HeldWhy == "" {
		t.Errorf("held %q: %s", s.Held, s.HeldWhy)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
	if h := r.snapshot(t, store.Engine).Health; h.Failures != 0 {
		t.Errorf("resumed with %d failures", h.Failures)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.reread(t)) })
	if _, err := r.WritePoll(ctx, r.run.ID, "503", 1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a run that is over is held: %v", err)
	}
}

func TestAReaderCannotWrite(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	pool, err := store.ConnectReader(t.Context(), r.URL, "reader", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	s := store.New(pool, r.Keys)
	if err := s.VerifyKeyring(t.Context()); err != nil {
		t.Error(err)
	}
	if n, err := s.CountShops(t.Context(), r.app.ID); err != nil || n != 2 {
		t.Errorf("counted %d: %v", n, err)
	}
	if _, _, err := s.Snapshot(t.Context(), r.run.ID, store.Counted); err != nil {
		t.Error(err)
	}
	if _, err := s.SetApp(t.Context(), storetest.Actor, r.app); err == nil {
		t.Error("a reader wrote the app")
	}
	if err := s.Exclude(t.Context(), storetest.Actor, r.app.ID, "shop-0.myharavan.com", "x"); err == nil {
		t.Error("a reader wrote a shop")
	}
}
