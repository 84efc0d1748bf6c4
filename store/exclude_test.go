package store_test

import (
	"context"
	"slices"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func (r *rig) exclude(t *testing.T, domain, reason string) {
	t.Helper()
	if err := r.Exclude(t.Context(), storetest.Actor, r.app.ID, domain, reason); err != nil {
		t.Fatal(err)
	}
}

// excludedIDs are the shops that workers are told to let be.
func (r *rig) excludedIDs(t *testing.T) []int64 {
	t.Helper()
	controls, err := r.Controls(t.Context())
	if err != nil || len(controls) != 1 {
		t.Fatalf("controls %+v, %v", controls, err)
	}
	return controls[0].Excluded
}

func TestAShopIsExcludedFromAnOpenRun(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		arrange func(*testing.T, *rig, store.Claim)
		want    rotation.ItemState
	}{
		"not written since its batch was claimed": {func(*testing.T, *rig, store.Claim) {}, rotation.ItemClaimed},
		"waiting": {func(t *testing.T, r *rig, c store.Claim) {
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemRetrying, Class: rotation.ClassRateLimited, Detail: "429", Delay: time.Hour})
		}, rotation.ItemSkipped},
		"parked": {func(t *testing.T, r *rig, c store.Claim) {
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemParked, Class: rotation.ClassOurs, Detail: "x"})
		}, rotation.ItemSkipped},
		"a token may have been made": {func(t *testing.T, r *rig, c store.Claim) {
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemUnknown, Class: rotation.ClassNetwork, Detail: "lost", Delay: time.Hour})
		}, rotation.ItemUnknown},
		"a token was made": {func(t *testing.T, r *rig, c store.Claim) {
			r.write(t, store.Written, exchanged(c))
		}, rotation.ItemExchanged},
		"parked with its token": {func(t *testing.T, r *rig, c store.Claim) {
			r.write(t, store.Written, exchanged(c))
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemParked, Class: rotation.ClassPlatform, Detail: "x"})
		}, rotation.ItemParked},
		"proven": {func(t *testing.T, r *rig, c store.Claim) { r.prove(t, c) }, rotation.ItemProven},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, c := claimAll(t, 2)
			tt.arrange(t, r, c[0])
			r.exclude(t, c[0].Domain, "a test shop")
			got := r.item(t, c[0].Domain)
			if got.State != tt.want || got.State == rotation.ItemSkipped && (got.Detail != "excluded: a test shop" || got.Class != "" || got.NextAttemptAt != nil) {
				t.Errorf("item %+v, want %s", got, tt.want)
			}
			if ids := r.excludedIDs(t); !slices.Equal(ids, []int64{c[0].ShopID}) {
				t.Errorf("workers are told of %v", ids)
			}
			if other := r.item(t, c[1].Domain); other.State != rotation.ItemClaimed {
				t.Errorf("the other shop: %+v", other)
			}
			r.exclude(t, c[0].Domain, "")
			if ids := r.excludedIDs(t); len(ids) != 0 {
				t.Errorf("taken in again, workers are told of %v", ids)
			}
			told := ask[string](t, r.DB, "select event from rotator.journal where event like 'shop.%cluded' and run_id is not null order by seq")
			if !slices.Equal(told, []string{"shop.excluded", "shop.included"}) {
				t.Errorf("the journal tells of %v on the run", told)
			}
		})
	}
}

func TestAShopThatNobodyHoldsIsSkippedAtOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2)
	r.walk(t)
	r.exclude(t, "shop-1.myharavan.com", "a test shop")
	if got := r.item(t, "shop-1.myharavan.com"); got.State != rotation.ItemSkipped {
		t.Errorf("item %+v", got)
	}
	claims := r.claim(t, r.take(t, r.release(t, 1)[0]))
	if len(claims) != 1 || claims[0].Domain != "shop-0.myharavan.com" {
		t.Errorf("claims %+v", claims)
	}
}

func TestACooldownIsIgnoredOnce(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 2)
	for _, claim := range c {
		r.write(t, store.Written, store.Outcome{Claim: claim, State: rotation.ItemRetrying, Class: rotation.ClassRateLimited, Detail: "429", Delay: time.Hour})
	}
	ignore := func(domain string) (ok bool) {
		t.Helper()
		err := r.try(t, func(ctx context.Context, tx *store.Tx) (err error) {
			ok, err = tx.IgnoreCooldown(ctx, storetest.Actor, r.run.ID, domain)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	if !ignore(c[0].Domain) {
		t.Error("a shop that waits was not made due")
	}
	worker := r.startWorker(t)
	for _, want := range []bool{true, false} {
		var due []store.Due
		r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
			due, err = tx.DispatchDue(ctx, r.run.ID, 10, time.Minute)
			return err
		})
		if len(due) != 1 || due[0].Position != c[0].Position {
			t.Fatalf("due: %+v", due)
		}
		claim, err := r.ClaimDue(t.Context(), due[0], worker, time.Hour)
		if err != nil || claim.IgnoreCooldown != want {
			t.Fatalf("claim %+v, %v; want %v", claim, err, want)
		}
		r.write(t, store.Written, store.Outcome{Claim: claim, State: rotation.ItemRetrying, Class: rotation.ClassRateLimited, Detail: "429", Delay: 0})
	}
}
