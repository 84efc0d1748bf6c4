package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// domain is the i-th shop of the fleet, from 1.
func (r *rig) domain(i int) string {
	r.t.Helper()
	for s := range r.sim.Shops {
		if i--; i == 0 {
			return s.Domain
		}
	}
	r.t.Fatal("the fleet is smaller")
	return ""
}

func (r *rig) item(domain string) store.ItemInfo {
	r.t.Helper()
	i, err := r.db.Item(r.ctx, r.run.ID, domain)
	r.must(err)
	return i
}

// finish scrubs and closes a migration whose shops are settled.
func (r *rig) finish() {
	r.t.Helper()
	r.confirm(rotation.PhaseScrubbed)
	r.confirm(rotation.PhaseClosed)
}

func TestWrongSecretVersionIsHeldAtOnce(t *testing.T) {
	t.Parallel()
	const shops = 300
	r := legacyRig(t, haravansim.Options{Shops: shops})
	wrong, err := r.sim.CreateSecret()
	r.must(err)
	_, err = r.db.AddSecret(r.ctx, storetest.Actor, r.app.ID, secret.New(wrong.Value))
	r.must(err)
	r.worker()
	r.sim.CreateTestApp()
	r.migrate(operate.MigrationOptions{CheckSample: -1, SecretVersion: 2})
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if snap.Counts.Parked != 0 || snap.Phase != rotation.PhaseDerived || !strings.Contains(snap.HeldWhy, "right version of the secret") {
		t.Errorf("held: %+v %s", snap.Counts, snap.HeldWhy)
	}
	// One shop in ten stores its password, which is right under any version:
	// the five that are asked first have none.
	if n := r.sim.Counts().IdentityCalls; n > 5 {
		t.Errorf("%d shops were asked", n)
	}
	r.must(r.op.Cancel(r.ctx, r.run.ID, r.app.Name))
	r.nothingDerived()
	r.migrate(operate.MigrationOptions{CheckSample: -1})
	snap = r.until("checked", checked)
	if snap.Migration.CheckAlive != shops || snap.Migration.SecretVersion != 1 {
		t.Errorf("with the right version: %+v", snap.Migration)
	}
}

// A password is right under any version of the secret, so that passwords which
// come first must not hide that the computed tokens are all refused.
func TestPasswordsDoNotHideAWrongSecretVersion(t *testing.T) {
	t.Parallel()
	const shops = 80
	r := legacyRig(t, haravansim.Options{Shops: shops})
	wrong, err := r.sim.CreateSecret()
	r.must(err)
	_, err = r.db.AddSecret(r.ctx, storetest.Actor, r.app.ID, secret.New(wrong.Value))
	r.must(err)
	// Positions follow ids: the shops that store a token come after the others.
	_, err = r.db.Pool.Exec(r.ctx, "delete from rotator.shops where legacy_kind = 'token'")
	r.must(err)
	for s := range r.sim.Shops {
		if s.LegacyToken != "" {
			r.list(shopfile.Row{Domain: s.Domain, LegacyToken: secret.New(s.LegacyToken)})
		}
	}
	r.worker()
	r.sim.CreateTestApp()
	r.migrate(operate.MigrationOptions{CheckSample: -1, SecretVersion: 2})
	r.until("derived", inPhase(rotation.PhaseDerived))
	snap := r.until("held", func(s rotation.Snapshot) bool { return s.Held == rotation.HeldWaiting || checked(s) })
	if snap.Held != rotation.HeldWaiting || snap.Counts.Parked != 0 || !strings.Contains(snap.HeldWhy, "right version of the secret") {
		t.Errorf("held %q: %+v %s", snap.Held, snap.Counts, snap.HeldWhy)
	}
	if n := r.sim.Counts().IdentityCalls; n > 5 {
		t.Errorf("%d shops were asked", n)
	}
	r.must(r.op.Cancel(r.ctx, r.run.ID, r.app.Name))
	r.migrate(operate.MigrationOptions{CheckSample: -1})
	if snap = r.until("checked", checked); snap.Migration.CheckAlive != shops {
		t.Errorf("with the right version: %+v", snap.Migration)
	}
}

