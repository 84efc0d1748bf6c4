package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestWhatAMigrationMakesOfEachShop(t *testing.T) {
	t.Parallel()
	r := newMigration(t,
		legacyRow("token.myharavan.com", "t"),
		shopfile.Row{Domain: "password.myharavan.com", LegacyPassword: secret.New("p")},
		shopfile.Row{Domain: "both.myharavan.com", AccessToken: secret.New("a"), LegacyToken: secret.New("b")},
		row(2, "oauth.myharavan.com", "o"),
		shopfile.Row{Domain: "out.myharavan.com", LegacyToken: secret.New("x"), ExcludedReason: "closed"},
		shopfile.Row{Domain: "none.myharavan.com", ExcludedReason: "closed"},
	)
	exec(t, r.DB, "update rotator.shops set excluded_at = null, excluded_reason = null where domain = 'none.myharavan.com'")
	got, err := r.Legacy(t.Context(), r.app.ID)
	want := store.Legacy{Shops: 6, Tokens: 3, Passwords: 1, WithOAuth: 2, Neither: 1, Excluded: 1, Underived: 2}
	if err != nil || got != want {
		t.Errorf("legacy: %+v, %v", got, err)
	}
	r.walk(t)
	shops := map[string]string{}
	if err := r.MigrationShops(t.Context(), r.run.ID, func(s store.MigrationShop) error {
		shops[strings.TrimSuffix(s.Domain, ".myharavan.com")] = fmt.Sprint(s.State, " ", s.Kind, " ", s.Detail)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(map[string]string{
		"token":    "pending token ",
		"password": "pending password ",
		"both":     "skipped token has an OAuth token already; its legacy credential is scrubbed with the others",
		"oauth":    "skipped  has an OAuth token already",
		"out":      "skipped token excluded: closed",
		"none":     "skipped  no legacy token is stored",
	}, shops); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
	var last store.MigrationShop
	stop := errors.New("enough")
	if err := r.MigrationShops(t.Context(), r.run.ID, func(s store.MigrationShop) error { last = s; return stop }); !errors.Is(err, stop) || last.Position != 1 {
		t.Errorf("a visit that fails: %v after %+v", err, last)
	}
}

func TestDerivingIsFenced(t *testing.T) {
	t.Parallel()
	r := newMigration(t, legacyFleet(10)...)
	r.walk(t)
	g := r.release(t, 1)[0]
	slow := r.take(t, g)
	late := r.derivations(t, slow)
	fast := r.take(t, g) // the same grant, as two workers may have it
	if err := r.WriteDerived(t.Context(), slow, late); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a superseded lease: %v", err)
	}
	if s := r.snapshot(t, store.Counted); s.Counts.Pending != 10 {
		t.Errorf("it wrote: %+v", s.Counts)
	}
	r.deriveBatch(t, fast)
	if _, err := r.HoldBatch(t.Context(), g, r.worker); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a derived batch is not settled: %v", err)
	}
	before := rows(t, r.DB, "items", "shops")
	if err := r.WriteDerived(t.Context(), fast, late); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a settled batch: %v", err)
	}
	if diff := cmp.Diff(before, rows(t, r.DB, "items", "shops")); diff != "" {
		t.Errorf("deriving again changed something:\n%s", diff)
	}
}

func TestAHeldOrCancelledRunIsNotDerived(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(context.Context, *rig, *store.Tx) error{
		"paused": func(ctx context.Context, r *rig, tx *store.Tx) error {
			_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, rotation.HeldPaused, "test")
			return err
		},
		"cancelled": func(ctx context.Context, r *rig, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newMigration(t, legacyFleet(10)...)
			r.walk(t)
			l := r.take(t, r.release(t, 1)[0])
			done := r.derivations(t, l)
			r.reread(t)
			r.tx(t, func(ctx context.Context, tx *store.Tx) error { return stop(ctx, r, tx) })
			if err := r.WriteDerived(t.Context(), l, done); !errors.Is(err, store.ErrConflict) {
				t.Errorf("it was written to: %v", err)
			}
			if n := ask[int](t, r.DB, "select count(*)::int from rotator.items where new_token is not null")[0]; n != 0 {
				t.Errorf("%d derived tokens are stored", n)
			}
		})
	}
}

