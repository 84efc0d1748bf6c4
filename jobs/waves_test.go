package jobs_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

func TestNamedShopsAreTheCanary(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 60})
	named := []string{"shop-000042.myharavan.com", "shop-000007.myharavan.com", "shop-000060.myharavan.com"}
	r.worker()
	r.start(operate.StartOptions{CanaryShops: named})
	r.arm()
	snap := r.until("proven", inPhase(rotation.PhaseProven))
	if n := r.tokens(); n != 60 || snap.Counts.Total != 60 {
		t.Errorf("%d shops are proven, counts %+v", n, snap.Counts)
	}
	if w := snap.Waves[0]; w.Name != "canary" || w.Len() != 3 || w.Counts.Proven != 3 {
		t.Errorf("the canary is %+v", w)
	}
	var order []string
	for _, c := range r.sim.History() {
		if c.Op == haravansim.OpExchange && len(order) < len(named) {
			order = append(order, c.Shop)
		}
	}
	if order[0] != named[0] {
		t.Errorf("the first exchange was of %s", order[0])
	}
	if missing := cmp.Diff(map[string]bool{named[0]: true, named[1]: true, named[2]: true},
		map[string]bool{order[0]: true, order[1]: true, order[2]: true}); missing != "" {
		t.Errorf("the first shops (-want +got):\n%s", missing)
	}
}

func TestAWaveThatFailsAClassBudgetHoldsTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 200})
	// A tenth of the second wave answers 500 for ever: within the overall
	// budget, not within its own.
	var spoilt []string
	for s := range r.sim.Shops {
		if len(s.Domain) > 0 && (s.Domain == "shop-000012.myharavan.com" || s.Domain == "shop-000015.myharavan.com") {
			faults := make([]haravansim.Fault, 200)
			for i := range faults {
				faults[i] = haravansim.FaultServerText
			}
			r.must(r.sim.Script(s.Domain, haravansim.OpExchange, faults...))
			spoilt = append(spoilt, s.Domain)
		}
	}
	r.worker()
	r.start(operate.StartOptions{Waves: &rotation.WavePolicy{
		Canary: 5, Shares: []float64{0.1}, Budget: 0.25, Budgets: map[rotation.Class]float64{rotation.ClassPlatform: 0.05},
	}})
	r.arm()
	snap := r.until("held", isHeld(rotation.HeldBreakerOpen))
	for _, want := range []string{"wave 10%", "2 of 20 shops failed as platform, 5 % are allowed", "for example " + spoilt[0]} {
		if !strings.Contains(snap.HeldWhy, want) {
			t.Errorf("held because %q, want it to say %q", snap.HeldWhy, want)
		}
	}
	if diff := cmp.Diff(map[rotation.Class]int{rotation.ClassPlatform: 2}, snap.Waves[1].FailedBy); diff != "" {
		t.Errorf("failed by class (-want +got):\n%s", diff)
	}
	if snap.Waves[2].Released {
		t.Error("the next wave was released")
	}
	if next := rotation.Next(snap); next.Command != "rotator rotation resume" || !strings.Contains(next.Why, "report") {
		t.Errorf("next: %+v", next)
	}
}

func TestHalfTheFleetIsUninstalledAndTheRunCompletes(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 400, Seed: 3, Faults: haravansim.Faults{Dead: map[haravansim.State]float64{
		haravansim.StateUninstalled: 0.4, haravansim.StateFrozen: 0.05, haravansim.StateUnknown: 0.05,
	}}})
	r.worker()
	r.start(operate.StartOptions{Waves: &rotation.WavePolicy{
		Canary: 10, Shares: []float64{0.1}, Budget: 0.01, Budgets: map[rotation.Class]float64{rotation.ClassPlatform: 0},
	}})
	r.arm()
	snap := r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Counts.Skipped < 150 || snap.Counts.Skipped+snap.Counts.Proven != 400 {
		t.Errorf("counts: %+v", snap.Counts)
	}
	r.tokens()
	r.politely()
}

// app is somebody's app with a health URL that can be made to fail.
func (r *rig) healthURL() (url string, status *atomic.Int64, asked *atomic.Int64) {
	r.t.Helper()
	status, asked = &atomic.Int64{}, &atomic.Int64{}
	status.Store(http.StatusNoContent)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		asked.Add(1)
		if q.Method != http.MethodGet || q.URL.Path != "/health" || q.Header.Get("Authorization") != "" || q.Header.Get("Cookie") != "" {
			r.t.Errorf("the app was asked %s %s with %v", q.Method, q.URL.Path, q.Header)
		}
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(int(status.Load()))
	}))
	r.t.Cleanup(s.Close)
	return s.URL + "/health", status, asked
}

