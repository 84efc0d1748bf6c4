package jobs_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// A gateway that answers 404 for a moment looks like shops that are gone; what
// it hid is asked again before the old secret can be revoked.
func TestShopsThatLookGoneForAMomentKeepAToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 3000, Latency: 20 * time.Millisecond})
	r.worker()
	r.start(operate.StartOptions{Waves: &rotation.WavePolicy{Canary: 5, Budget: 0.25}})
	r.arm()
	r.until("in the midst of it", func(s rotation.Snapshot) bool { return s.Counts.Proven > 200 })
	r.must(r.sim.SetFaults(haravansim.Faults{Dead: map[haravansim.State]float64{haravansim.StateUnknown: 1}}))
	snap := r.until("shops are skipped", func(s rotation.Snapshot) bool {
		return s.Counts.Skipped > 20 || s.Counts.Open() == 0
	})
	if snap.Counts.Skipped == 0 {
		t.Fatal("the run ended before the gateway failed: nothing was tried")
	}
	r.must(r.sim.SetFaults(haravansim.Faults{}))
	for snap.Phase != rotation.PhaseProven {
		snap = r.until("proven, held or settled with shops parked", func(s rotation.Snapshot) bool {
			return s.Phase == rotation.PhaseProven || s.Held != rotation.HeldNot || s.Counts.Open() == 0 && s.Counts.Parked > 0
		})
		if snap.Held != rotation.HeldNot {
			r.must(r.op.Resume(r.ctx, r.run.ID))
		} else if snap.Phase != rotation.PhaseProven {
			_, err := r.op.Retry(r.ctx, r.run.ID, "", "")
			r.must(err)
		}
	}
	r.revoke()
	for s := range r.sim.Shops {
		token, err := r.db.ShopToken(r.ctx, r.app.ID, s.Domain)
		r.must(err)
		if !r.sim.TokenAlive(s.Domain, token.Reveal()) {
			t.Errorf("%s lives and lost its only token to the revoke", s.Domain)
		}
	}
}
