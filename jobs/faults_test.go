package jobs_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// armWith stores a refresh token of the test's choosing.
func (r *rig) armWith(value string, age time.Duration) {
	r.t.Helper()
	_, err := r.op.Arm(r.ctx, r.run.ID, secret.New(value), age, false)
	r.must(err)
}

func TestWrongRefreshTokenHoldsWithinTheCanary(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 300})
	r.worker()
	r.start(operate.StartOptions{})
	r.armWith("not-a-refresh-token", 0)
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if !strings.Contains(snap.HeldWhy, "refresh token") || !snap.Window.Refused {
		t.Errorf("held without words about the refresh token: %q", snap.HeldWhy)
	}
	if n := r.sim.Counts().Exchanges; n > 12 {
		t.Errorf("%d exchanges were tried before the run was held", n)
	}
	if next := rotation.Next(snap); next.Command != "rotator rotation arm" {
		t.Errorf("next: %+v", next)
	}
	// The right one continues the same run.
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
}

// A canary of one has no other shop to tell whose fault it is.
func TestWrongRefreshTokenHoldsACanaryOfOne(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 40})
	r.worker()
	r.start(operate.StartOptions{Waves: &rotation.WavePolicy{Canary: 1, Budget: 0.25}})
	r.armWith("not-a-refresh-token", 0)
	snap := r.until("held", func(s rotation.Snapshot) bool { return s.Held != rotation.HeldNot })
	if snap.Held != rotation.HeldWaiting || !snap.Window.Refused || snap.Counts.Parked != 0 {
		t.Errorf("held %q, counts %+v: %s", snap.Held, snap.Counts, snap.HeldWhy)
	}
	if n := r.sim.Counts().Exchanges; n > 4 {
		t.Errorf("%d exchanges were tried before the run was held", n)
	}
	if next := rotation.Next(snap); next.Command != "rotator rotation arm" {
		t.Errorf("next: %+v", next)
	}
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
}

// The last shop has no other any more: without it the run would look at work for
// as long as the shop is tried.
func TestARefreshTokenThatDiesBeforeTheLastShopHoldsTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 30})
	last := r.domains()[20]
	r.must(r.sim.Script(last, haravansim.OpExchange, slices.Repeat([]haravansim.Fault{haravansim.FaultServerText}, 4)...))
	r.worker()
	r.start(operate.StartOptions{})
	token := r.sim.CreateRefreshToken().Value
	r.armWith(token, 0)
	r.until("one is left", func(s rotation.Snapshot) bool { return s.Counts.Proven == 29 && s.Counts.Retrying == 1 })
	r.must(r.sim.RevokeRefreshToken(token))
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if !snap.Window.Refused || snap.Counts.Open() != 1 || !strings.Contains(snap.HeldWhy, "waive "+last) {
		t.Errorf("counts %+v, refused %t: %s", snap.Counts, snap.Window.Refused, snap.HeldWhy)
	}
	if next := rotation.Next(snap); next.Command != "rotator rotation arm" {
		t.Errorf("next: %+v", next)
	}
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
}

func TestWrongNewSecretHoldsWithinTheCanary(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 300})
	if _, err := r.sim.RevokeSecret(2); err != nil { // what is stored is not (any more) the app's
		t.Fatal(err)
	}
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if n := r.sim.Counts().Exchanges; n > 12 {
		t.Errorf("%d exchanges were tried before the run was held (%s)", n, snap.HeldWhy)
	}
	if !strings.Contains(snap.HeldWhy, "credentials") {
		t.Errorf("held without words about the credentials: %q", snap.HeldWhy)
	}
	if next := rotation.Next(snap); next.Command != "rotator rotation cancel --confirm demo" || !strings.Contains(next.Why, "rotator secret discard 2 --confirm demo") {
		t.Errorf("next: %+v", next)
	}
	// The way out: give up the run and the secret, enter the right one.
	r.must(r.op.Cancel(r.ctx, r.run.ID, r.app.Name))
	r.must(r.db.DiscardSecret(r.ctx, storetest.Actor, r.app, 2))
	right, err := r.sim.CreateSecret()
	r.must(err)
	_, err = r.db.AddSecret(r.ctx, storetest.Actor, r.app.ID, secret.New(right.Value))
	r.must(err)
	r.start(operate.StartOptions{})
	r.arm()
	snap = r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Counts.Proven != 300 {
		t.Errorf("counts: %+v", snap.Counts)
	}
}

func TestUnreachableHostsHold(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 300})
	if err := r.sim.SetFaults(haravansim.Faults{Rates: map[haravansim.Fault]float64{haravansim.FaultReset: 1}}); err != nil {
		t.Fatal(err)
	}
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	snap := r.until("held", isHeld(rotation.HeldBreakerOpen))
	if n := r.sim.Counts().Exchanges; n > 60 {
		t.Errorf("%d exchanges were tried before the run was held (%s)", n, snap.HeldWhy)
	}
	// Mended: resume ends it.
	if err := r.sim.SetFaults(haravansim.Faults{}); err != nil {
		t.Fatal(err)
	}
	if err := r.op.Resume(r.ctx, r.run.ID); err != nil {
		t.Fatal(err)
	}
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
}

