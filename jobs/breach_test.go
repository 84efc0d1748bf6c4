package jobs_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// breach opens a breach run; the old secret dies, and a refresh token is due.
func (r *rig) breach(opt operate.StartOptions) {
	r.t.Helper()
	if opt.Breach == nil {
		opt.Breach = &operate.BreachOptions{}
	}
	opt.Breach.Confirmed = r.app.Name
	var err error
	r.run, err = r.op.Start(r.ctx, r.app, opt)
	r.must(err)
	_, err = r.sim.RevokeSecret(1)
	r.must(err)
	r.confirm(rotation.PhaseContained)
	r.confirm(rotation.PhaseOAuthSwitched)
}

// rank gives the fleet's shops priorities: the last tenth 9, the tenth before it
// 5, all others 0.
func (r *rig) rank(shops int) {
	r.t.Helper()
	_, err := r.db.Pool.Exec(r.ctx, `update rotator.shops set priority = case
		when id > (select max(id) from rotator.shops) - $1 / 10 then 9
		when id > (select max(id) from rotator.shops) - $1 / 5 then 5 else 0 end`, shops)
	r.must(err)
}

// everybodyIsBack checks by the platform's own books that every installed shop
// was down and came back, the important ones first, and returns how long each
// was down.
func (r *rig) everybodyIsBack() []time.Duration {
	r.t.Helper()
	var all []time.Duration
	last := map[int]time.Duration{}
	for _, d := range r.sim.Downtimes() {
		if !d.Back || d.Down <= 0 {
			r.t.Errorf("%s: %+v", d.Domain, d)
		}
		shop, err := r.db.Shop(r.ctx, r.app.ID, d.Domain)
		r.must(err)
		last[shop.Priority] = max(last[shop.Priority], d.Down)
		all = append(all, d.Down)
	}
	// Whoever failed at first comes later: the middle of a tier tells its order.
	mid := map[int]time.Duration{}
	for _, p := range []int{9, 5, 0} {
		var of []time.Duration
		for _, d := range r.sim.Downtimes() {
			if shop, err := r.db.Shop(r.ctx, r.app.ID, d.Domain); err == nil && shop.Priority == p {
				of = append(of, d.Down)
			}
		}
		slices.Sort(of)
		mid[p] = of[len(of)/2]
	}
	r.t.Logf("half of the tiers were back after %v, all after %v", mid, last)
	if mid[9] >= mid[5] || mid[5] >= mid[0] {
		r.t.Errorf("half of the tiers were back after %v, all after %v", mid, last)
	}
	slices.Sort(all)
	return all
}

// finishBreach takes a proven breach run to its end.
func (r *rig) finishBreach() {
	r.t.Helper()
	snap := r.until("checked", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseRevoked && s.Revocation.Done() })
	if snap.Revocation.OldAlive+snap.Revocation.NewDead != 0 || snap.Revocation.OldDead == 0 {
		r.t.Errorf("after the exchange: %+v", snap.Revocation)
	}
	r.confirm(rotation.PhaseWebhooksSingle)
	r.confirm(rotation.PhaseClosed)
	if m := r.sim.Misuse(); len(m) > 0 {
		r.t.Errorf("misuse: %v", m)
	}
}

func TestABreachBringsEveryShopBackInOrder(t *testing.T) {
	t.Parallel()
	const shops = 600
	o := slow(shops)
	o.Seed, o.Faults = 3, haravansim.Hostile()
	r := newRig(t, o)
	r.rank(shops)
	r.worker()
	r.breach(operate.StartOptions{InFlight: 16})
	r.until("walked", func(s rotation.Snapshot) bool { return s.WalkDone })
	for s := range r.sim.Shops {
		if r.sim.TokenAlive(s.Domain, s.AccessToken) {
			t.Fatalf("%s has a token after the revoke", s.Domain)
		}
	}
	r.arm()
	r.until("in the check", inPhase(rotation.PhaseRevoked))
	r.everybodyIsBack()
	r.finishBreach()
	r.tokens()
}

