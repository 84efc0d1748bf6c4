package jobs_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// A run is cancelled while a call is under way, and the next one is done before the
// answer comes: on a platform where the newest token kills the others, what that
// run has proven is dead then.
func TestACallOfACancelledRunAnswersAfterTheNextRunIsCertified(t *testing.T) {
	t.Parallel()
	const shops = 20
	r := newRig(t, haravansim.Options{Shops: shops, Knobs: haravansim.Knobs{OldTokens: "at_once"}})
	shop := r.anyShop()
	d := r.workerDetained(shop)
	all := operate.StartOptions{Waves: &rotation.WavePolicy{Budget: 1}}
	r.start(all)
	r.arm()
	<-d.has
	r.until("all others", func(s rotation.Snapshot) bool { return s.Counts.Proven == shops-1 })
	first := r.run.ID
	r.must(r.op.Cancel(r.ctx, first, r.app.Name))
	r.start(all)
	r.arm()
	certified := func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseProven && s.Certificate }
	r.until("certified", certified)
	d.letGo()
	r.until("the late token", func(rotation.Snapshot) bool { return r.holdsToken(first) })
	r.until("certified with a token that lives", func(s rotation.Snapshot) bool {
		token, err := r.db.ShopToken(r.ctx, r.app.ID, shop)
		return err == nil && certified(s) && r.sim.TokenAlive(shop, token.Reveal())
	})
	r.revoke()
	snap := r.until("checked", func(s rotation.Snapshot) bool { return s.Revocation.Done() })
	if snap.Revocation.NewAlive != shops {
		t.Errorf("after the revoke: %+v", snap.Revocation)
	}
	r.tokens()
}

// A token that comes late asks for another look at its shop (store/late.go), also when
// the check is over and confirmed.
func TestAShopIsLookedAtAgainBeforeTheRunIsClosed(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 5})
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("certified", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseProven && s.Certificate })
	r.revoke()
	r.until("checked", func(s rotation.Snapshot) bool { return s.Revocation.Done() })
	r.confirm(rotation.PhaseWebhooksSingle)
	_, err := r.db.Pool.Exec(r.ctx, "update rotator.items set checked_at = null, old_dead = null, new_alive = null where position = 2")
	r.must(err)
	r.until("checked again", func(s rotation.Snapshot) bool { return s.Revocation.Done() })
	r.confirm(rotation.PhaseClosed)
}

// anyShop is a shop of the fleet.
func (r *rig) anyShop() (domain string) {
	r.t.Helper()
	for s := range r.sim.Shops {
		domain = s.Domain
	}
	return domain
}

// holdsToken reports whether an item of the run has a token that no attempt is
// proving any more.
func (r *rig) holdsToken(run int64) (holds bool) {
	r.t.Helper()
	r.must(r.db.Pool.QueryRow(r.ctx, "select exists (select from rotator.items where run_id = $1 and new_token is not null)", run).Scan(&holds))
	return holds
}
