package rotation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestEveryPhaseButTheLastHasOneWayForward(t *testing.T) {
	t.Parallel()
	forward := map[rotation.Phase]int{}
	back := map[rotation.Phase]rotation.Phase{}
	for _, tr := range rotation.Transitions {
		if !tr.From.Valid() || !tr.To.Valid() {
			t.Errorf("%s → %s names a phase that does not exist", tr.From, tr.To)
		}
		if tr.Driver != rotation.DriverHuman && tr.Driver != rotation.DriverEngine {
			t.Errorf("%s → %s is driven by %q", tr.From, tr.To, tr.Driver)
		}
		if tr.From.Before(tr.To) {
			forward[tr.From]++
			continue
		}
		back[tr.From] = tr.To
		if tr.Driver != rotation.DriverEngine {
			t.Errorf("a human takes the run back from %s to %s", tr.From, tr.To)
		}
	}
	last := rotation.Phases[len(rotation.Phases)-1]
	for _, p := range rotation.Phases {
		want := 1
		if p == last {
			want = 0
		}
		if forward[p] != want {
			t.Errorf("%s has %d ways forward, want %d", p, forward[p], want)
		}
		tr, ok := rotation.TransitionFrom(p)
		if ok != (want == 1) || (ok && !p.Before(tr.To)) {
			t.Errorf("TransitionFrom(%s) = %+v, %t", p, tr, ok)
		}
	}
	// A proof can be taken back while the old secret still lives, nothing else.
	if diff := cmp.Diff(map[rotation.Phase]rotation.Phase{rotation.PhaseProven: rotation.PhaseExchanging}, back); diff != "" {
		t.Errorf("ways back (-want +got):\n%s", diff)
	}
}

func TestTransitionsVisitThePhasesInOrder(t *testing.T) {
	t.Parallel()
	visited := []rotation.Phase{rotation.PhasePrepared}
	for len(visited) <= len(rotation.Phases) {
		tr, ok := rotation.TransitionFrom(visited[len(visited)-1])
		if !ok {
			break
		}
		visited = append(visited, tr.To)
	}
	if diff := cmp.Diff(rotation.Phases, visited); diff != "" {
		t.Errorf("phases visited (-want +got):\n%s", diff)
	}
}

func TestWhatCannotBeUndoneAsksForTheAppsName(t *testing.T) {
	t.Parallel()
	var asks []rotation.Phase
	for _, tr := range rotation.Transitions {
		if tr.Irreversible {
			asks = append(asks, tr.To)
			if tr.Driver != rotation.DriverHuman {
				t.Errorf("the engine enters %s by itself", tr.To)
			}
		}
	}
	if diff := cmp.Diff([]rotation.Phase{rotation.PhaseRevoked, rotation.PhaseClosed}, asks); diff != "" {
		t.Errorf("irreversible (-want +got):\n%s", diff)
	}
}

func TestEveryPhaseButTheLastHasAGate(t *testing.T) {
	t.Parallel()
	for _, p := range rotation.Phases {
		gate := rotation.Gate(rotation.Snapshot{Phase: p})
		if (len(gate) == 0) != (p == rotation.PhaseClosed) {
			t.Errorf("the gate of %s has %d conditions", p, len(gate))
		}
	}
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
