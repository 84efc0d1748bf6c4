package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// mixed is a run with a shop in each of the states that a report is about.
func mixed(t *testing.T) (*rig, []store.Claim) {
	t.Helper()
	r, _, c := claimAll(t, 6)
	r.prove(t, c[0])
	r.write(t, store.Written, exchanged(c[5]))
	r.write(t, store.Written,
		store.Outcome{Claim: c[1], State: rotation.ItemParked, Class: rotation.ClassScope, Detail: "403", Latency: 900 * time.Millisecond},
		store.Outcome{Claim: c[2], State: rotation.ItemParked, Class: rotation.ClassNetwork, Detail: "reset"},
		store.Outcome{Claim: c[3], State: rotation.ItemRetrying, Class: rotation.ClassNetwork, Detail: "reset", Delay: time.Hour},
		store.Outcome{Claim: c[4], State: rotation.ItemSkipped, Class: rotation.ClassFrozen, Detail: "423"},
		store.Outcome{Claim: c[5], State: rotation.ItemParked, Class: rotation.ClassWrongShop, Detail: "another shop's"})
	return r, c
}

func TestReportsOfARun(t *testing.T) {
	t.Parallel()
	r, c := mixed(t)
	parked, err := r.Items(t.Context(), r.run.ID, []rotation.ItemState{rotation.ItemParked}, 2, 10)
	if err != nil || len(parked) != 2 || parked[0].Domain != c[2].Domain || parked[1].Domain != c[5].Domain {
		t.Errorf("parked after position 2: %+v, %v", parked, err)
	}
	slowest, err := r.Slowest(t.Context(), r.run.ID, 1)
	if err != nil || len(slowest) != 1 || slowest[0].Domain != c[1].Domain || slowest[0].LatencyMS != 900 {
		t.Errorf("slowest %+v, %v", slowest, err)
	}
	if all, err := r.Slowest(t.Context(), r.run.ID, 10); err != nil || slices.ContainsFunc(all, func(i store.ItemInfo) bool { return i.LatencyMS == 0 }) {
		t.Errorf("slowest, with shops that were never called: %+v, %v", all, err)
	}
	counts, err := r.ClassCounts(t.Context(), r.run.ID)
	if err != nil {
		t.Fatal(err)
	}
	want := []store.ClassCount{
		{State: rotation.ItemParked, Class: rotation.ClassNetwork, Count: 1},
		{State: rotation.ItemParked, Class: rotation.ClassScope, Count: 1},
		{State: rotation.ItemParked, Class: rotation.ClassWrongShop, Count: 1},
		{State: rotation.ItemRetrying, Class: rotation.ClassNetwork, Count: 1},
		{State: rotation.ItemSkipped, Class: rotation.ClassFrozen, Count: 1},
	}
	if diff := cmp.Diff(want, counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.Waive(ctx, storetest.Actor, r.run.ID, c[2].Domain, "ticket 1")
	})
	want = append(want[1:], store.ClassCount{State: rotation.ItemWaived, Class: rotation.ClassNetwork, Count: 1})
	if counts, err = r.ClassCounts(t.Context(), r.run.ID); err != nil || !cmp.Equal(want, counts) {
		t.Errorf("counts with a waived shop: %+v, %v", counts, err)
	}
	if _, err := r.Item(t.Context(), r.run.ID, "nobody.myharavan.com"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a shop that is not in the run: %v", err)
	}
}

func TestRetry(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		class  rotation.Class
		domain string
		want   map[int]rotation.ItemState
	}{
		"all":                {"", "", map[int]rotation.ItemState{1: rotation.ItemRetrying, 2: rotation.ItemRetrying, 3: rotation.ItemRetrying, 5: rotation.ItemExchanged}},
		"one class":          {rotation.ClassNetwork, "", map[int]rotation.ItemState{2: rotation.ItemRetrying, 3: rotation.ItemRetrying}},
		"one shop":           {"", "shop-1.myharavan.com", map[int]rotation.ItemState{1: rotation.ItemRetrying}},
		"one shop, no class": {rotation.ClassNetwork, "shop-1.myharavan.com", nil},
		"a class of skipped": {rotation.ClassFrozen, "", map[int]rotation.ItemState{4: rotation.ItemRetrying}},
		"one skipped shop":   {"", "shop-4.myharavan.com", map[int]rotation.ItemState{4: rotation.ItemRetrying}},
		"a proven shop":      {"", "shop-0.myharavan.com", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, c := mixed(t)
			var n int64
			r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
				n, err = tx.Retry(ctx, storetest.Actor, r.run.ID, tt.class, tt.domain)
				return err
			})
			due := map[int]rotation.ItemState{}
			for i := range c {
				if got := r.item(t, c[i].Domain); got.NextAttemptAt != nil && got.NextAttemptAt.Before(time.Now().Add(time.Minute)) {
					due[i] = got.State
				}
			}
			if tt.want == nil {
				tt.want = map[int]rotation.ItemState{}
			}
			if diff := cmp.Diff(tt.want, due); diff != "" || int(n) != len(tt.want) {
				t.Errorf("%d items retried (-want +got):\n%s", n, diff)
			}
		})
	}
}

// What was skipped because there was nothing to exchange stays so.
func TestARetryByNameOpensNoShopThatWasSkippedUntried(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 1)
	r.write(t, store.Written, store.Outcome{Claim: c[0], State: rotation.ItemSkipped, Detail: "excluded: x"})
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		n, err := tx.Retry(ctx, storetest.Actor, r.run.ID, "", c[0].Domain)
		if n != 0 {
			t.Errorf("%d items retried", n)
		}
		return err
	})
}
