package rotation_test

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestABoundTableMustBeReadBeforeTheProof(t *testing.T) {
	t.Parallel()
	for what, tc := range map[string]struct {
		bound rotation.Bound
		met   bool
		says  string
	}{
		"none":     {rotation.Bound{}, true, ""},
		"read":     {rotation.Bound{Table: "app.shops", Read: true}, true, "it was"},
		"not read": {rotation.Bound{Table: "app.shops"}, false, "not yet"},
		"left out": {rotation.Bound{Table: "app.shops", Read: true, LeftOut: 3}, true, "3 rows are bad"},
		"behind":   {rotation.Bound{Table: "app.shops", Read: true, Behind: 2}, false, "2 rows, which could not be written"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			s := snapshot(rotation.PhaseExchanging, func(s *rotation.Snapshot) {
				s.Counts = rotation.Counts{Total: 10, Proven: 10}
				s.Bound = tc.bound
			})
			gate := rotation.Gate(s)
			text := ""
			for _, c := range gate {
				text += c.Name + ": " + c.Evidence + "\n"
			}
			if rotation.GateMet(gate) != tc.met || !strings.Contains(text, tc.says) || (tc.bound.Table == "") == strings.Contains(text, "bound table") {
				t.Errorf("met %t\n%s", rotation.GateMet(gate), text)
			}
			// Only a gate that is met is passed.
			entered := false
			for _, a := range rotation.Advance(s) {
				entered = entered || a.Enter == rotation.PhaseProven
			}
			if entered != tc.met {
				t.Errorf("entered proven: %t", entered)
			}
		})
	}
}

func TestARunThatIsHeldByItsTable(t *testing.T) {
	t.Parallel()
	s := snapshot(rotation.PhaseExchanging, func(s *rotation.Snapshot) {
		s.Held, s.HeldWhy = rotation.HeldWaiting, "the bound table app.shops does not exist any more"
		s.Bound.Table = "app.shops"
	})
	if next := rotation.Next(s); next.Command != "rotator rotation resume" || !strings.Contains(next.Why, "`rotator shop bind` tells") {
		t.Errorf("next: %+v", next)
	}
}
