package jobs

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestBurnDownIsLoggedWhenItChanges(t *testing.T) {
	t.Parallel()
	const total = 36_000
	begin := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	var l burnLog
	at := func(minute, proven int, held rotation.Held) (rotation.Burn, bool) {
		return l.look(rotation.Snapshot{
			Now: begin.Add(time.Duration(minute) * time.Minute), Phase: rotation.PhaseExchanging, PhaseAt: begin, Held: held,
			Window: rotation.Window{ExpiresAt: begin.Add(time.Hour)},
			Counts: rotation.Counts{Total: total, Proven: proven, Pending: total - proven},
			Waves:  []rotation.WaveStatus{{Released: true}},
		})
	}
	for _, look := range []struct {
		minute, proven  int
		held            rotation.Held
		changed, behind bool
	}{
		{0, 0, "", false, false},
		{1, 50, "", false, false}, // the first waves are small on purpose
		{3, 1_000, "", false, false},
		{4, 2_000, "", false, false}, // 17/s, ten are needed
		{5, 2_500, "", true, true},   // 8/s
		{6, 3_000, "", false, true},
		{7, 3_100, "", true, true}, // it got much worse
		{8, 3_200, "", false, true},
		{9, 3_200, rotation.HeldPaused, false, false}, // a pause is not slowness
		{19, 3_200, "", false, false},
		{20, 5_200, "", true, false}, // tuned: 33/s
		{21, 7_200, "", false, false},
	} {
		b, changed := at(look.minute, look.proven, look.held)
		if changed != look.changed || b.Behind != look.behind {
			t.Errorf("minute %d: %+v, changed %v", look.minute, b, changed)
		}
	}
}
