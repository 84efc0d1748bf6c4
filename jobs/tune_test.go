package jobs_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// after waits for the database's clock to be d on, which is the simulator's too.
func (r *rig) after(d time.Duration) {
	r.t.Helper()
	begin := r.until("now", func(rotation.Snapshot) bool { return true }).Now
	r.until(d.String(), func(s rotation.Snapshot) bool { return s.Now.Sub(begin) > d })
}

// calls are those that the platform saw begin between two times.
func (r *rig) calls(from, to time.Time) (seen []haravansim.Call) {
	for _, c := range r.sim.History() {
		if c.At.After(from) && c.At.Before(to) {
			seen = append(seen, c)
		}
	}
	return seen
}

// mostAtOnce is how many of the calls overlapped.
func mostAtOnce(calls []haravansim.Call) (most int) {
	for _, c := range calls {
		n := 0
		for _, other := range calls {
			if !other.At.After(c.At) && other.At.Add(other.Took).After(c.At) {
				n++
			}
		}
		most = max(most, n)
	}
	return most
}

func TestTuneIsFeltByEveryWorkerWithinTwoSeconds(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 6000, Latency: 30 * time.Millisecond, Jitter: 10 * time.Millisecond, History: 100_000})
	r.worker()
	r.worker()
	r.start(operate.StartOptions{BatchSize: 50})
	r.arm()
	r.until("under way", func(s rotation.Snapshot) bool { return s.Counts.Proven > 800 })
	const perSecond, seconds = 40.0, 5
	rate, none := perSecond, 0.0
	r.must(r.op.TuneWith(r.ctx, r.run.ID, operate.Tuning{Rate: &rate}))
	tuned := r.sim.Now()
	r.after((2 + seconds) * time.Second)
	seen := r.calls(tuned.Add(2*time.Second), tuned.Add((2+seconds)*time.Second))
	if n := float64(len(seen)); n > 1.1*perSecond*seconds || n < perSecond*seconds/2 {
		t.Errorf("%d calls in %d seconds at %v a second", len(seen), seconds, rate)
	}
	workers, err := r.db.Workers(r.ctx)
	r.must(err)
	for _, w := range workers {
		if w.ThrottledBy != "rate cap" || w.ShopsPerS == 0 {
			t.Errorf("worker %+v", w)
		}
	}
	r.must(r.op.TuneWith(r.ctx, r.run.ID, operate.Tuning{Rate: &none, InFlight: 4}))
	tuned = r.sim.Now()
	r.after(3 * time.Second)
	seen = r.calls(tuned.Add(2*time.Second), tuned.Add(3*time.Second))
	if most := mostAtOnce(seen); most > 4 || len(seen) == 0 {
		t.Errorf("%d calls, %d at once, under a cap of 4", len(seen), most)
	}
	r.must(r.op.Tune(r.ctx, r.run.ID, 128))
	before := r.until("now", func(rotation.Snapshot) bool { return true }).Counts.Proven
	r.until("fast again", func(s rotation.Snapshot) bool { return s.Counts.Proven > before+600 })
	if most := r.sim.Counts().MostMinted; most != 1 {
		t.Errorf("a shop was exchanged %d times", most)
	}
}
