package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// A worker that was silent for a while takes its own batch over: outcomes that it
// could not write before come with those of the newer claims.
func TestTwoAttemptsOfAShopInOneGroup(t *testing.T) {
	t.Parallel()
	for _, newest := range []int{0, 1} {
		r, first, older := claimAll(t, 1)
		newer := r.claim(t, r.take(t, first.Grant))
		pair := func(step func(store.Claim) store.Outcome) []store.Outcome {
			group := []store.Outcome{step(older[0]), step(older[0])}
			group[newest] = step(newer[0])
			return group
		}
		want := []store.Verdict{store.Fenced, store.Fenced}
		want[newest] = store.Written
		for what, step := range []func(store.Claim) store.Outcome{exchanged, r.proven} {
			verdicts, err := r.WriteOutcomes(t.Context(), pair(step))
			if err != nil {
				t.Fatal(err)
			}
			if diff := cmp.Diff(want, verdicts); diff != "" {
				t.Errorf("step %d, verdicts (-want +got):\n%s", what, diff)
			}
			late := ask[bool](t, r.DB, "select late_exchange_at is not null from rotator.items where run_id = $1", r.run.ID)
			if !late[0] {
				t.Errorf("step %d: the token that was minted for the older claim is forgotten", what)
			}
		}
		if i := r.item(t, newer[0].Domain); i.State != rotation.ItemProven || r.token(t, newer[0].Domain) != fresh(newer[0]).Reveal() {
			t.Errorf("%s with %s", i.State, r.token(t, newer[0].Domain))
		}
	}
}
