package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// situation is a run that exchanges, a minute after it began.
func situation() (rotation.Snapshot, store.Run, []store.WorkerInfo) {
	snap := rotation.Snapshot{
		Now: noon, App: "main", RunID: 3, Kind: rotation.KindRotation, Mode: rotation.ModePlanned,
		Phase: rotation.PhaseExchanging, PhaseAt: noon.Add(-time.Minute), WalkDone: true, Workers: 2,
		Window: rotation.Window{ExpiresAt: noon.Add(50 * time.Minute)},
		Counts: rotation.Counts{Total: 1000, Pending: 580, Proven: 400, Retrying: 8, Parked: 2, Skipped: 10},
		Waves: []rotation.WaveStatus{
			{Wave: rotation.Wave{Number: 1, Name: "canary", Range: rotation.Range{First: 1, Last: 5}}, Released: true, Settled: true, Counts: rotation.Counts{Total: 5, Proven: 5}},
			{Wave: rotation.Wave{Number: 2, Name: "all", Range: rotation.Range{First: 6, Last: 1000}}, Released: true, Failed: 1, Counts: rotation.Counts{Total: 995, Pending: 580, Proven: 395, Retrying: 8, Parked: 2, Skipped: 10}},
		},
	}
	run := store.Run{
		ID: 3, Kind: snap.Kind, Mode: snap.Mode, Phase: snap.Phase, CreatedAt: noon.Add(-time.Hour),
		Settings: store.RunSettings{InFlight: 256},
	}
	return snap, run, []store.WorkerInfo{
		{ID: uuid.UUID{1}, Host: "a", PID: 7, InFlight: 30, Limit: 64, ShopsPerS: 20.04, ThrottledBy: "fleet cap", HeartbeatAt: noon},
		{ID: uuid.UUID{2}, Host: "b", PID: 8, InFlight: 10, Limit: 16, ShopsPerS: 10, ThrottledBy: "platform 429", HeartbeatAt: noon},
	}
}

// A worker's limit is for all its runs; a run that was tuned to less makes fewer calls.
func TestStatusShowsTheRunsCap(t *testing.T) {
	t.Parallel()
	for want, calls := range map[string]struct{ runsCap, inFlight int }{
		"in flight 2/3 ":   {3, 2},
		"in flight 40/80 ": {3, 40}, // of other apps' runs, most of them
		"in flight 7/80 ":  {256, 7},
	} {
		snap, run, workers := situation()
		run.Settings.InFlight, workers[0].InFlight, workers[1].InFlight = calls.runsCap, calls.inFlight, 0
		if got := (statusView{makeStatus(snap, run, workers, 0)}).Render(0); !strings.Contains(got, "shops/s, "+want) {
			t.Errorf("a cap of %d: no %q in\n%s", calls.runsCap, want, got)
		}
	}
}

func TestStatusView(t *testing.T) {
	t.Parallel()
	snap, run, workers := situation()
	const want = `run      3 of main: rotation, planned, open since 2026-03-01 11:00:00Z
phase    exchanging (5 of 9) since 2026-03-01 11:59:00Z (1m0s)
items    [#########...............] 400/1000 proven
         580 pending, 8 retrying, 2 parked, 10 skipped
rate     30.0 shops/s, in flight 40/80 (fleet cap, platform 429)
window   50m0s left, until 2026-03-01 12:50:00Z
eta      2026-03-01 12:00:19Z to 2026-03-01 12:00:43Z, fits the window
gate     [x] shops are proven: 400 are
         [ ] every shop is proven, skipped or waived: 588 open, 2 parked
         [x] late installs are swept: none
         [x] no answer of a superseded worker is unproven: none
         [ ] no stored token needs the old secret: not known before every shop is done
waves    canary 5/5 settled; all 407/995
workers  a pid 7: 20.0 shops/s, in flight 30/64 (fleet cap)
         b pid 8: 10.0 shops/s, in flight 10/16 (platform 429)
next     nothing to do: working: 412 of 1000 shops settled
`
	view := statusView{makeStatus(snap, run, workers, 0)}
	if diff := cmp.Diff(want, view.Render(0)); diff != "" {
		t.Error(diff)
	}
	const line = "12:00:00 exchanging 400/1000 proven, 8 retrying, 2 parked, 10 skipped, 30.0 shops/s, in flight 40/80 (fleet cap, platform 429), window 50m0s, eta 12:00–12:00"
	if diff := cmp.Diff(line, view.Line(noon)); diff != "" {
		t.Error(diff)
	}
	for width := 1; width < 120; width++ {
		for l := range strings.Lines(view.Render(width)) {
			if n := len([]rune(strings.TrimSuffix(l, "\n"))); width > viewIndent && n > width {
				t.Fatalf("a line is %d wide in a view of %d: %q", n, width, l)
			}
		}
	}
}

