package store_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// The connection broke after the claim was committed and before it was told: who
// asked knows of no claim, and leaves the batch in order.
func TestClaimsThatNobodyWasToldOfAreClaimedAgain(t *testing.T) {
	t.Parallel()
	r, first, claims := claimAll(t, 3)
	second := r.take(t, first.Grant) // what the first holder had is unknown
	r.claim(t, second)
	if i := r.item(t, claims[0].Domain); i.State != rotation.ItemClaimed {
		t.Fatalf("claimed as %+v", i)
	}
	if err := r.LeaveBatch(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	again := r.claim(t, r.take(t, first.Grant))
	if len(again) != len(claims) {
		t.Fatalf("%d of %d are claimed again", len(again), len(claims))
	}
	for _, c := range again {
		if c.Was != rotation.ItemUnknown || !c.Acted || c.Attempt != 3 {
			t.Errorf("claimed %+v", c)
		}
	}
	r.prove(t, again...)
	if settled, _, err := r.SettleBatch(t.Context(), store.Lease{Grant: first.Grant, Fence: second.Fence + 1}); err != nil || !settled {
		t.Errorf("settled %t, %v", settled, err)
	}
}
