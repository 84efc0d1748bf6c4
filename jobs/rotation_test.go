package jobs_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

func TestWholeRotationOfAHostilePlatform(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 400, Seed: 7, Faults: haravansim.Hostile()})
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	snap := r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Counts.Proven < 380 || snap.Counts.Total != 400 {
		t.Errorf("counts: %+v", snap.Counts)
	}
	r.until("certified", func(s rotation.Snapshot) bool { return s.Certificate })
	r.revoke()
	snap = r.until("checked", func(s rotation.Snapshot) bool { return s.Revocation.Done() })
	if snap.Revocation.OldAlive+snap.Revocation.NewDead != 0 {
		t.Errorf("after the revoke: %+v", snap.Revocation)
	}
	r.confirm(rotation.PhaseWebhooksSingle)
	r.confirm(rotation.PhaseClosed)
	if n := r.tokens(); n != snap.Counts.Proven {
		t.Errorf("%d shops proven by the platform's books, %d by ours", n, snap.Counts.Proven)
	}
	if m := r.sim.Misuse(); len(m) > 0 {
		t.Errorf("misuse: %v", m)
	}
	if _, _, err := r.db.VerifyJournal(r.ctx); err != nil {
		t.Error(err)
	}
}