func TestAnUnhealthyAppHoldsTheRunInMidWave(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 4000, Latency: 30 * time.Millisecond})
	url, status, asked := r.healthURL()
	r.worker()
	r.worker() // two workers poll no more often than one
	r.start(operate.StartOptions{InFlight: 4, HealthURL: url, Waves: &rotation.WavePolicy{Canary: 1, Budget: 0.25}})
	begun := time.Now()
	r.arm()
	r.until("under way and polled", func(s rotation.Snapshot) bool { return s.Counts.Proven > 20 && s.Health.OKAt != nil })
	status.Store(http.StatusFound) // a redirect to a login page is not health
	snap := r.until("held", isHeld(rotation.HeldBreakerOpen))
	for _, want := range []string{"health URL failed 3 times in a row", "302"} {
		if !strings.Contains(snap.HeldWhy, want) {
			t.Errorf("held because %q, want it to say %q", snap.HeldWhy, want)
		}
	}
	if snap.Counts.Open() == 0 {
		t.Fatal("nothing was left to hold")
	}
	if most := int64(time.Since(begun)/(2*time.Second)) + 2; asked.Load() > most {
		t.Errorf("the app was asked %d times, more than %d", asked.Load(), most)
	}
	status.Store(http.StatusOK)
	r.must(r.op.Tune(r.ctx, r.run.ID, 64))
	r.must(r.op.Resume(r.ctx, r.run.ID))
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
}

// Windows in these tests are minutes long, so that a loaded machine neither lets
// them end nor makes a run that is tuned look too slow.

// armShort arms with a window that has little time left, measured by nobody.
func (r *rig) armShort(left time.Duration) {
	r.t.Helper()
	r.armWith(r.sim.CreateRefreshToken().Value, rotation.WindowLength-left)
}

func TestARunThatTheCanaryShowsNotToFitIsHeld(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 3000, Latency: 200 * time.Millisecond})
	r.worker()
	r.start(operate.StartOptions{InFlight: 1})
	r.armShort(10 * time.Minute)
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if snap.Counts.Proven != 5 || snap.Judged == nil || snap.Judged.Fits() || snap.Judged.Measured.LatencyMS < 199 {
		t.Fatalf("judged %+v at %+v", snap.Judged, snap.Counts)
	}
	for _, want := range []string{"exchange and proof of the first 5 shops", "fits if in-flight is raised", "rotator rotation tune --inflight", "resume --accept-windows"} {
		if !strings.Contains(snap.HeldWhy, want) {
			t.Errorf("held because %q, want it to say %q", snap.HeldWhy, want)
		}
	}
	if next := rotation.Next(snap); !strings.HasPrefix(next.Command, "rotator rotation tune --inflight ") {
		t.Errorf("next: %+v", next)
	}
	// Resumed as it is, it is judged again and held again.
	r.must(r.op.Resume(r.ctx, r.run.ID))
	again := r.until("held again", func(s rotation.Snapshot) bool {
		return s.Held == rotation.HeldWaiting && s.Judged.At.After(snap.Judged.At)
	})
	if again.Waves[1].Released {
		t.Error("a wave was released in between")
	}
	// Tuned, it goes on by itself.
	r.must(r.op.Tune(r.ctx, r.run.ID, 64))
	fits := r.until("released", func(s rotation.Snapshot) bool { return s.Waves[1].Released })
	if fits.Judged == nil || !fits.Judged.Fits() {
		t.Errorf("released without a verdict that fits: %+v", fits.Judged)
	}
}

func TestSeveralWindowsCanBeAccepted(t *testing.T) {
	t.Parallel()
	for name, accept := range map[string]func(*rig) error{
		"by resume": func(r *rig) error {
			return r.op.ResumeWith(r.ctx, r.run.ID, operate.ResumeOptions{AcceptWindows: true})
		},
		"by arm": func(r *rig) error {
			_, err := r.op.Arm(r.ctx, r.run.ID, secret.New(r.sim.CreateRefreshToken().Value), 50*time.Minute, true)
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, haravansim.Options{Shops: 3000, Latency: 200 * time.Millisecond})
			r.worker()
			r.start(operate.StartOptions{InFlight: 1})
			r.armShort(10 * time.Minute)
			r.until("held", isHeld(rotation.HeldWaiting))
			r.must(accept(r))
			snap := r.until("released", func(s rotation.Snapshot) bool { return s.Waves[1].Released })
			if snap.Judged == nil || snap.Judged.Fits() || !snap.AcceptWindows || snap.Held != rotation.HeldNot {
				t.Errorf("verdict %+v, accepted %t, held %q", snap.Judged, snap.AcceptWindows, snap.Held)
			}
		})
	}
}

// What the plan measured is judged again by what is so when the run could begin.
func TestAnArmedRunThatDoesNotFitIsHeldBeforeItsFirstCall(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 500})
	r.start(operate.StartOptions{InFlight: 1})
	_, err := r.op.ArmWith(r.ctx, r.run.ID, secret.New(r.sim.CreateRefreshToken().Value), operate.ArmOptions{
		Age: 30 * time.Minute, Measured: &rotation.Measured{LatencyMS: 5000, How: "identity reads of 10 shops"},
	})
	r.must(err)
	r.worker()
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if snap.Phase != rotation.PhaseArmed || r.sim.Counts().Exchanges != 0 {
		t.Errorf("held in %s after %d exchanges", snap.Phase, r.sim.Counts().Exchanges)
	}
	gate := rotation.Gate(snap)
	if c := gate[len(gate)-1]; c.Met || !strings.Contains(c.Evidence, "identity reads of 10 shops: fits if in-flight is raised") {
		t.Errorf("the gate says %+v", c)
	}
	r.must(r.op.Tune(r.ctx, r.run.ID, 64))
	r.until("exchanging", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseExchanging })
}
