package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// revoked is a run of n proven shops whose old secret is revoked.
func revoked(t *testing.T, n int) (*rig, []store.Claim) {
	t.Helper()
	r, _, claims := claimAll(t, n)
	r.prove(t, claims...)
	r.enter(t, rotation.PhaseRevoked)
	return r, claims
}

func (r *rig) checks(t *testing.T) []store.Check {
	t.Helper()
	checks, err := r.NextChecks(t.Context(), r.run.ID, 0, 1000)
	if err != nil {
		t.Fatal(err)
	}
	return checks
}

func TestTheCheckLooksAtOldAndNewTokens(t *testing.T) {
	t.Parallel()
	r, claims := revoked(t, 4)
	if s := r.snapshot(t, store.Engine); s.Revocation != (rotation.Revocation{Planned: 4}) {
		t.Errorf("before: %+v", s.Revocation)
	}
	first, err := r.NextChecks(t.Context(), r.run.ID, 0, 3)
	if err != nil || len(first) != 3 {
		t.Fatalf("%d checks, %v", len(first), err)
	}
	for i, c := range first {
		if c.Domain != claims[i].Domain || !c.Old.Equal(claims[i].Current) || !c.Current.Equal(fresh(claims[i])) {
			t.Errorf("check %d looks at other tokens", i)
		}
	}
	err = r.WriteChecks(t.Context(), []store.Checked{
		{Check: first[0], OldDead: true, NewAlive: true}, {Check: first[1], OldDead: false, NewAlive: true}, {Check: first[2], OldDead: true, NewAlive: false},
	})
	if err != nil {
		t.Fatal(err)
	}
	want := rotation.Revocation{Planned: 4, OldDead: 2, OldAlive: 1, NewAlive: 2, NewDead: 1, NewKnown: 2}
	if s := r.snapshot(t, store.Engine); s.Revocation != want {
		t.Errorf("after three: %+v", s.Revocation)
	}
	broken, err := r.Broken(t.Context(), r.run.ID, 10)
	if err != nil || len(broken) != 1 || broken[0].Domain != claims[2].Domain {
		t.Errorf("broken %+v, %v", broken, err)
	}
	answers, err := r.OldAlive(t.Context(), r.run.ID, 10)
	if err != nil || len(answers) != 1 || answers[0].Domain != claims[1].Domain {
		t.Errorf("old tokens alive %+v, %v", answers, err)
	}
	if dead, alive, err := r.CountBroken(t.Context(), r.run.ID); err != nil || dead != want.NewDead || alive != want.OldAlive {
		t.Errorf("%d broken, %d old tokens alive, %v", dead, alive, err)
	}
	if left := r.checks(t); len(left) != 1 || left[0].Domain != claims[3].Domain {
		t.Errorf("%d are left", len(left))
	}
	again := func() (domains []string) {
		r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Recheck(ctx, r.run.ID) })
		for _, c := range r.checks(t) {
			domains = append(domains, c.Domain)
		}
		return domains
	}
	// As long as an old token answers, the others' answers may be of before another revoke.
	all := []string{claims[0].Domain, claims[1].Domain, claims[2].Domain, claims[3].Domain}
	if diff := cmp.Diff(all, again()); diff != "" {
		t.Errorf("to be looked at again (-want +got):\n%s", diff)
	}
	// Then only what failed is.
	exec(t, r.DB, "update rotator.items set checked_at = now(), old_dead = true, new_alive = position <> 3 where position <= 3")
	if diff := cmp.Diff(all[2:], again()); diff != "" {
		t.Errorf("to be looked at again (-want +got):\n%s", diff)
	}
}