// A password in the column of tokens, and the other way round, is a mistake that
// is seen by the check only; the list that mends it is believed.
func TestACredentialOfTheOtherKindIsDerivedAgain(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, haravansim.Options{Shops: 30})
	var token, password haravansim.Shop
	for s := range r.sim.Shops {
		if s.LegacyToken != "" {
			token = s
		} else {
			password = s
		}
	}
	r.list(shopfile.Row{Domain: token.Domain, LegacyPassword: secret.New(token.LegacyToken)},
		shopfile.Row{Domain: password.Domain, LegacyToken: secret.New(password.LegacyPassword)})
	r.worker()
	r.sim.CreateTestApp()
	r.migrate(operate.MigrationOptions{CheckSample: -1})
	if snap := r.until("checked", checked); snap.Counts.Parked != 2 {
		t.Fatalf("counts: %+v", snap.Counts)
	}
	r.list(shopfile.Row{Domain: token.Domain, LegacyToken: secret.New(token.LegacyToken)},
		shopfile.Row{Domain: password.Domain, LegacyPassword: secret.New(password.LegacyPassword)})
	_, err := r.op.Retry(r.ctx, r.run.ID, "", "")
	r.must(err)
	snap := r.until("looked at again", func(s rotation.Snapshot) bool { return checked(s) && s.Counts.Retrying == 0 && s.Counts.Claimed == 0 })
	if snap.Counts.Parked != 0 || snap.Migration.CheckAlive != 30 {
		t.Errorf("%+v %+v %s; %s", snap.Counts, snap.Migration, r.item(token.Domain).Detail, r.item(password.Domain).Detail)
	}
}

// A shop that is excluded after its derivation keeps no legacy credential: its
// derived token becomes its own at the cutover.
func TestAShopExcludedBeforeTheCutoverKeepsAToken(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, haravansim.Options{Shops: 12})
	r.worker()
	r.migrate(operate.MigrationOptions{CheckSample: 0})
	r.until("derived", inPhase(rotation.PhaseDerived))
	excluded := r.domain(7)
	r.must(r.db.Exclude(r.ctx, storetest.Actor, r.app.ID, excluded, "a dispute"))
	r.confirm(rotation.PhaseChecked)
	r.cutOver()
	r.until("settled", settled)
	r.finish()
	if n := r.derivedTokens(); n != 12 {
		t.Errorf("%d shops have their derived token", n)
	}
}

// nothingDerived checks that a cancelled migration left nothing.
func (r *rig) nothingDerived() {
	r.t.Helper()
	var n int
	r.must(r.db.Pool.QueryRow(r.ctx, `select (select count(*) from rotator.items where new_token is not null)
		+ (select count(*) from rotator.shops where derived_at is not null or derived_from is not null or access_token is not null)`).Scan(&n))
	if n != 0 {
		r.t.Errorf("%d traces of derived tokens are left", n)
	}
}

func TestPanelThatIsNotSwitchedIsHeldAtOnce(t *testing.T) {
	t.Parallel()
	const shops = 250
	r := legacyRig(t, haravansim.Options{Shops: shops})
	r.worker()
	r.migrate(operate.MigrationOptions{CheckSample: 0})
	r.until("derived", inPhase(rotation.PhaseDerived))
	r.confirm(rotation.PhaseChecked)
	r.confirm(rotation.PhaseCutover) // and forgot the panel
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if snap.Counts.Parked+snap.Counts.Proven != 0 || !strings.Contains(snap.HeldWhy, "switched") {
		t.Errorf("held: %+v %s", snap.Counts, snap.HeldWhy)
	}
	if n := r.sim.Counts().IdentityCalls; n > 10 {
		t.Errorf("%d calls were made", n)
	}
	r.sim.SwitchToOAuth()
	r.must(r.op.Resume(r.ctx, r.run.ID))
	snap = r.until("settled", settled)
	if snap.Counts.Proven != shops {
		t.Errorf("counts: %+v", snap.Counts)
	}
	r.finish()
	r.derivedTokens()
}

func TestMalformedLegacyTokensAreParkedAndMended(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, haravansim.Options{Shops: 30})
	good := map[string]string{}
	for s := range r.sim.Shops {
		good[s.Domain] = s.LegacyToken
	}
	bad := map[string]struct{ value, says string }{
		r.domain(1): {"tok\u00e9n", "beyond ASCII"}, r.domain(2): {"to ken", "white space"}, r.domain(3): {"token\n", "white space"},
		r.domain(4): {"tok\x00en", "NUL"}, r.domain(5): {"\u200btoken", "beyond ASCII"},
	}
	for domain, b := range bad {
		r.list(shopfile.Row{Domain: domain, LegacyToken: secret.New(b.value)})
	}
	r.worker()
	r.sim.CreateTestApp()
	r.migrate(operate.MigrationOptions{CheckSample: -1})
	snap := r.until("checked", checked)
	if snap.Counts.Parked != len(bad) {
		t.Errorf("counts: %+v", snap.Counts)
	}
	for domain, b := range bad {
		if i := r.item(domain); i.State != rotation.ItemParked || !strings.Contains(i.Detail, b.says) || strings.Contains(i.Detail, "tok") && strings.Contains(i.Detail, b.value) {
			t.Errorf("%q: %+v", b.value, i)
		}
		r.list(shopfile.Row{Domain: domain, LegacyToken: secret.New(good[domain])})
		_, err := r.op.Retry(r.ctx, r.run.ID, "", domain)
		r.must(err)
	}
	snap = r.until("mended", func(s rotation.Snapshot) bool { return checked(s) && s.Counts.Exchanged == 30 })
	if snap.Migration.CheckAlive != 30 || snap.Counts.Exchanged != 30 {
		t.Errorf("mended: %+v %+v", snap.Migration, snap.Counts)
	}
}

