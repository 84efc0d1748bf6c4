package operate_test

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// A cancel adopts tokens that were not proven yet.
func TestACancelTellsOfUnprovenTokens(t *testing.T) {
	t.Parallel()
	counts := rotation.Counts{Total: 10, Proven: 4, Exchanged: 3, Pending: 3}
	got := operate.Leaves(rotation.Snapshot{Kind: rotation.KindRotation, Counts: counts})
	if want := "4 shops keep their new, proven token, 3 get a new one that is not proven yet, 3 keep the old one; "; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q at its beginning", got, want)
	}
	counts.Exchanged, counts.Pending = 0, 6
	got = operate.Leaves(rotation.Snapshot{Kind: rotation.KindRotation, Counts: counts})
	if want := "4 shops keep their new, proven token, 6 keep the old one; "; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q at its beginning", got, want)
	}
}