// A derived token that comes back as a legacy one is known by its fingerprint.
func TestADerivedTokenIsKnownAsOne(t *testing.T) {
	t.Parallel()
	r := newMigration(t, legacyFleet(4)...)
	r.deriveAll(t)
	r.importLegacy(t, legacyRow("legacy-0.myharavan.com", "planted-derived-of-planted-legacy-0"), // its own derived token
		legacyRow("legacy-1.myharavan.com", "another"),
		shopfile.Row{Domain: "legacy-2.myharavan.com", LegacyPassword: secret.New("planted-derived-of-planted-legacy-2")})
	if s := r.snapshot(t, store.Engine); s.LateInstalls != 3 {
		t.Fatalf("%d shops with another legacy credential, want 3", s.LateInstalls)
	}
	r.sweep(t)
	batch, err := r.ReadUnderived(t.Context(), store.Lease{Grant: store.Grant{RunID: r.run.ID}, First: 1, Last: 4})
	if err != nil || len(batch) != 3 {
		t.Fatalf("%d shops are due again: %v", len(batch), err)
	}
	for _, u := range batch {
		// A password is taken as it is: there is nothing to derive twice.
		if want := u.Domain == "legacy-0.myharavan.com"; u.Derived != want {
			t.Errorf("%s: derived %v, want %v", u.Domain, u.Derived, want)
		}
	}
}

func TestACancelledMigrationLeavesNothing(t *testing.T) {
	t.Parallel()
	r := newMigration(t, legacyFleet(25)...)
	before := rows(t, r.DB, "shops")
	r.deriveAll(t)
	r.enter(t, rotation.PhaseChecked)
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.reread(t)) })
	if diff := cmp.Diff(before, rows(t, r.DB, "shops")); diff != "" {
		t.Errorf("shops (-before +after):\n%s", diff)
	}
	// What a cancelled run holds is adopted by the next; of this kind nothing is.
	r.run = r.Run(t, r.app, store.RunSettings{BatchSize: 10})
	if got, err := r.Legacy(t.Context(), r.app.ID); err != nil || got.WithOAuth != 0 || got.Underived != 25 {
		t.Errorf("after the next run began: %+v, %v", got, err)
	}
}

func TestAMigrationIsNotCancelledAfterItsCutover(t *testing.T) {
	t.Parallel()
	r := newMigration(t, legacyFleet(3)...)
	r.deriveAll(t)
	r.enter(t, rotation.PhaseCutover)
	err := r.try(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) })
	if !errors.Is(err, store.ErrConflict) || !r.reread(t).Open() {
		t.Errorf("cancelled: %v", err)
	}
}

// Grants, leases and checks from before the cutover change nothing after it.
func TestTheCutoverBeginsAnew(t *testing.T) {
	t.Parallel()
	r := newMigration(t, legacyFleet(10)...)
	r.walk(t)
	g := r.release(t, 1)[0]
	old := r.take(t, g)
	r.deriveBatch(t, old)
	r.enter(t, rotation.PhaseDerived)
	checks, err := r.NextDerivedChecks(t.Context(), r.run.ID, 0, 100, false)
	if err != nil || len(checks) != 10 {
		t.Fatalf("%d checks: %v", len(checks), err)
	}
	gone := store.DerivedChecked{Of: checks[0], State: rotation.ItemSkipped, Class: rotation.ClassFrozen, Detail: "402"}
	if err := r.WriteDerivedChecks(t.Context(), r.run.ID, []store.DerivedChecked{gone}); err != nil {
		t.Fatal(err)
	}
	if i := r.item(t, checks[0].Domain); i.State != rotation.ItemSkipped {
		t.Errorf("gone: %+v", i)
	}
	r.enter(t, rotation.PhaseCutover)
	refused := store.DerivedChecked{Of: checks[1], State: rotation.ItemParked, Class: rotation.ClassUnauthorized, Detail: "401", Refused: true}
	if err := r.WriteDerivedChecks(t.Context(), r.run.ID, []store.DerivedChecked{refused}); err != nil {
		t.Fatal(err)
	}
	if err := r.WriteDerived(t.Context(), old, nil); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an old lease settles a batch: %v", err)
	}
	if _, err := r.HoldBatch(t.Context(), g, r.worker); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an old grant takes a batch: %v", err)
	}
	claims := r.claim(t, r.take(t, r.release(t, 1)[0]))
	if len(claims) != 10 {
		t.Fatalf("%d shops are due for the proof, want all", len(claims))
	}
	r.proveDerived(t, store.Written, claims...)
	if token := r.token(t, "legacy-3.myharavan.com"); token != "planted-derived-of-planted-legacy-3" {
		t.Errorf("the shop's token is %s", token)
	}
	if s := r.shop(t, "legacy-3.myharavan.com"); s.SecretVersion != 1 {
		t.Errorf("shop: %+v", s)
	}
}