// What happens to shops between their derivation and the cutover.
func TestShopsThatChangeBeforeTheCutover(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, haravansim.Options{Shops: 40})
	installed, replaced, frozen, excluded, late, later := r.domain(1), r.domain(2), r.domain(3), r.domain(4), r.domain(5), r.domain(6)
	legacy := map[string]haravansim.Shop{}
	for s := range r.sim.Shops {
		legacy[s.Domain] = s
	}
	r.must(r.db.Exclude(r.ctx, storetest.Actor, r.app.ID, excluded, "not ours"))
	// Derived from a wrong value first; and two shops are not stored yet.
	r.list(shopfile.Row{Domain: replaced, LegacyToken: secret.New("an-old-value")})
	_, err := r.db.Pool.Exec(r.ctx, "delete from rotator.shops where domain in ($1, $2)", late, later)
	r.must(err)
	r.worker()
	r.migrate(operate.MigrationOptions{CheckSample: 0})
	snap := r.until("derived", inPhase(rotation.PhaseDerived))
	if snap.Counts.Total != 38 || snap.Counts.Skipped != 1 {
		t.Errorf("derived: %+v", snap.Counts)
	}
	r.list(
		shopfile.Row{Domain: replaced, LegacyToken: secret.New(legacy[replaced].LegacyToken)},
		shopfile.Row{Domain: late, LegacyToken: secret.New(legacy[late].LegacyToken)},
	)
	r.must(r.db.Exclude(r.ctx, storetest.Actor, r.app.ID, excluded, ""))
	r.until("swept", func(s rotation.Snapshot) bool { return s.Counts.Exchanged == 39 && s.LateInstalls == 0 })
	r.confirm(rotation.PhaseChecked)
	code, err := r.sim.InstallShop(installed)
	r.must(err)
	token, err := r.installUnder(installed, code, r.sim.Secrets()[0].Value)
	r.must(err)
	r.list(shopfile.Row{Domain: installed, AccessToken: secret.New(token)})
	r.must(r.sim.Freeze(frozen))
	r.cutOver()
	snap = r.until("settled", settled)
	if snap.Counts.Proven != 37 || snap.Counts.Skipped != 2 {
		t.Errorf("settled: %+v", snap.Counts)
	}
	r.list(shopfile.Row{Domain: later, LegacyToken: secret.New(legacy[later].LegacyToken)})
	r.until("swept after the cutover", func(s rotation.Snapshot) bool { return settled(s) && s.Counts.Proven == 38 })
	if got, err := r.db.ShopToken(r.ctx, r.app.ID, installed); err != nil || got.Reveal() != token {
		t.Errorf("the install's token was overwritten: %v", err)
	}
	if i := r.item(installed); i.State != rotation.ItemSkipped || !strings.Contains(i.Detail, "OAuth token already") {
		t.Errorf("installed: %+v", i)
	}
	if i := r.item(frozen); i.State != rotation.ItemSkipped || i.Class != rotation.ClassFrozen {
		t.Errorf("frozen: %+v", i)
	}
	r.finish()
	r.must(r.sim.Thaw(frozen))
	for _, d := range []string{replaced, frozen, excluded, late, later} {
		token, err := r.db.ShopToken(r.ctx, r.app.ID, d)
		if err != nil || !r.sim.TokenAlive(d, token.Reveal()) {
			t.Errorf("%s has no working token after the scrub: %v", d, err)
		}
	}
	r.derivedTokens()
}

func TestScopeErrorsCountAsAlive(t *testing.T) {
	t.Parallel()
	const shops = 30
	r := legacyRig(t, haravansim.Options{Shops: shops, Knobs: haravansim.Knobs{IdentityScope: "read_shop"}})
	r.worker()
	r.sim.CreateTestApp()
	r.migrate(operate.MigrationOptions{CheckSample: 7})
	snap := r.until("checked", checked)
	if m := snap.Migration; m.CheckAlive != m.CheckPlanned || m.CheckPlanned < 7 || m.CheckPlanned > 8 {
		t.Errorf("check: %+v", m)
	}
	r.confirm(rotation.PhaseChecked)
	r.cutOver()
	if snap = r.until("settled", settled); snap.Counts.Proven != shops {
		t.Errorf("settled: %+v", snap.Counts)
	}
}

