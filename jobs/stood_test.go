package jobs

import "testing"

// Two apps may walk, or be checked, at the same time: a job of one that was lost
// is seen although the other is supervised between.
func TestARunThatStandsStillIsSeenBesideAnother(t *testing.T) {
	t.Parallel()
	seen := stood{}
	for _, look := range []struct {
		run, at int64
		still   bool
	}{{1, 100, false}, {2, 7, false}, {1, 100, true}, {2, 8, false}, {2, 8, true}, {1, 101, false}, {1, 101, true}} {
		if got := seen.still(look.run, look.at); got != look.still {
			t.Errorf("run %d at %d: still %t, want %t", look.run, look.at, got, look.still)
		}
	}
}
