package jobs_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// domains are the fleet's, in its order.
func (r *rig) domains() (all []string) {
	for s := range r.sim.Shops {
		all = append(all, s.Domain)
	}
	return all
}

func TestAShopExcludedDuringTheRunIsNotCalled(t *testing.T) {
	t.Parallel()
	const shops = 400
	r := newRig(t, haravansim.Options{Shops: shops, Latency: 20 * time.Millisecond, Jitter: 10 * time.Millisecond})
	r.worker()
	r.start(operate.StartOptions{InFlight: 4, BatchSize: shops, Waves: &rotation.WavePolicy{Budget: 1}})
	r.arm()
	r.until("under way", func(s rotation.Snapshot) bool { return s.Counts.Proven > 20 })
	// Read ahead of its call by the worker that holds its batch, proven already,
	// and excluded by mistake.
	all := r.domains()
	ahead, done, mistaken := all[shops-1], all[0], all[shops-2]
	for _, domain := range []string{ahead, done, mistaken} {
		r.must(r.db.Exclude(r.ctx, storetest.Actor, r.app.ID, domain, "a test shop"))
	}
	r.must(r.db.Exclude(r.ctx, storetest.Actor, r.app.ID, mistaken, ""))
	r.must(r.op.Tune(r.ctx, r.run.ID, 64))
	snap := r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Counts.Skipped != 1 || snap.Counts.Proven != shops-1 {
		t.Errorf("counts: %+v", snap.Counts)
	}
	item, err := r.db.Item(r.ctx, r.run.ID, ahead)
	r.must(err)
	if item.State != rotation.ItemSkipped || item.Detail != "excluded: a test shop" || r.sim.ShopCounts(ahead).Exchanges != 0 {
		t.Errorf("%+v after %+v", item, r.sim.ShopCounts(ahead))
	}
	// Taken in again after all: the run goes back to exchange it.
	r.must(r.db.Exclude(r.ctx, storetest.Actor, r.app.ID, ahead, ""))
	r.until("all proven", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseProven && s.Counts.Proven == shops })
	r.tokens()
}

func TestACooldownEndsWhenTheOperatorSaysSo(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 40, Knobs: haravansim.Knobs{RetryAfter: time.Hour, RefreshTokenLife: 24 * time.Hour}})
	domain := r.domains()[30]
	r.must(r.sim.Script(domain, haravansim.OpExchange, haravansim.FaultThrottle))
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.restsUntilTold(domain, func() {})
}

// The worker that the platform asked is gone, and its memory with it.
func TestACooldownOutlivesItsWorker(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 40, Knobs: haravansim.Knobs{RetryAfter: time.Hour, RefreshTokenLife: 24 * time.Hour}})
	domain := r.domains()[30]
	r.must(r.sim.Script(domain, haravansim.OpExchange, haravansim.FaultThrottle))
	stop := r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.restsUntilTold(domain, func() {
		stop()
		r.worker()
	})
}

// restsUntilTold expects that a shop which asked to be left alone is, whatever
// happens meanwhile and although it is due, until an operator says to call it.
func (r *rig) restsUntilTold(domain string, meanwhile func()) {
	r.t.Helper()
	r.until("one waits", func(s rotation.Snapshot) bool { return s.Counts.Retrying == 1 && s.Counts.Open() == 1 })
	asked := len(r.callsOf(domain))
	meanwhile()
	// Due, but the platform's word counts.
	_, err := r.op.Retry(r.ctx, r.run.ID, "", domain)
	r.must(err)
	r.until("left alone again", func(s rotation.Snapshot) bool {
		item, err := r.db.Item(r.ctx, r.run.ID, domain)
		return err == nil && item.State == rotation.ItemRetrying && item.NextAttemptAt.After(s.Now.Add(5*time.Minute))
	})
	if n := len(r.callsOf(domain)); n != asked {
		r.t.Errorf("%d calls in its cooldown", n-asked)
	}
	// The platform has come round, which only the operator knows.
	_, err = r.sim.Advance(2 * time.Hour)
	r.must(err)
	r.must(r.op.RetryNow(r.ctx, r.run.ID, domain))
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
}

// callsOf are the platform's calls for one shop.
func (r *rig) callsOf(domain string) (seen []haravansim.Call) {
	for _, c := range r.sim.History() {
		if c.Shop == domain {
			seen = append(seen, c)
		}
	}
	return seen
}
