package jobs

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestLineLetsInByArrivalOfRunsAndByPositionWithin(t *testing.T) {
	t.Parallel()
	var l line
	var turns []*turn
	var order []int
	for i, at := range []place{{1, 30}, {1, 20}, {2, 5}, {1, 10}, {2, 4}, {1, 10}, {3, 1}} {
		turns = append(turns, l.join(at, func() { order = append(order, i) }))
	}
	if !l.leave(turns[6]) || !l.leave(turns[1]) || l.len() != 5 {
		t.Fatalf("%d wait after two left", l.len())
	}
	for l.len() > 0 {
		l.next()()
	}
	if diff := cmp.Diff([]int{3, 4, 5, 2, 0}, order); diff != "" {
		t.Errorf("let in (-want +got):\n%s", diff)
	}
	if l.leave(turns[0]) {
		t.Error("left after its turn had come")
	}
	if len(l.runs) != 0 {
		t.Errorf("%d runs are kept", len(l.runs))
	}
}