func TestTheCheckIsASample(t *testing.T) {
	t.Parallel()
	for sample, want := range map[int]int{-1: 60, 60: 60, 1000: 60, 20: 20, 7: 7} {
		r, _, claims := claimAll(t, 60)
		r.run.Settings.CheckSample = sample
		r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.SaveSettings(ctx, storetest.Actor, r.run) })
		r.prove(t, claims...)
		r.enter(t, rotation.PhaseRevoked)
		got := len(r.checks(t))
		if planned := r.snapshot(t, store.Engine).Revocation.Planned; got != planned || got < want {
			t.Errorf("a sample of %d: %d checks, %d planned, want %d", sample, got, planned, want)
		}
	}
}

// A shop that was proven in place has no former token; it is looked at all the
// same, and so is one whose tokens do not open.
func TestTheCheckLooksAtEveryProvenShopOnItsStride(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 4)
	r.write(t, store.Written, store.Outcome{Claim: claims[0], State: rotation.ItemProven})
	r.prove(t, claims[1:]...)
	exec(t, r.DB, "update rotator.items set old_token = 'not sealed' where position = 3")
	exec(t, r.DB, "update rotator.shops set access_token = 'not sealed' where domain = $1", claims[3].Domain)
	r.enter(t, rotation.PhaseRevoked)
	checks := r.checks(t)
	if planned := r.snapshot(t, store.Engine).Revocation.Planned; len(checks) != 4 || planned != 4 {
		t.Fatalf("%d checks, %d planned", len(checks), planned)
	}
	for i, want := range []struct{ old, current, broken bool }{{false, true, false}, {true, true, false}, {false, true, true}, {true, false, true}} {
		c := checks[i]
		if c.Old.IsZero() == want.old || c.Current.IsZero() == want.current || c.Broken != want.broken {
			t.Errorf("check %d: old %t, current %t, broken %t", i, !c.Old.IsZero(), !c.Current.IsZero(), c.Broken)
		}
	}
	if checks[0].Current.Reveal() != "token-0" {
		t.Error("proven in place, another token is looked at")
	}
}

// Every third position of nine is sampled, but only others are proven.
func TestASampleThatMeetsNoProvenShopLooksAtEach(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 9)
	r.run.Settings.CheckSample = 2
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.SaveSettings(ctx, storetest.Actor, r.run) })
	for i, c := range claims {
		if (i+1)%3 == 0 {
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemSkipped, Class: rotation.ClassFrozen, Detail: "x"})
			continue
		}
		r.prove(t, c)
	}
	r.enter(t, rotation.PhaseRevoked)
	if got := len(r.checks(t)); got != 6 {
		t.Errorf("%d checks, want 6", got)
	}
}

func TestShreddingTakesCancelledRunsAlong(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 3)
	r.prove(t, claims[0])
	r.write(t, store.Written, exchanged(claims[1]))
	r.write(t, store.Written, store.Outcome{Claim: claims[1], State: rotation.ItemParked, Class: rotation.ClassWrongShop, Detail: "x"})
	r.cancel(t)
	kept := func() int {
		return ask[int](t, r.DB, "select count(*)::int from rotator.items where old_token is not null or new_token is not null")[0]
	}
	if kept() != 2 {
		t.Fatalf("the cancelled run keeps %d tokens: the test is void", kept())
	}
	other := newRigIn(t, r.DB, "other", 1, store.RunSettings{BatchSize: 1})
	other.walk(t)
	exec(t, r.DB, "update rotator.items set old_token = 'x' where run_id = $1", other.run.ID)
	other.cancel(t)
	r.run = r.Run(t, r.app, r.run.Settings)
	if err := r.ShredTokens(t.Context(), r.run, func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	if got := kept(); got != 1 {
		t.Errorf("%d tokens are kept, want that of the other app", got)
	}
}