// What a cancel clears was not looked at by that.
func TestACancelledMigrationCountsTheLooksThatWere(t *testing.T) {
	t.Parallel()
	r := newMigration(t, legacyFleet(3)...)
	r.deriveAll(t)
	r.enter(t, rotation.PhaseDerived)
	checks, err := r.NextDerivedChecks(t.Context(), r.run.ID, 0, 1, false)
	if err != nil || len(checks) != 1 {
		t.Fatalf("%d checks: %v", len(checks), err)
	}
	if err := r.WriteDerivedChecks(t.Context(), r.run.ID, []store.DerivedChecked{{Of: checks[0], State: rotation.ItemExchanged, Alive: true}}); err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.reread(t)) })
	if m := r.snapshot(t, store.Counted).Migration; m.CheckPlanned != 3 || m.CheckDone != 1 || m.CheckAlive != 1 || m.CheckDead != 0 {
		t.Errorf("%+v, want 1 of 3 looked at", m)
	}
}

// A worker that was silent looked at a shop that another had looked at meanwhile.
func TestAClearLookAtADerivedTokenStays(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, 1)
	r.deriveAll(t)
	r.enter(t, rotation.PhaseDerived)
	checks, err := r.NextDerivedChecks(t.Context(), r.run.ID, 0, 1, false)
	if err != nil || len(checks) != 1 {
		t.Fatalf("%d checks: %v", len(checks), err)
	}
	again := store.DerivedChecked{State: rotation.ItemExchanged, Class: rotation.ClassRateLimited, Detail: "429", Delay: time.Second}
	alive := store.DerivedChecked{State: rotation.ItemExchanged, Alive: true}
	for i, step := range []struct {
		seen store.DerivedChecked
		done int
	}{
		{again, 0},
		{alive, 1},
		{again, 1},
		{store.DerivedChecked{State: rotation.ItemParked, Class: rotation.ClassNetwork, Detail: "reset"}, 1},
		{store.DerivedChecked{State: rotation.ItemParked, Class: rotation.ClassUnauthorized, Detail: "401", Refused: true}, 1},
	} {
		step.seen.Of = checks[0]
		if err := r.WriteDerivedChecks(t.Context(), r.run.ID, []store.DerivedChecked{step.seen}); err != nil {
			t.Fatal(err)
		}
		if m := r.snapshot(t, store.Counted).Migration; m.CheckDone != step.done {
			t.Errorf("after look %d, %s %s: %+v", i+1, step.seen.State, step.seen.Class, m)
		}
		if parked := r.item(t, checks[0].Domain).State == rotation.ItemParked; parked != step.seen.Refused {
			t.Errorf("after look %d, %s %s: parked %t", i+1, step.seen.State, step.seen.Class, parked)
		}
	}
}

func TestAnInstallIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	r := newMigration(t, legacyFleet(2)...)
	r.deriveAll(t)
	r.enter(t, rotation.PhaseCutover)
	claims := r.claim(t, r.take(t, r.release(t, 1)[0]))
	r.replace(t, claims[0].Domain, "installed", 0)
	r.proveDerived(t, store.Replaced, claims[0])
	if got := r.token(t, claims[0].Domain); got != "installed" {
		t.Errorf("the token is %q", got)
	}
	c := r.again(t)
	if c.Current.Reveal() != "installed" || !c.New.IsZero() {
		t.Errorf("claimed again as %+v", c)
	}
	// Closed for now: it gets its token unproven, since nothing else is left.
	skip := store.Outcome{Claim: claims[1], Class: rotation.ClassFrozen, Detail: "402", New: claims[1].New, SecretID: r.run.OldSecretID}
	if written, err := r.SkipWithToken(t.Context(), skip); err != nil || !written {
		t.Fatalf("skip: %v %v", written, err)
	}
	if got := r.token(t, claims[1].Domain); got != claims[1].New.Reveal() || r.item(t, claims[1].Domain).State != rotation.ItemSkipped {
		t.Errorf("the closed shop's token is %q", got)
	}
	if written, err := r.SkipWithToken(t.Context(), skip); err != nil || written {
		t.Errorf("a superseded skip: %v %v", written, err)
	}
}

