package rotation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
)

// eachCourse runs a subtest for every course that exists.
func eachCourse(t *testing.T, test func(*testing.T, rotation.Kind, rotation.Mode, rotation.Course)) {
	t.Helper()
	courses := 0
	for _, k := range []rotation.Kind{rotation.KindRotation, rotation.KindTokenMigration} {
		for _, m := range []rotation.Mode{rotation.ModePlanned, rotation.ModeBreach} {
			if c := rotation.CourseOf(k, m); c != nil {
				courses++
				t.Run(string(k)+"/"+string(m), func(t *testing.T) { test(t, k, m, c) })
			}
		}
	}
	if courses == 0 {
		t.Error("there is no course")
	}
}

func TestEveryPhaseOfACourseButTheLastHasOneWayForward(t *testing.T) {
	t.Parallel()
	eachCourse(t, func(t *testing.T, _ rotation.Kind, _ rotation.Mode, c rotation.Course) {
		forward := map[rotation.Phase]int{}
		back := map[rotation.Phase]rotation.Phase{}
		for _, tr := range c {
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
		for _, p := range c.Phases() {
			want := 1
			if p == rotation.PhaseClosed {
				want = 0
			}
			if forward[p] != want {
				t.Errorf("%s has %d ways forward, want %d", p, forward[p], want)
			}
			if tr, ok := c.Forward(p); ok != (want == 1) || (ok && !p.Before(tr.To)) {
				t.Errorf("Forward(%s) = %+v, %t", p, tr, ok)
			}
		}
		// A proof can be taken back while the old secret still lives, nothing else.
		for from, to := range back {
			if from != rotation.PhaseProven || to != rotation.PhaseExchanging {
				t.Errorf("a way back leads from %s to %s", from, to)
			}
		}
	})
}

func TestACourseVisitsItsPhasesInOrder(t *testing.T) {
	t.Parallel()
	eachCourse(t, func(t *testing.T, _ rotation.Kind, _ rotation.Mode, c rotation.Course) {
		visited := []rotation.Phase{c.First()}
		for len(visited) <= len(rotation.Phases) {
			tr, ok := c.Forward(visited[len(visited)-1])
			if !ok {
				break
			}
			visited = append(visited, tr.To)
		}
		if diff := cmp.Diff(c.Phases(), visited); diff != "" {
			t.Errorf("phases visited (-want +got):\n%s", diff)
		}
		if last := visited[len(visited)-1]; last != rotation.PhaseClosed {
			t.Errorf("the course ends in %s", last)
		}
	})
}

func TestWhatCannotBeUndoneAsksForTheAppsName(t *testing.T) {
	t.Parallel()
	want := map[rotation.Kind]map[rotation.Mode][]rotation.Phase{
		rotation.KindRotation: {
			rotation.ModePlanned: {rotation.PhaseRevoked, rotation.PhaseClosed},
			rotation.ModeBreach:  {rotation.PhaseContained, rotation.PhaseClosed},
		},
		rotation.KindTokenMigration: {rotation.ModePlanned: {rotation.PhaseCutover, rotation.PhaseScrubbed}},
	}
	eachCourse(t, func(t *testing.T, k rotation.Kind, m rotation.Mode, c rotation.Course) {
		var asks []rotation.Phase
		for _, tr := range c {
			if tr.Irreversible {
				asks = append(asks, tr.To)
				if tr.Driver != rotation.DriverHuman {
					t.Errorf("the engine enters %s by itself", tr.To)
				}
			}
		}
		if diff := cmp.Diff(want[k][m], asks); diff != "" {
			t.Errorf("irreversible (-want +got):\n%s", diff)
		}
	})
}