func TestAKilledWorkerInABreachLosesNothing(t *testing.T) {
	t.Parallel()
	const shops = 1000
	r := newRig(t, slow(shops))
	r.rank(shops)
	first := r.process()
	r.breach(operate.StartOptions{BatchSize: 100, InFlight: 24})
	r.arm()
	r.until("midway", midway(shops))
	r.must(first.Process.Kill())
	_ = first.Wait()
	r.process()
	r.until("in the check", inPhase(rotation.PhaseRevoked))
	r.finishBreach()
	if n := r.tokens(); n != shops {
		t.Errorf("%d of %d shops are proven", n, shops)
	}
	for _, d := range r.sim.Downtimes() {
		if !d.Back {
			t.Errorf("%s is still down", d.Domain)
		}
	}
}

// A wrong secret is seen within the canary, whatever the platform says of it:
// with every stored token dead, a 401 without words could be a shop's own too.
func TestAWrongSecretInABreachIsHeldAtTheCanaryAndReplaced(t *testing.T) {
	t.Parallel()
	for name, answer := range map[string]haravansim.Reply{
		"in words":      {},
		"a bare 401":    {Status: 401, Body: `{"errors":"[API] Invalid API key or access token"}`},
		"a bare 403":    {Status: 403, Body: `{"errors":"Forbidden"}`},
		"not found":     {Status: 404, Body: `{"errors":"Not Found"}`},
		"an empty page": {Status: 401, Body: "<html></html>"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, haravansim.Options{Shops: 200, Knobs: haravansim.Knobs{RevokedSecret: answer, MaxLiveSecrets: 3}})
			if _, err := r.sim.RevokeSecret(2); err != nil { // what is stored is not the app's
				t.Fatal(err)
			}
			r.worker()
			r.breach(operate.StartOptions{})
			r.arm()
			snap := r.until("held", func(s rotation.Snapshot) bool { return s.Held != rotation.HeldNot })
			if c := r.sim.Counts(); c.Exchanges > 60 || c.Minted > 0 || snap.Counts.Skipped+snap.Counts.Parked > 0 {
				t.Errorf("%d exchanges, %d minted, %+v until held (%s)", c.Exchanges, c.Minted, snap.Counts, snap.HeldWhy)
			}
			if err := r.op.Cancel(r.ctx, r.run.ID, r.app.Name); err == nil || !strings.Contains(err.Error(), "200 shops are without a working token") {
				t.Errorf("cancel: %v", err)
			}
			if next := rotation.Next(snap); next.Command != "rotator rotation use-secret --confirm demo" || !strings.Contains(next.Why, "use-secret") {
				t.Errorf("next: %+v", next)
			}
			right, err := r.sim.CreateSecret()
			r.must(err)
			_, err = r.db.AddSecret(r.ctx, storetest.Actor, r.app.ID, secret.New(right.Value))
			r.must(err)
			r.must(r.op.UseSecret(r.ctx, r.run.ID, r.app.Name, func(time.Duration) {}))
			snap, _, err = r.db.Snapshot(r.ctx, r.run.ID, store.Counted)
			r.must(err)
			if next := rotation.Next(snap); next.Command != "rotator rotation resume" {
				t.Errorf("next after use-secret: %+v", next)
			}
			r.must(r.op.Resume(r.ctx, r.run.ID))
			snap = r.until("in the check", inPhase(rotation.PhaseRevoked))
			if snap.Counts.Proven != 200 {
				t.Errorf("counts: %+v", snap.Counts)
			}
			r.finishBreach()
		})
	}
}

// Shops that are gone are skipped on the exchange's own word, wherever they are
// in the order; one that is refused without a reason is left to a person, and
// stops nobody.
func TestDeadShopsInABreach(t *testing.T) {
	t.Parallel()
	const bare = `{"errors":"[API] Invalid API key or access token"}`
	for name, tt := range map[string]struct {
		knobs         haravansim.Knobs
		skipped, park int
	}{
		"told":    {haravansim.Knobs{}, 40, 0},
		"unclear": {haravansim.Knobs{UninstalledShop: haravansim.Reply{Status: 401, Body: bare}}, 0, 40},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, haravansim.Options{Shops: 400, Knobs: tt.knobs})
			n := 0
			for s := range r.sim.Shops {
				if n++; n > 100 && n <= 140 {
					r.must(r.sim.Uninstall(s.Domain))
				}
			}
			r.worker()
			r.breach(operate.StartOptions{InFlight: 8})
			r.arm()
			snap := r.until("all tried", func(s rotation.Snapshot) bool {
				return s.WalkDone && s.Counts.Open() == 0 || s.Held != rotation.HeldNot
			})
			if snap.Held != rotation.HeldNot || snap.Counts.Skipped != tt.skipped || snap.Counts.Parked != tt.park || snap.Counts.Proven != 360 {
				t.Errorf("held %q (%s), counts %+v", snap.Held, snap.HeldWhy, snap.Counts)
			}
		})
	}
}

