package store_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

var byPriority = store.RunSettings{BatchSize: 4, Waves: rotation.WavePolicy{Canary: 3, Shares: []float64{0.2}}, ByPriority: true}

// rank sets the priorities of storetest's fleet: shop i has priority of(i).
func (r *rig) rank(t *testing.T, n int, of func(int) int) {
	t.Helper()
	for i := range n {
		exec(t, r.DB, "update rotator.shops set priority = $3 where app_id = $1 and domain = $2", r.app.ID, fmt.Sprintf("shop-%d.myharavan.com", i), of(i))
	}
}

// walked lists the priorities of the run's shops, in the order of its positions.
func (r *rig) walked(t *testing.T) []int {
	t.Helper()
	return ask[int](t, r.DB, "select s.priority from rotator.items i join rotator.shops s on s.id = i.shop_id where i.run_id = $1 order by i.position", r.run.ID)
}

func TestAWalkByPriorityTakesTheImportantFirst(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 50, byPriority)
	of := func(i int) int { return []int{0, -3, 7, 0, 1_000_000, -1_000_000}[i%6] }
	r.rank(t, 50, of)
	r.walk(t)
	covered(t, r, 50)
	var want []string
	for _, p := range []int{1_000_000, 7, 0, -3, -1_000_000} {
		for i := range 50 {
			if of(i) == p {
				want = append(want, fmt.Sprintf("shop-%d.myharavan.com", i))
			}
		}
	}
	got := ask[string](t, r.DB, "select s.domain from rotator.items i join rotator.shops s on s.id = i.shop_id where i.run_id = $1 order by i.position", r.run.ID)
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("order (-want +got):\n%s", diff)
	}
}

func TestARunGoesByIdUnlessAsked(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	r.rank(t, 20, func(i int) int { return i })
	r.walk(t)
	if got := r.walked(t); !slices.IsSorted(got) {
		t.Errorf("priorities in the order of the run: %v", got)
	}
}

// Priorities that change between the pages move shops to the other side of the
// cursor: whatever happens, none is in the run twice and none stays out of it.
func TestAChangedPriorityNeitherLosesNorDoublesAShop(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	apps := 0
	rapid.Check(t, func(rt *rapid.T) {
		apps++
		n := rapid.IntRange(1, 40).Draw(rt, "shops")
		r := newRigIn(t, db, fmt.Sprint("app-", apps), n, byPriority)
		for done := false; !done; {
			var err error
			if done, err = r.WalkPage(t.Context(), r.run.ID, rapid.IntRange(1, 9).Draw(rt, "page")); err != nil {
				rt.Fatal(err)
			}
			for range rapid.IntRange(0, 5).Draw(rt, "changes") {
				i, p := rapid.IntRange(0, n-1).Draw(rt, "shop"), rapid.IntRange(-3, 3).Draw(rt, "priority")
				exec(t, r.DB, "update rotator.shops set priority = $3 where app_id = $1 and domain = $2", r.app.ID, fmt.Sprintf("shop-%d.myharavan.com", i), p)
			}
		}
		r.reread(t)
		in := len(r.walked(t))
		if int64(in) != r.run.LastPosition {
			rt.Fatalf("%d shops at %d positions", in, r.run.LastPosition)
		}
		r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Sweep(ctx, r.run) })
		r.reread(t)
		covered(t, r, int64(n))
	})
}

// A page is one range of an index, however many shops share a priority.
func TestAPageByPriorityReadsNoMoreThanItself(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 3000, byPriority)
	exec(t, r.DB, "analyze rotator.shops")
	plan := strings.Join(ask[string](t, r.DB, `explain select id from rotator.shops
		where app_id = `+fmt.Sprint(r.app.ID)+` and (-priority, id) > (0, 500) order by -priority, id limit 10`), "\n")
	if !strings.Contains(plan, "shops_by_priority") || !strings.Contains(plan, "ROW(") || strings.Contains(plan, "Filter") || strings.Contains(plan, "Sort") {
		t.Errorf("plan:\n%s", plan)
	}
}