func TestPausedDerivingStopsAndGoesOn(t *testing.T) {
	t.Parallel()
	const shops = 1000
	r := legacyRig(t, haravansim.Options{Shops: shops})
	r.migrate(operate.MigrationOptions{CheckSample: 0, BatchSize: 10})
	r.must(r.op.Pause(r.ctx, r.run.ID, "lunch"))
	r.worker()
	snap := r.until("walked", func(s rotation.Snapshot) bool { return s.WalkDone })
	if snap.Counts.Pending != shops {
		t.Errorf("derived while paused: %+v", snap.Counts)
	}
	r.must(r.op.Resume(r.ctx, r.run.ID))
	r.until("midway", func(s rotation.Snapshot) bool { return s.Counts.Exchanged > 0 })
	r.must(r.op.Pause(r.ctx, r.run.ID, "tea"))
	r.must(r.op.Resume(r.ctx, r.run.ID))
	if snap = r.until("derived", inPhase(rotation.PhaseDerived)); snap.Counts.Exchanged != shops {
		t.Errorf("counts: %+v", snap.Counts)
	}
	r.must(r.op.Cancel(r.ctx, r.run.ID, r.app.Name))
	r.nothingDerived()
}

// A worker is killed while it derives, while it checks and while it proves.
func TestKilledMigratingWorkerLosesNothing(t *testing.T) {
	t.Parallel()
	const shops = 1500
	r := legacyRig(t, slow(shops))
	r.sim.CreateTestApp()
	for _, in := range []struct {
		what   string
		before func()
		midway func(rotation.Snapshot) bool
		done   func(rotation.Snapshot) bool
	}{
		{
			"deriving", func() { r.migrate(operate.MigrationOptions{CheckSample: -1, BatchSize: 5}) },
			func(s rotation.Snapshot) bool { return s.Counts.Exchanged > 20 },
			inPhase(rotation.PhaseDerived),
		},
		{
			"checking", func() {},
			func(s rotation.Snapshot) bool { return s.Migration.CheckDone > 0 },
			checked,
		},
		{
			"proving", func() { r.confirm(rotation.PhaseChecked); r.cutOver() },
			midway(shops),
			settled,
		},
	} {
		worker := r.process()
		in.before()
		snap := r.until("midway in "+in.what, in.midway)
		r.must(worker.Process.Kill())
		_ = worker.Wait()
		t.Logf("killed while %s: %+v %+v", in.what, snap.Counts, snap.Migration)
		after := r.process()
		r.until(in.what, in.done)
		r.must(after.Process.Kill())
		_ = after.Wait()
	}
	snap := r.until("settled", settled)
	if snap.Counts.Proven != shops {
		t.Errorf("counts: %+v", snap.Counts)
	}
	r.finish()
	if n := r.derivedTokens(); n != shops {
		t.Errorf("%d shops", n)
	}
	if n := r.swaps(); n != shops {
		t.Errorf("%d swaps of %d shops", n, shops)
	}
}

func TestPostgresGoneWhileDeriving(t *testing.T) {
	t.Parallel()
	const shops = 2000
	cluster, db := mortal(t)
	r := legacyRigOn(t, db, haravansim.Options{Shops: shops})
	r.worker()
	r.sim.CreateTestApp()
	r.migrate(operate.MigrationOptions{CheckSample: 20, BatchSize: 5})
	r.until("midway", func(s rotation.Snapshot) bool { return s.Counts.Exchanged > 50 })
	r.must(cluster.Kill())
	<-time.After(3 * time.Second)
	r.must(cluster.StartServer(r.ctx))
	snap := r.until("checked", checked)
	if snap.Counts.Exchanged != shops || snap.Migration.CheckAlive != snap.Migration.CheckPlanned {
		t.Errorf("after the restart: %+v %+v", snap.Counts, snap.Migration)
	}
}

// What a check is told to wait is kept, by whoever looks for what waits too long.
func TestAShopThatDelaysTheCheckOfItsDerivedTokenIsLeftAlone(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, haravansim.Options{Shops: 20, Knobs: haravansim.Knobs{RetryAfter: 9 * time.Minute}})
	domain := r.domain(11)
	r.must(r.sim.Script(domain, haravansim.OpIdentity, haravansim.FaultThrottle))
	r.worker()
	r.sim.CreateTestApp()
	r.migrate(operate.MigrationOptions{CheckSample: -1})
	r.until("all others checked", func(s rotation.Snapshot) bool { return s.Migration.CheckDone == 19 })
	run, err := r.db.Store.Run(r.ctx, r.run.ID)
	r.must(err)
	r.must(r.engine(false, nil).RepairAsSeen(r.ctx, run))
	if at := r.item(domain).NextAttemptAt; at == nil || time.Until(*at) < 5*time.Minute {
		t.Errorf("it is asked again at %v", at)
	}
}