func TestStatusViewOfMoreWorkersThanCalls(t *testing.T) {
	t.Parallel()
	for inflight, want := range map[int]bool{1: true, 2: false} {
		snap, run, workers := situation()
		run.Settings.InFlight = inflight
		view := statusView{makeStatus(snap, run, workers, 0)}.Render(0)
		const words = "each makes a call at least: up to 2 in flight for a cap of 1; stop some for fewer"
		if strings.Contains(view, words) != want {
			t.Errorf("with a cap of %d the words are there: %t\n%s", inflight, !want, view)
		}
	}
}

// A cancelled run stands where it was: nothing in its view may look alive.
func TestStatusViewOfACancelledRun(t *testing.T) {
	t.Parallel()
	snap, run, _ := situation()
	snap.Workers, snap.Cancelled, run.CancelledAt = 0, true, &noon
	view := statusView{makeStatus(snap, run, nil, 0)}
	if got, want := view.Line(noon), "12:00:00 exchanging cancelled 400/1000 proven, 8 retrying, 2 parked, 10 skipped"; got != want {
		t.Errorf("%q, want %q", got, want)
	}
	const want = `run      3 of main: rotation, planned, cancelled since 2026-03-01 12:00:00Z
phase    exchanging (5 of 9), cancelled
items    [#########...............] 400/1000 proven
         580 pending, 8 retrying, 2 parked, 10 skipped
waves    canary 5/5 settled; all 407/995
next     nothing to do: the run was cancelled; both secrets must stay alive until another rotation has finished; ` + "`rotator rotation start`" + ` begins another
`
	if diff := cmp.Diff(want, view.Render(0)); diff != "" {
		t.Error(diff)
	}
}

// TestStatusContract keeps the names that scripts rely on.
func TestStatusContract(t *testing.T) {
	t.Parallel()
	snap, run, _ := situation()
	snap.Window, run.Held, snap.Held, run.HeldWhy = rotation.Window{}, rotation.HeldPaused, rotation.HeldPaused, "deploy"
	text, err := json.Marshal(makeStatus(snap, run, nil, 0))
	if err != nil {
		t.Fatal(err)
	}
	var got map[string]any
	if err := json.Unmarshal(text, &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{
		"run": 3.0, "kind": "rotation", "mode": "planned", "app": "main", "phase": "exchanging", "held": "paused", "held_why": "deploy",
		"window": map[string]any{"expires_at": nil, "seconds_left": 0.0},
		"items": map[string]any{
			"total": 1000.0, "pending": 580.0, "claimed": 0.0, "exchanged": 0.0, "proven": 400.0, "retrying": 8.0,
			"unknown": 0.0, "parked": 2.0, "skipped": 10.0, "waived": 0.0,
		},
		"rate":    map[string]any{"shops_per_s": 0.0, "inflight": 0.0, "limit": 0.0, "cap": 256.0, "cap_calls_per_s": 0.0, "headroom_percent": 25.0, "throttled_by": "paused"},
		"eta":     map[string]any{"p50": nil, "p90": nil, "fits_window": nil},
		"workers": []any{},
	}
	for name, value := range want {
		if diff := cmp.Diff(value, got[name]); diff != "" {
			t.Errorf("%s: %s", name, diff)
		}
	}
	if next, _ := got["next"].(map[string]any); next["command"] != "rotator rotation resume" || next["why"] == "" {
		t.Errorf("next: %v", got["next"])
	}
}

func TestStatusSituations(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name      string
		change    func(*rotation.Snapshot, *store.Run, *[]store.WorkerInfo)
		throttled string
		eta       bool
		fits      bool
		code      int
	}{
		{name: "working", change: func(*rotation.Snapshot, *store.Run, *[]store.WorkerInfo) {}, throttled: "fleet cap, platform 429", eta: true, fits: true},
		{name: "too late", change: func(s *rotation.Snapshot, _ *store.Run, _ *[]store.WorkerInfo) {
			s.Window.ExpiresAt = noon.Add(20 * time.Second)
		}, throttled: "fleet cap, platform 429", eta: true},
		{name: "no worker", change: func(s *rotation.Snapshot, _ *store.Run, w *[]store.WorkerInfo) {
			s.Workers, *w = 0, nil
		}, throttled: "no worker", code: exitWaiting},
		{name: "a small wave", change: func(s *rotation.Snapshot, _ *store.Run, _ *[]store.WorkerInfo) {
			s.Waves[0].Settled, s.Waves[0].Counts = false, rotation.Counts{Total: 5, Claimed: 5}
		}, throttled: "wave canary", eta: true, fits: true},
		{name: "held", change: func(s *rotation.Snapshot, r *store.Run, _ *[]store.WorkerInfo) {
			s.Held, r.Held = rotation.HeldBreakerOpen, rotation.HeldBreakerOpen
		}, throttled: "breaker_open", code: exitWaiting},
		{name: "standing still", change: func(s *rotation.Snapshot, _ *store.Run, w *[]store.WorkerInfo) {
			*w = (*w)[:1]
			(*w)[0].ShopsPerS = 0
		}, throttled: "fleet cap", eta: true, fits: true},
		{name: "only parked shops are left", change: func(s *rotation.Snapshot, _ *store.Run, _ *[]store.WorkerInfo) {
			s.Counts = rotation.Counts{Total: 3, Proven: 2, Parked: 1}
		}, code: exitExceptions},
		{name: "only parked shops are left, and no worker", change: func(s *rotation.Snapshot, _ *store.Run, w *[]store.WorkerInfo) {
			s.Counts, s.Workers, *w = rotation.Counts{Total: 3, Proven: 2, Parked: 1}, 0, nil
		}, code: exitExceptions},
		{name: "proven, uncertified", change: func(s *rotation.Snapshot, r *store.Run, _ *[]store.WorkerInfo) {
			s.Phase, r.Phase, s.Counts = rotation.PhaseProven, rotation.PhaseProven, rotation.Counts{Total: 3, Proven: 3}
		}},
		{name: "proven, certified", change: func(s *rotation.Snapshot, r *store.Run, _ *[]store.WorkerInfo) {
			s.Phase, r.Phase, s.Counts, s.Certificate = rotation.PhaseProven, rotation.PhaseProven, rotation.Counts{Total: 3, Proven: 3}, true
		}, code: exitWaiting},
		{name: "broken after the revoke", change: func(s *rotation.Snapshot, r *store.Run, _ *[]store.WorkerInfo) {
			s.Phase, r.Phase = rotation.PhaseRevoked, rotation.PhaseRevoked
			s.Revocation = rotation.Revocation{Planned: 3, OldDead: 3, NewAlive: 2, NewDead: 1}
		}, code: exitExceptions},
		{name: "broken by a late token", change: func(s *rotation.Snapshot, r *store.Run, _ *[]store.WorkerInfo) {
			s.Phase, r.Phase = rotation.PhaseWebhooksSingle, rotation.PhaseWebhooksSingle
			s.Revocation = rotation.Revocation{Planned: 3, OldDead: 3, NewAlive: 2, NewDead: 1}
		}, code: exitExceptions},
		{name: "cancelled", change: func(s *rotation.Snapshot, r *store.Run, _ *[]store.WorkerInfo) {
			s.Cancelled, r.CancelledAt = true, &noon
			s.Counts = rotation.Counts{Total: 3, Proven: 2, Parked: 1}
		}},
		{name: "closed", change: func(s *rotation.Snapshot, r *store.Run, _ *[]store.WorkerInfo) {
			s.Phase, r.Phase, r.ClosedAt = rotation.PhaseClosed, rotation.PhaseClosed, &noon
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			snap, run, workers := situation()
			tt.change(&snap, &run, &workers)
			st := makeStatus(snap, run, workers, 0)
			if st.Rate.ThrottledBy != tt.throttled {
				t.Errorf("throttled by %q, want %q", st.Rate.ThrottledBy, tt.throttled)
			}
			if (st.ETA.P50 != nil) != tt.eta || (st.ETA.FitsWindow != nil && *st.ETA.FitsWindow) != tt.fits {
				t.Errorf("eta %+v, want known %v, fits %v", st.ETA, tt.eta, tt.fits)
			}
			if got := st.exitFor(); got != tt.code {
				t.Errorf("exit code %d, want %d; next: %+v", got, tt.code, st.Next)
			}
			if st.over() != (tt.code != exitDone || st.State != runOpen) {
				t.Errorf("over %v with exit code %d", st.over(), tt.code)
			}
		})
	}
}

