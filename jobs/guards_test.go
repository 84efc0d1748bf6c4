package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

func TestAFleetThatOnlyLooksDeadIsNotCertified(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 60})
	for s := range r.sim.Shops {
		r.must(r.sim.Uninstall(s.Domain))
	}
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	snap := r.until("held", isHeld(rotation.HeldBreakerOpen))
	if !strings.Contains(snap.HeldWhy, "not one of 5 shops was proven") {
		t.Errorf("held because %q", snap.HeldWhy)
	}
	if n := r.sim.Counts().Exchanges; n > 5 {
		t.Errorf("%d exchanges were tried", n)
	}
	// Accepted wave by wave, nothing is ever certified.
	for range 2 {
		r.must(r.op.Resume(r.ctx, r.run.ID))
		r.until("held again", isHeld(rotation.HeldBreakerOpen))
	}
}

func TestAMintedTokenIsKeptWhenItsProofAnswersGone(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 30})
	var victim string
	for s := range r.sim.Shops {
		victim = s.Domain
	}
	// The exchange works, the shop freezes, the proof is answered with 402.
	r.must(r.sim.Script(victim, haravansim.OpExchange, haravansim.FaultNone))
	r.worker()
	r.start(operate.StartOptions{InFlight: 1})
	frozen := make(chan struct{})
	go func() {
		defer close(frozen)
		for r.sim.ShopCounts(victim).Minted == 0 && r.ctx.Err() == nil {
			<-time.After(time.Millisecond)
		}
		_ = r.sim.Freeze(victim)
	}()
	r.arm()
	r.until("settled", func(s rotation.Snapshot) bool {
		return s.Phase == rotation.PhaseProven || s.Counts.Open() == 0 && s.Counts.Parked == 1
	})
	<-frozen
	item, err := r.db.Item(r.ctx, r.run.ID, victim)
	r.must(err)
	if item.State == rotation.ItemSkipped {
		t.Fatalf("a shop with a minted token was skipped: %+v", item)
	}
	if item.State == rotation.ItemParked {
		r.must(r.op.Waive(r.ctx, r.run.ID, victim, "frozen"))
	}
	token, err := r.db.ShopToken(r.ctx, r.app.ID, victim)
	r.must(err)
	r.must(r.sim.Thaw(victim))
	if v := r.sim.TokenVersion(victim, token.Reveal()); v != 2 {
		t.Errorf("its token is of secret %d", v)
	}
}

func TestOneRefusedShopDoesNotHoldTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 60})
	var victim string
	for s := range r.sim.Shops {
		victim = s.Domain
	}
	// The token endpoint says for ever that this shop, which lives, is not there.
	faults := make([]haravansim.Fault, 40)
	for i := range faults {
		faults[i] = haravansim.FaultRedirect
	}
	r.must(r.sim.Script(victim, haravansim.OpExchange, faults...))
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("the others", func(s rotation.Snapshot) bool { return s.Counts.Proven == 59 })
	snap := r.until("settled", func(s rotation.Snapshot) bool { return s.Held != rotation.HeldNot || s.Counts.Open() == 0 })
	if snap.Held != rotation.HeldNot || snap.Counts.Parked != 1 {
		t.Errorf("held %q (%s), counts %+v", snap.Held, snap.HeldWhy, snap.Counts)
	}
}

func TestACancelledRunStopsAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow(600))
	r.worker()
	r.start(operate.StartOptions{InFlight: 8})
	r.arm()
	r.until("under way", midway(300))
	r.must(r.op.Cancel(r.ctx, r.run.ID, r.app.Name))
	r.until("a second later", func(s rotation.Snapshot) bool { return s.Now.Sub(s.PhaseAt) > 0 && !r.open() })
	at := time.Now()
	r.until("quiet", func(rotation.Snapshot) bool { return time.Since(at) > time.Second })
	calls := r.sim.Counts().Exchanges
	at = time.Now()
	r.until("still quiet", func(rotation.Snapshot) bool { return time.Since(at) > time.Second })
	if more := r.sim.Counts().Exchanges - calls; more != 0 {
		t.Errorf("%d exchanges after the cancel", more)
	}
	// The next run takes up the rest, and proves what the first had swapped.
	first := r.run
	r.start(operate.StartOptions{})
	r.arm()
	snap := r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Counts.Proven != 600 || first.ID == r.run.ID {
		t.Errorf("counts: %+v", snap.Counts)
	}
	r.tokens()
	r.until("certified", func(s rotation.Snapshot) bool { return s.Certificate })
	r.revoke()
	snap = r.until("checked", func(s rotation.Snapshot) bool { return s.Revocation.Done() })
	if snap.Revocation.Planned != 600 || snap.Revocation.NewDead+snap.Revocation.OldAlive != 0 {
		t.Errorf("the check after the revoke: %+v", snap.Revocation)
	}
	r.confirm(rotation.PhaseWebhooksSingle)
	r.confirm(rotation.PhaseClosed)
	var left int
	r.must(r.db.Pool.QueryRow(r.ctx, "select count(*) from rotator.items where old_token is not null or new_token is not null").Scan(&left))
	if left != 0 {
		t.Errorf("%d tokens of ended runs are not shredded", left)
	}
}

// open reports whether the rig's run is neither closed nor cancelled.
func (r *rig) open() bool {
	run, err := r.db.Store.Run(r.ctx, r.run.ID)
	r.must(err)
	return run.Open()
}

func TestAHeldRunIsNotConfirmedAndAnEmptyOneNotProven(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 20})
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("proven", func(s rotation.Snapshot) bool { return s.Certificate })
	r.must(r.op.Pause(r.ctx, r.run.ID, "do not revoke"))
	err := r.op.Confirm(r.ctx, r.run.ID, rotation.PhaseRevoked, "x", r.app.Name, nil)
	if err == nil || !strings.Contains(err.Error(), "do not revoke") {
		t.Errorf("confirmed while held: %v", err)
	}
	r.must(r.op.Resume(r.ctx, r.run.ID))
	r.revoke()
}

// Only a revoke that had not bitten begins the grace anew: a shop that is looked at
// once more costs no other hour.
func TestLookingAgainAtABrokenShopKeepsTheGrace(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 12, Seed: 5})
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("certified", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseProven && s.Certificate })
	checked := func() rotation.Snapshot {
		return r.until("checked", func(s rotation.Snapshot) bool { return s.Revocation.Done() })
	}
	r.confirm(rotation.PhaseRevoked) // too early
	early := checked()
	if early.Revocation.OldAlive != 12 {
		t.Fatalf("before the revoke: %+v", early.Revocation)
	}
	r.must(r.sim.Uninstall("shop-000003.myharavan.com"))
	r.revoke()
	bitten := checked()
	if bitten.Revocation.OldDead != 12 || bitten.Revocation.NewDead != 1 {
		t.Fatalf("after the revoke: %+v", bitten.Revocation)
	}
	if at := bitten.Attested[rotation.PhaseRevoked].At; !at.After(early.Attested[rotation.PhaseRevoked].At) {
		t.Errorf("the grace runs from %s, before the secret was revoked", at)
	}
	r.confirm(rotation.PhaseRevoked)
	if got, want := checked().Attested[rotation.PhaseRevoked], bitten.Attested[rotation.PhaseRevoked]; got != want {
		t.Errorf("looked at again, the revoke was said %+v, want %+v", got, want)
	}
}