func TestTheWindowOfABreachDiesMidway(t *testing.T) {
	t.Parallel()
	const shops = 1200
	r := newRig(t, haravansim.Options{Shops: shops, Latency: 20 * time.Millisecond, Jitter: 20 * time.Millisecond})
	r.rank(shops)
	r.worker()
	r.breach(operate.StartOptions{InFlight: 8})
	r.arm()
	r.until("midway", midway(shops))
	_, err := r.db.Pool.Exec(r.ctx, "update rotator.refresh_tokens set expires_at = now()")
	r.must(err)
	first := r.until("held", isHeld(rotation.HeldWindowExpired))
	if first.Counts.Proven == 0 || first.Counts.Open() == 0 {
		t.Fatalf("the window was to end in the middle: %+v", first.Counts)
	}
	r.must(r.op.Tune(r.ctx, r.run.ID, 64))
	r.arm()
	r.until("in the check", inPhase(rotation.PhaseRevoked))
	if most := r.sim.Counts().MostMinted; most != 1 {
		t.Errorf("a shop was exchanged %d times", most)
	}
	r.everybodyIsBack()
	r.finishBreach()
}

// The outage that is said before anything happens is the one that comes.
func TestTheExpectedOutageIsTheRealOne(t *testing.T) {
	t.Parallel()
	const shops, inflight = 300, 16
	const latency = 250 * time.Millisecond // what a busy machine adds must be little beside it
	r := newRig(t, haravansim.Options{Shops: shops, Latency: latency})
	r.rank(shops)
	tiers, err := r.db.Tiers(r.ctx, r.app.ID)
	r.must(err)
	expected := rotation.ExpectOutage(rotation.OutageLoad{
		Tiers: tiers, Latency: latency, InFlight: inflight, Waves: rotation.DefaultBreachWaves,
	})
	r.worker()
	r.run, err = r.op.Start(r.ctx, r.app, operate.StartOptions{
		InFlight: inflight, Breach: &operate.BreachOptions{Confirmed: r.app.Name, Outage: expected},
	})
	r.must(err)
	r.until("walked", func(s rotation.Snapshot) bool { return s.WalkDone })
	_, err = r.sim.RevokeSecret(1)
	r.must(err)
	r.confirm(rotation.PhaseContained)
	r.confirm(rotation.PhaseOAuthSwitched)
	r.arm()
	r.until("in the check", inPhase(rotation.PhaseRevoked))
	down := r.everybodyIsBack()
	kept, err := r.db.Store.Run(r.ctx, r.run.ID)
	r.must(err)
	if kept.Settings.Outage == nil || kept.Settings.Outage.LastSeconds != expected.LastSeconds {
		t.Errorf("the run keeps %+v", kept.Settings.Outage)
	}
	half, last := down[len(down)/2].Seconds(), down[len(down)-1].Seconds()
	t.Logf("expected: first %gs, half %gs, last %gs; real: first %.1fs, half %.1fs, last %.1fs",
		expected.FirstSeconds, expected.HalfSeconds, expected.LastSeconds, down[0].Seconds(), half, last)
	// The machine may be busy, so only the lower side is narrow.
	for what, pair := range map[string][2]float64{"half": {expected.HalfSeconds, half}, "last": {expected.LastSeconds, last}} {
		if pair[1] < pair[0]*0.75 || pair[1] > pair[0]*3+20 {
			t.Errorf("%s of the shops were back after %.1f s, %.1f s were expected", what, pair[1], pair[0])
		}
	}
}

// A run that was not confirmed by name is not begun.
func TestABreachIsConfirmedByName(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 3})
	_, err := r.op.Start(r.ctx, r.app, operate.StartOptions{Breach: &operate.BreachOptions{Confirmed: "another"}})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("--confirm %s", r.app.Name)) {
		t.Errorf("start: %v", err)
	}
	runs, err := r.db.Runs(context.Background(), r.app.ID)
	if err != nil || len(runs) != 0 {
		t.Errorf("runs: %+v, %v", runs, err)
	}
}