func TestSpeedometer(t *testing.T) {
	t.Parallel()
	var s speedometer
	for i, tt := range []struct {
		after   time.Duration
		settled int
		want    float64
	}{
		{0, 100, 0},
		{500 * time.Millisecond, 150, 0},
		{10 * time.Second, 300, 20},
		{30 * time.Second, 700, 20},
		{60 * time.Second, 700, 0},
		{61 * time.Second, 100, 0}, // opened again by a sweep
	} {
		if got := s.saw(noon.Add(tt.after), tt.settled); got != tt.want {
			t.Errorf("look %d: %v, want %v", i, got, tt.want)
		}
	}
}

func TestBar(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct{ done, of, full int }{{0, 0, 0}, {0, 9, 0}, {999, 1000, 23}, {1000, 1000, 24}, {5, 1, 24}} {
		if got := strings.Count(bar(tt.done, tt.of), "#"); got != tt.full {
			t.Errorf("%d of %d: %s", tt.done, tt.of, bar(tt.done, tt.of))
		}
	}
}

func TestWrap(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		text  string
		width int
		want  []string
	}{
		{"", 5, []string{""}},
		{"one two three", 0, []string{"one two three"}},
		{"one two three", 7, []string{"one two", "three"}},
		{"one two three", 8, []string{"one two", "three"}},
		{"unbreakable", 4, []string{"unbr", "eaka", "ble"}},
		{"née über", 4, []string{"née", "über"}},
	} {
		if diff := cmp.Diff(tt.want, wrap(tt.text, tt.width)); diff != "" {
			t.Errorf("%q at %d: %s", tt.text, tt.width, diff)
		}
	}
}
