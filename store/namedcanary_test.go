package store_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestTheWalkGoesRoundANamedCanary(t *testing.T) {
	t.Parallel()
	// The first, the last, two of one page of seven, and one alone in its page.
	named := []string{"shop-19.myharavan.com", "shop-0.myharavan.com", "shop-8.myharavan.com", "shop-9.myharavan.com", "shop-14.myharavan.com"}
	r := newRigWith(t, 20, store.RunSettings{BatchSize: 4, CanaryShops: named, Waves: rotation.WavePolicy{Canary: len(named)}})
	r.walk(t)
	covered(t, r, 20)
	domains := ask[string](t, r.DB, "select s.domain from rotator.items i join rotator.shops s on s.id = i.shop_id where i.run_id = $1 order by position", r.run.ID)
	if diff := cmp.Diff(named, domains[:5]); diff != "" {
		t.Errorf("the first positions (-want +got):\n%s", diff)
	}
	seen := map[string]bool{}
	for _, d := range domains {
		if seen[d] {
			t.Errorf("%s is in the run twice", d)
		}
		seen[d] = true
	}
}

func TestAWholeFleetCanBeNamed(t *testing.T) {
	t.Parallel()
	named := []string{"shop-2.myharavan.com", "shop-1.myharavan.com", "shop-0.myharavan.com"}
	r := newRigWith(t, 3, store.RunSettings{BatchSize: 4, CanaryShops: named, Waves: rotation.WavePolicy{Canary: 3}})
	r.walk(t)
	covered(t, r, 3)
}

func TestACanaryOfShopsThatCannotBeExchangedIsRefusedWithEveryReason(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	ctx := t.Context()
	if err := r.Exclude(ctx, storetest.Actor, r.app.ID, "shop-1.myharavan.com", "closing"); err != nil {
		t.Fatal(err)
	}
	err := r.CheckCanary(ctx, r.app.ID, []string{"shop-0.myharavan.com", "shop-1.myharavan.com", "nobody.myharavan.com", "shop-0.myharavan.com"})
	for _, want := range []string{"shop-1.myharavan.com is excluded: closing", "nobody.myharavan.com is not stored", "shop-0.myharavan.com is named twice"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want it to say %q", err, want)
		}
	}
	if err := r.CheckCanary(ctx, r.app.ID, []string{"shop-0.myharavan.com", "shop-2.myharavan.com"}); err != nil {
		t.Error(err)
	}
	if err := r.CheckCanary(ctx, r.app.ID, make([]string, 101)); err == nil {
		t.Error("more than a hundred shops can be named")
	}
}
