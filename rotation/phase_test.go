package rotation_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestEveryPhaseButTheLastHasAGate(t *testing.T) {
	t.Parallel()
	eachCourse(t, func(t *testing.T, k rotation.Kind, m rotation.Mode, c rotation.Course) {
		for _, p := range c.Phases() {
			gate := rotation.Gate(rotation.Snapshot{Kind: k, Mode: m, Phase: p})
			if (len(gate) == 0) != (p == rotation.PhaseClosed) {
				t.Errorf("the gate of %s has %d conditions", p, len(gate))
			}
		}
	})
}

func TestPhaseIsValid(t *testing.T) {
	t.Parallel()
	for _, p := range rotation.Phases {
		if !p.Valid() {
			t.Errorf("%s is not valid", p)
		}
	}
	for _, p := range []rotation.Phase{"", "held", "PREPARED", "prepared "} {
		if p.Valid() {
			t.Errorf("%q is valid", p)
		}
	}
}