func TestARunClosesOnlyWhenNothingOldIsStored(t *testing.T) {
	t.Parallel()
	r, claims := revoked(t, 3)
	rt := r.arm(t, "refresh-1")
	r.enter(t, rotation.PhaseWebhooksSingle)
	closeRun := func() error {
		return r.try(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.EnterPhase(ctx, storetest.Actor, r.run, rotation.PhaseClosed, nil)
		})
	}
	if err := closeRun(); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("closed with old tokens stored: %v", err)
	}
	if r.reread(t).Phase != rotation.PhaseWebhooksSingle {
		t.Fatal("the refused close left its mark")
	}
	var told []int64
	for range 2 { // it may be run again
		if err := r.ShredTokens(t.Context(), r.run, func(done, total int64) { told = append(told, done, total) }); err != nil {
			t.Fatal(err)
		}
	}
	if diff := cmp.Diff([]int64{3, 3, 3, 3}, told); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
	if err := closeRun(); err != nil {
		t.Fatal(err)
	}
	if got := r.reread(t); got.Phase != rotation.PhaseClosed || got.ClosedAt == nil || got.Open() {
		t.Errorf("run %+v", got)
	}
	for what, query := range map[string]string{
		"old tokens":    "select count(*)::int from rotator.items where old_token is not null or new_token is not null",
		"refresh token": "select count(*)::int from rotator.refresh_tokens where value is not null",
		"old secret":    "select count(*)::int from rotator.secrets where state = 'revoked' and value is not null",
	} {
		if n := ask[int](t, r.DB, query); n[0] != 0 {
			t.Errorf("%s: %d are left", what, n[0])
		}
	}
	if _, err := r.RefreshTokenValue(t.Context(), rt.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the refresh token: %v", err)
	}
	for _, c := range claims {
		if r.token(t, c.Domain) != fresh(c).Reveal() {
			t.Errorf("the shredding took the token of %s", c.Domain)
		}
	}
	if err := closeRun(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("closed twice: %v", err)
	}
}

// Said again, the revoke has its first time only if it had bitten by then: from
// there the grace runs.
func TestTheRevokeKeepsItsTimeOnceItHasBitten(t *testing.T) {
	t.Parallel()
	r, _ := revoked(t, 3)
	said := func() (attested rotation.Attestation) {
		t.Helper()
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.AttestAgain(ctx, r.run.ID, rotation.PhaseRevoked, storetest.Actor, "look again"); err != nil {
				return err
			}
			return tx.Recheck(ctx, r.run.ID)
		})
		return r.snapshot(t, store.Engine).Attested[rotation.PhaseRevoked]
	}
	look := func(n int, oldDead, newAlive bool) {
		t.Helper()
		var seen []store.Checked
		for _, c := range r.checks(t)[:n] {
			seen = append(seen, store.Checked{Check: c, OldDead: oldDead, NewAlive: newAlive})
		}
		if err := r.WriteChecks(t.Context(), seen); err != nil {
			t.Fatal(err)
		}
	}
	first := said()
	if again := said(); !again.At.After(first.At) {
		t.Error("nothing was looked at, and the time stayed")
	}
	look(2, true, true)
	look(1, false, true)
	alive := said()
	if again := said(); !again.At.After(alive.At) {
		t.Error("nothing was looked at since an old token answered, and the time stayed")
	}
	bitten := said()
	look(1, true, false)
	for range 2 { // the broken shop is not looked at in between
		if again := said(); again != bitten {
			t.Errorf("every old token was dead, and %+v became %+v", bitten, again)
		}
		look(1, true, false)
	}
	if n := ask[int](t, r.DB, "select count(*)::int from rotator.journal where event = 'attested.revoked'"); n[0] != 7 {
		t.Errorf("the journal has it %d times", n[0])
	}
}

// The tokens of runs that were cancelled before it are shredded with those of a run.
func TestShreddingTellsOfAllRunsAsOne(t *testing.T) {
	t.Parallel()
	r, _, _ := claimAll(t, 3)
	r.cancel(t)
	r.run = r.Run(t, r.app, oneWave)
	r.walk(t)
	var told []int64
	if err := r.ShredTokens(t.Context(), r.reread(t), func(done, total int64) { told = append(told, done, total) }); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]int64{3, 6, 6, 6}, told); diff != "" {
		t.Errorf("progress (-want +got):\n%s", diff)
	}
}
