package store_test

import (
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// mostLoops runs a statement and returns how often the busiest step of its plan
// was done, and the plan.
func mostLoops(t *testing.T, r *rig, statement string, args ...any) (int, string) {
	t.Helper()
	plan := strings.Join(ask[string](t, r.DB, "explain (analyze, costs off, timing off, summary off) "+statement, args...), "\n")
	most := 0
	for _, found := range regexp.MustCompile(`loops=(\d+)`).FindAllStringSubmatch(plan, -1) {
		n, err := strconv.Atoi(found[1])
		if err != nil {
			t.Fatal(err)
		}
		most = max(most, n)
	}
	return most, plan
}

// Of a run that has just begun the statistics know no pending item. What is held
// by workers is counted all the same by looking at their batches only.
func TestHeldItemsAreCountedByBatchWithoutStatistics(t *testing.T) {
	t.Parallel()
	r := newRig(t, 2000)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	for _, grant := range r.release(t, 1)[:2] {
		r.claim(t, r.take(t, grant))
	}
	exec(t, r.DB, "begin; update rotator.items set state = 'skipped', detail = 'x'; analyze rotator.items, rotator.batches; commit")
	exec(t, r.DB, "update rotator.items set state = 'pending', detail = null")
	if most, plan := mostLoops(t, r, store.CountHeld(t), r.run.ID); most > 50 {
		t.Errorf("a step is done %d times for 20 items of 2 batches:\n%s", most, plan)
	}
	snap, _, err := r.Snapshot(t.Context(), r.run.ID, store.Counted)
	if err != nil {
		t.Fatal(err)
	}
	if c := snap.Counts; c.Claimed != 20 || c.Pending != 1980 {
		t.Errorf("%+v", c)
	}
}

// Only a pending item can be held with its batch.
func TestSettledItemsAreListedWithoutLookingAtBatches(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1000)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	r.release(t, 1)
	exec(t, r.DB, "update rotator.items set state = 'skipped', detail = 'x'")
	exec(t, r.DB, "analyze rotator.items, rotator.batches, rotator.shops")
	_, plan := mostLoops(t, r, store.ReadByState(t), r.run.ID, []string{"skipped"}, 0, 500)
	if !strings.Contains(plan, "One-Time Filter") {
		t.Errorf("batches are looked at for every item:\n%s", plan)
	}
}