func TestLostAnswersAreExchangedAgain(t *testing.T) {
	t.Parallel()
	for name, same := range map[string]bool{"repeats make a new token": false, "repeats return the same": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, haravansim.Options{
				Shops: 200, Knobs: haravansim.Knobs{RepeatReturnsSame: same},
				Faults: haravansim.Faults{Rates: map[haravansim.Fault]float64{haravansim.FaultLostReset: 0.3}},
			})
			r.worker()
			r.start(operate.StartOptions{})
			r.arm()
			r.until("proven", inPhase(rotation.PhaseProven))
			if n := r.tokens(); n != 200 {
				t.Errorf("%d of 200 shops are proven", n)
			}
		})
	}
}

func TestOneBadShopIsSetAsideAlone(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 100})
	domains := []string{}
	for s := range r.sim.Shops {
		domains = append(domains, s.Domain)
	}
	for i, spoil := range []func(string) error{
		r.sim.Uninstall, r.sim.Freeze,
		func(d string) error { return r.sim.AnswerAs(d, domains[50]) },
	} {
		if err := spoil(domains[10+i]); err != nil {
			t.Fatal(err)
		}
	}
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	snap := r.until("97 proven", func(s rotation.Snapshot) bool { return s.Counts.Proven == 97 && s.Counts.Open() == 0 })
	if snap.Counts.Skipped != 2 || snap.Counts.Parked != 1 || snap.Phase != rotation.PhaseExchanging {
		t.Errorf("counts: %+v in %s", snap.Counts, snap.Phase)
	}
	parked, err := r.db.Item(r.ctx, r.run.ID, domains[12])
	if err != nil || parked.Class != rotation.ClassWrongShop {
		t.Errorf("the shop that answers for another: %+v, %v", parked, err)
	}
	if err := r.op.Waive(r.ctx, r.run.ID, domains[12], "its domain moved"); err != nil {
		t.Fatal(err)
	}
	r.until("proven", inPhase(rotation.PhaseProven))
}

func TestWindowEndsAndASecondTokenContinues(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 2000, Latency: 20 * time.Millisecond, Jitter: 20 * time.Millisecond})
	r.worker()
	r.start(operate.StartOptions{InFlight: 8})
	// Made long ago: a few seconds of its hour are left, less the margin.
	_, err := r.op.Arm(r.ctx, r.run.ID, secret.New(r.sim.CreateRefreshToken().Value), time.Hour-9*time.Second, true)
	r.must(err)
	first := r.until("held", isHeld(rotation.HeldWindowExpired))
	if first.Counts.Proven == 0 || first.Counts.Open() == 0 {
		t.Fatalf("the window was to end in the middle: %+v", first.Counts)
	}
	// What there was no time for was not taken again and again.
	var taken, batches int
	r.must(r.db.Pool.QueryRow(r.ctx, "select sum(fence), count(*) from rotator.batches where run_id = $1", r.run.ID).Scan(&taken, &batches))
	if taken > 2*batches {
		t.Errorf("%d batches were taken %d times", batches, taken)
	}
	minted := r.sim.Counts().Minted
	if minted > first.Counts.Proven+first.Counts.Exchanged {
		t.Errorf("%d tokens were minted for %d shops", minted, first.Counts.Proven)
	}
	if err := r.op.Tune(r.ctx, r.run.ID, 64); err != nil {
		t.Fatal(err)
	}
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	if most := r.sim.Counts().MostMinted; most != 1 {
		t.Errorf("a shop was exchanged %d times", most)
	}
	r.tokens()
}

func TestPauseIsSeenInsideABatchAndResumeGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 1500, Latency: 10 * time.Millisecond, Jitter: 20 * time.Millisecond})
	r.worker()
	r.start(operate.StartOptions{InFlight: 8})
	r.arm()
	r.until("under way", func(s rotation.Snapshot) bool { return s.Counts.Proven > 50 })
	if err := r.op.Pause(r.ctx, r.run.ID, "lunch"); err != nil {
		t.Fatal(err)
	}
	quiet := r.until("quiet", func(s rotation.Snapshot) bool { return s.Counts.Claimed == 0 })
	if quiet.Counts.Pending == 0 {
		t.Fatalf("nothing was left to pause: %+v", quiet.Counts)
	}
	calls := r.sim.Counts().Exchanges
	r.until("two looks", func(s rotation.Snapshot) bool { return s.Now.Sub(quiet.Now) > time.Second })
	if now := r.sim.Counts().Exchanges; now != calls {
		t.Errorf("%d exchanges while paused", now-calls)
	}
	if err := r.op.Tune(r.ctx, r.run.ID, 64); err != nil {
		t.Fatal(err)
	}
	if err := r.op.Resume(r.ctx, r.run.ID); err != nil {
		t.Fatal(err)
	}
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
}

func TestLateInstallsAreSwept(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 300, Latency: 20 * time.Millisecond})
	r.worker()
	r.start(operate.StartOptions{InFlight: 8})
	r.until("walked", func(s rotation.Snapshot) bool { return s.WalkDone })
	late := "came-late.myharavan.com"
	code, err := r.sim.InstallShop(late)
	r.must(err)
	token, err := r.installUnder(late, code, r.sim.Secrets()[0].Value)
	r.must(err)
	r.db.Import(t, r.app, func(yield func(string, string) bool) { yield(late, token) })
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	if n := r.tokens(); n != 301 {
		t.Errorf("%d shops are proven", n)
	}
}
