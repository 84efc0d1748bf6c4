package jobs_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// Legacy, derived, tried with a test app, cut over, proven, scrubbed; then a
// rotation exchanges the derived tokens, and the revoke kills what is left.
func TestMigrationThenRotationOfAHostilePlatform(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, haravansim.Options{Shops: 220, Legacy: 200, Seed: 7, Faults: haravansim.Hostile()})
	r.worker()
	r.sim.CreateTestApp()
	r.migrate(operate.MigrationOptions{CheckSample: -1, BatchSize: 50})
	snap := r.until("checked", checked)
	if snap.Migration.CheckAlive < 180 || snap.Counts.Skipped < 20 {
		t.Errorf("after the check: %+v %+v", snap.Migration, snap.Counts)
	}
	if s := r.sim.Counts(); s.Minted != 0 {
		t.Errorf("%d tokens were minted", s.Minted)
	}
	r.waiveParked()
	r.confirm(rotation.PhaseChecked)
	r.cutOver()
	r.until("settled", settled)
	r.waiveParked()
	r.confirm(rotation.PhaseScrubbed)
	r.confirm(rotation.PhaseClosed)
	if n := r.derivedTokens(); n < 190 {
		t.Errorf("%d legacy shops have their derived token", n)
	}
	r.rotateDerived()
	if m := r.sim.Misuse(); len(m) > 0 {
		t.Errorf("misuse: %v", m)
	}
	if _, _, err := r.db.VerifyJournal(r.ctx); err != nil {
		t.Error(err)
	}
}

// waiveParked accepts every parked shop by name.
func (r *rig) waiveParked() {
	r.t.Helper()
	parked, err := r.db.Items(r.ctx, r.run.ID, []rotation.ItemState{rotation.ItemParked}, 0, 1000)
	r.must(err)
	for _, i := range parked {
		r.must(r.op.Waive(r.ctx, r.run.ID, i.Domain, "in a test"))
	}
}

// rotateDerived takes the migrated fleet through a whole rotation.
func (r *rig) rotateDerived() {
	r.t.Helper()
	fresh, err := r.sim.CreateSecret()
	r.must(err)
	_, err = r.db.AddSecret(r.ctx, "test", r.app.ID, secret.New(fresh.Value))
	r.must(err)
	r.start(operate.StartOptions{})
	r.arm()
	snap := r.until("proven and certified", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseProven && s.Certificate })
	if snap.Counts.Proven < 200 {
		r.t.Errorf("counts of the rotation: %+v", snap.Counts)
	}
	r.revoke()
	snap = r.until("checked", func(s rotation.Snapshot) bool { return s.Revocation.Done() })
	if snap.Revocation.OldAlive+snap.Revocation.NewDead != 0 {
		r.t.Errorf("after the revoke: %+v", snap.Revocation)
	}
	for s := range r.sim.Shops {
		if s.DerivedAlive {
			r.t.Errorf("%s: the derived token outlived the revoke", s.Domain)
		}
	}
	r.tokens()
}
