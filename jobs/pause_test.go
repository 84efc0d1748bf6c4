package jobs_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Pause to quiet is under two seconds by the platform's own clock, for every
// worker, and what is in flight comes to its end.
func TestPauseIsQuietWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 3000, Latency: 700 * time.Millisecond, Jitter: 400 * time.Millisecond, History: 100_000})
	r.worker()
	r.worker()
	r.start(operate.StartOptions{BatchSize: 50, InFlight: 128, Waves: &rotation.WavePolicy{Budget: 1}})
	r.arm()
	r.until("both are at it", func(s rotation.Snapshot) bool {
		workers, err := r.db.Workers(r.ctx)
		return err == nil && len(workers) == 2 && workers[0].InFlight > 4 && workers[1].InFlight > 4
	})
	paused := r.sim.Now()
	r.must(r.op.Pause(r.ctx, r.run.ID, "the app's own deploy"))
	quiet := r.until("quiet", func(s rotation.Snapshot) bool { return s.Counts.Claimed == 0 && s.Counts.Unknown == 0 })
	r.after(3 * time.Second)
	seen := r.sim.History()
	inFlight, last := 0, time.Duration(0)
	for _, c := range seen {
		began, ended := c.At.Sub(paused), c.At.Add(c.Took).Sub(paused)
		last = max(last, began)
		if began <= 0 && ended > 0 {
			inFlight++
			if c.Status != 200 {
				t.Errorf("a call in flight ended with %d: %+v", c.Status, c)
			}
		}
	}
	if last > 2*time.Second {
		t.Errorf("a call began %s after the pause", last)
	}
	if inFlight == 0 || quiet.Counts.Pending == 0 {
		t.Errorf("%d calls were in flight, counts: %+v", inFlight, quiet.Counts)
	}
	t.Logf("the last call began %s after the pause; %d were in flight", last, inFlight)
	if minted := r.sim.Counts().Minted; minted != quiet.Counts.Proven+quiet.Counts.Exchanged {
		t.Errorf("%d tokens were made, %d are stored", minted, quiet.Counts.Proven+quiet.Counts.Exchanged)
	}
}

// worker1 is the only worker's heartbeat.
func (r *rig) worker1() store.WorkerInfo {
	r.t.Helper()
	workers, err := r.db.Workers(r.ctx)
	r.must(err)
	if len(workers) != 1 {
		r.t.Fatalf("workers: %+v", workers)
	}
	return workers[0]
}

func TestAPlatformThatSlowsDownIsAskedLess(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{
		Shops: 6000, Latency: 50 * time.Millisecond, History: 100_000, Knobs: haravansim.Knobs{SlowBy: 2 * time.Second},
	})
	r.worker()
	r.start(operate.StartOptions{InFlight: 64, Waves: &rotation.WavePolicy{Budget: 1}})
	r.arm()
	r.until("at full speed", func(rotation.Snapshot) bool { return r.worker1().Limit == 64 })
	r.must(r.sim.SetFaults(haravansim.Faults{Rates: map[haravansim.Fault]float64{haravansim.FaultSlow: 1}}))
	slowed := r.sim.Now()
	r.until("it gives way", func(rotation.Snapshot) bool {
		w := r.worker1()
		return w.Limit <= 28 && w.ThrottledBy == "platform latency"
	})
	if most := mostAtOnce(r.calls(slowed, r.sim.Now())); most > 64 {
		t.Errorf("%d calls at once while the platform was slow", most)
	}
	r.must(r.sim.SetFaults(haravansim.Faults{}))
	r.until("it comes back", func(rotation.Snapshot) bool { return r.worker1().Limit == 64 })
	if most := r.sim.Counts().MostMinted; most != 1 {
		t.Errorf("a shop was exchanged %d times", most)
	}
}

func TestAThirdOfCallsAnswered429(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{
		Shops: 200, Knobs: haravansim.Knobs{RetryAfter: 300 * time.Millisecond},
		Faults: haravansim.Faults{Rates: map[haravansim.Fault]float64{haravansim.FaultThrottle: 0.2, haravansim.FaultThrottleEmpty: 0.1}},
	})
	r.worker()
	// A reserve for the app would make every full bucket a pause of six seconds.
	none := 0
	r.start(operate.StartOptions{Headroom: &none})
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	if n := r.tokens(); n != 200 {
		t.Errorf("%d shops are proven", n)
	}
	if m := r.sim.Misuse(); len(m) > 0 || r.sim.Counts().MostMinted != 1 {
		t.Errorf("misuse %v, counts %+v", m, r.sim.Counts())
	}
}
