package rotation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestCountsKnowWhatIsOpen(t *testing.T) {
	t.Parallel()
	open := map[rotation.ItemState]bool{
		rotation.ItemPending: true, rotation.ItemClaimed: true, rotation.ItemExchanged: true,
		rotation.ItemRetrying: true, rotation.ItemUnknown: true,
	}
	for _, s := range rotation.ItemStates {
		var c rotation.Counts
		c.Add(s, 3)
		want := 0
		if open[s] {
			want = 3
		}
		if c.Total != 3 || c.Open() != want || c.Settled() != 3-want {
			t.Errorf("3 items in %s: total %d, open %d, settled %d", s, c.Total, c.Open(), c.Settled())
		}
	}
}

func TestCountsAddEachStateToItsOwnNumber(t *testing.T) {
	t.Parallel()
	var c rotation.Counts
	for i, s := range rotation.ItemStates {
		c.Add(s, i+1)
	}
	want := rotation.Counts{
		Total: 45, Pending: 1, Claimed: 2, Exchanged: 3, Proven: 4, Retrying: 5, Unknown: 6, Parked: 7, Skipped: 8, Waived: 9,
	}
	if diff := cmp.Diff(want, c); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
}

func TestOpenAndSettledMakeTheTotal(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var c rotation.Counts
		for _, s := range rapid.SliceOf(rapid.SampledFrom(rotation.ItemStates)).Draw(t, "states") {
			c.Add(s, rapid.IntRange(0, 1000).Draw(t, "n"))
		}
		if c.Open()+c.Settled() != c.Total {
			t.Fatalf("open %d + settled %d ≠ total %d", c.Open(), c.Settled(), c.Total)
		}
	})
}
