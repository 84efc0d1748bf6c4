package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func (r *rig) waive(t *testing.T, domain string) error {
	return r.try(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.Waive(ctx, storetest.Actor, r.run.ID, domain, "closing down")
	})
}

func TestWaive(t *testing.T) {
	t.Parallel()
	r, c := mixed(t)
	waive := func(i int) error { return r.waive(t, c[i].Domain) }
	for i, want := range []error{store.ErrConflict, nil, nil, nil, store.ErrConflict} {
		if err := waive(i); !errors.Is(err, want) {
			t.Errorf("shop %d: error %v, want %v", i, err, want)
		}
	}
	if got := r.item(t, c[1].Domain); got.State != rotation.ItemWaived || got.Detail != "closing down" || got.NextAttemptAt != nil {
		t.Errorf("waived %+v", got)
	}
	if err := waive(1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("waived twice: %v", err)
	}
	// A proven shop may be waived once the check found its token dead.
	r.enter(t, rotation.PhaseRevoked)
	if err := r.WriteChecks(t.Context(), []store.Checked{{Check: r.checks(t)[0], OldDead: true, NewAlive: false}}); err != nil {
		t.Fatal(err)
	}
	if err := waive(0); err != nil {
		t.Error(err)
	}
	if got := r.snapshot(t, store.Engine).Revocation; got.NewDead != 0 {
		t.Errorf("after the waiver: %+v", got)
	}
	events := ask[int](t, r.DB, "select count(*)::int from rotator.journal where event = 'item.waived' and detail like '%closing down%'")
	if events[0] != 4 {
		t.Errorf("the journal names %d of 4 waivers", events[0])
	}
}

// After the revoke a proven shop may be waived unless the check passed it.
func TestProvenShopsAreWaivedOnlyAfterTheRevokeAndUnlessTheyPassed(t *testing.T) {
	t.Parallel()
	for _, phase := range []rotation.Phase{rotation.PhaseExchanging, rotation.PhaseProven, rotation.PhaseRevoked, rotation.PhaseWebhooksSingle} {
		t.Run(string(phase), func(t *testing.T) {
			t.Parallel()
			r, _, c := claimAll(t, 4)
			r.prove(t, c...)
			r.enter(t, phase)
			var seen []store.Checked
			for i, claim := range c[:3] {
				seen = append(seen, store.Checked{Check: store.Check{RunID: r.run.ID, Position: claim.Position}, OldDead: i != 1, NewAlive: i != 2})
			}
			if err := r.WriteChecks(t.Context(), seen); err != nil {
				t.Fatal(err)
			}
			after := phase == rotation.PhaseRevoked || phase == rotation.PhaseWebhooksSingle
			// Passed, old token alive, new token dead, never a clear answer.
			for i, may := range []bool{false, after, after, after} {
				if err := r.waive(t, c[i].Domain); (err == nil) != may || (err != nil && !errors.Is(err, store.ErrConflict)) {
					t.Errorf("shop %d: %v, may be waived %t", i, err, may)
				}
			}
			for i := range c {
				if r.token(t, c[i].Domain) != fresh(c[i]).Reveal() {
					t.Errorf("shop %d lost its token", i)
				}
			}
		})
	}
}

func TestAWaiverAdoptsTheTokenThatWasNotProven(t *testing.T) {
	t.Parallel()
	park := func(class rotation.Class) func(*testing.T, *rig, store.Claim) {
		return func(t *testing.T, r *rig, c store.Claim) {
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemParked, Class: class, Detail: "x"})
		}
	}
	tests := map[string]struct {
		arrange func(*testing.T, *rig, store.Claim)
		adopted bool
		token   string
	}{
		"parked": {park(rotation.ClassPlatform), true, "fresh-1-1"},
		"its proof is due": {func(t *testing.T, r *rig, c store.Claim) {
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemExchanged, Class: rotation.ClassNetwork, Detail: "x", Delay: time.Hour})
		}, true, "fresh-1-1"},
		"of another shop": {park(rotation.ClassWrongShop), false, "token-0"},
		"replaced since": {func(t *testing.T, r *rig, c store.Claim) {
			park(rotation.ClassPlatform)(t, r, c)
			r.replace(t, c.Domain, "imported", r.run.OldSecretID)
		}, false, "imported"},
		"it does not open": {func(t *testing.T, r *rig, c store.Claim) {
			park(rotation.ClassOurs)(t, r, c)
			exec(t, r.DB, "update rotator.items set new_token = 'not a sealed value'")
		}, false, "token-0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, c := claimAll(t, 1)
			r.write(t, store.Written, exchanged(c[0]))
			tt.arrange(t, r, c[0])
			before := r.shop(t, c[0].Domain)
			if err := r.waive(t, c[0].Domain); err != nil {
				t.Fatal(err)
			}
			if got := r.item(t, c[0].Domain); got.State != rotation.ItemWaived || got.Detail != "closing down" || got.NextAttemptAt != nil {
				t.Errorf("item %+v", got)
			}
			after := r.shop(t, c[0].Domain)
			if got := r.token(t, c[0].Domain); got != tt.token {
				t.Error("the shop has another token")
			}
			if tt.adopted && (after.SecretVersion != 2 || after.Generation != before.Generation+1) || !tt.adopted && after.Generation != before.Generation {
				t.Errorf("shop %+v", after)
			}
			// Whoever still proves it is late.
			r.write(t, store.Fenced, r.proven(c[0]))
		})
	}
}