// A waived shop's legacy credential is dead after the cutover: what was derived
// for it becomes its token, unless the platform refused it.
func TestAWaivedShopGetsItsTokenAtTheCutover(t *testing.T) {
	t.Parallel()
	r := newMigration(t, legacyFleet(3)...)
	r.deriveAll(t)
	r.enter(t, rotation.PhaseDerived)
	checks, err := r.NextDerivedChecks(t.Context(), r.run.ID, 0, 3, false)
	if err != nil || len(checks) != 3 {
		t.Fatalf("%d checks: %v", len(checks), err)
	}
	park := func(i int, class rotation.Class) store.DerivedChecked {
		return store.DerivedChecked{Of: checks[i], State: rotation.ItemParked, Class: class, Detail: "test", Refused: class == rotation.ClassUnauthorized}
	}
	if err := r.WriteDerivedChecks(t.Context(), r.run.ID, []store.DerivedChecked{park(0, rotation.ClassNetwork), park(1, rotation.ClassUnauthorized)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range checks[:2] {
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.Waive(ctx, storetest.Actor, r.run.ID, c.Domain, "known")
		})
	}
	if l, err := r.Legacy(t.Context(), r.app.ID); err != nil || l.WithOAuth != 0 {
		t.Errorf("a waiver before the cutover gave a shop a token: %+v, %v", l, err)
	}
	r.enter(t, rotation.PhaseCutover)
	if got := r.token(t, checks[0].Domain); got != checks[0].Token.Reveal() {
		t.Errorf("the waived shop's token is %q", got)
	}
	if s := r.shop(t, checks[1].Domain); s.Fingerprint != "" {
		t.Errorf("a refused token became current: %+v", s)
	}
	for _, c := range checks[:2] {
		if i := r.item(t, c.Domain); i.State != rotation.ItemWaived || i.Detail != "known" {
			t.Errorf("waived: %+v", i)
		}
	}
}

func TestClosingAMigrationKeepsItsSecret(t *testing.T) {
	t.Parallel()
	r := newMigration(t, legacyFleet(5)...)
	r.deriveAll(t)
	r.enter(t, rotation.PhaseCutover)
	r.proveDerived(t, store.Written, r.claim(t, r.take(t, r.release(t, 1)[0]))...)
	r.enter(t, rotation.PhaseScrubbed)
	if err := r.ScrubLegacy(t.Context(), r.run, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	if err := r.ShredTokens(t.Context(), r.run, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	r.enter(t, rotation.PhaseClosed)
	if _, err := r.SecretValue(t.Context(), r.run.OldSecretID); err != nil {
		t.Error(err)
	}
	n := ask[int](t, r.DB, `select (select count(*) from rotator.items where new_token is not null or old_token is not null)::int
		+ (select count(*) from rotator.shops where legacy_token is not null or legacy_token_fingerprint is not null)::int`)[0]
	if n != 0 {
		t.Errorf("%d sealed values of the run are left", n)
	}
	if err := r.MigrationShops(t.Context(), r.run.ID, func(s store.MigrationShop) error {
		if s.Kind != "token" || s.Alive == nil || !*s.Alive {
			t.Errorf("after the end: %+v", s)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
}

func TestNoLegacyOrDerivedTokenIsStoredOrSentInClear(t *testing.T) {
	t.Parallel()
	heard := &listener{}
	r := newMigrationOn(t, traced(t, storetest.New(t), heard), legacyFleet(5)...)
	r.deriveAll(t)
	r.enter(t, rotation.PhaseCutover)
	claims := r.claim(t, r.take(t, r.release(t, 1)[0]))
	r.proveDerived(t, store.Written, claims[1:]...)
	var values []string
	for i := range 5 {
		values = append(values, fmt.Sprintf("planted-legacy-%d", i), fmt.Sprintf("planted-derived-of-planted-legacy-%d", i))
	}
	for table, text := range rows(t, r.DB, "items", "shops", "journal", "runs") {
		if found := planted(text, values); found != nil || text == "" {
			t.Errorf("table %s of %d bytes shows %q", table, len(text), found)
		}
	}
	heard.search(t, values, 30)
}

// A secret that tokens are derived from is in use, although it may be pending.
func TestASecretThatIsDerivedFromIsNotDiscarded(t *testing.T) {
	t.Parallel()
	r := &rig{DB: storetest.New(t)}
	r.app = r.App(t, "shopbot", oldSecret, newSecret)
	r.importLegacy(t, legacyFleet(1)...)
	secrets, err := r.Secrets(t.Context(), r.app.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		r.run, err = tx.StartRun(ctx, storetest.Actor, store.NewRun{
			App: r.app, Kind: rotation.KindTokenMigration, Mode: rotation.ModePlanned, OldSecretID: secrets[1].ID,
			Settings: store.RunSettings{BatchSize: 10, Waves: rotation.WavePolicy{Budget: 0.25}},
		})
		return err
	})
	if err := r.DiscardSecret(t.Context(), storetest.Actor, r.app, 2); !errors.Is(err, store.ErrConflict) {
		t.Errorf("discarded while a token migration derives from it: %v", err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) })
	if err := r.DiscardSecret(t.Context(), storetest.Actor, r.app, 2); err != nil {
		t.Errorf("the run was cancelled: %v", err)
	}
}
