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
	want := rotation.Revocation{Planned: 4, OldDead: 2, OldAlive: 1, NewAlive: 2, NewDead: 1}
	if s := r.snapshot(t, store.Engine); s.Revocation != want {
		t.Errorf("after three: %+v", s.Revocation)
	}
	broken, err := r.Broken(t.Context(), r.run.ID, 10)
	if err != nil || len(broken) != 2 || broken[0].Domain != claims[1].Domain || broken[1].Domain != claims[2].Domain {
		t.Errorf("broken %+v, %v", broken, err)
	}
	if left := r.checks(t); len(left) != 1 || left[0].Domain != claims[3].Domain {
		t.Errorf("%d are left", len(left))
	}
	// Only what failed is looked at again.
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Recheck(ctx, r.run.ID) })
	var again []string
	for _, c := range r.checks(t) {
		again = append(again, c.Domain)
	}
	if diff := cmp.Diff([]string{claims[1].Domain, claims[2].Domain, claims[3].Domain}, again); diff != "" {
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
