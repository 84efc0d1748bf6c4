package rotation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// settled is a run whose shops are all proven, and that only its app may hold up.
func settled(d rotation.Deliveries) rotation.Snapshot {
	return rotation.Snapshot{
		App: "main", Kind: rotation.KindRotation, Mode: rotation.ModePlanned, Phase: rotation.PhaseExchanging, WalkDone: true, Workers: 1,
		Counts: rotation.Counts{Total: 10, Proven: 10}, Deliveries: d,
	}
}

func TestTheAppHoldsUpARunThatRequiresIt(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name           string
		d              rotation.Deliveries
		met            bool
		human          bool
		evidence, next string
	}{
		{name: "not required", d: rotation.Deliveries{Failing: 3, Oldest: time.Hour}, met: true},
		{name: "all known", d: rotation.Deliveries{Required: true, Acknowledged: 8, Waived: 2}, met: true, evidence: "8 acknowledged, 2 waived"},
		{name: "under way", d: rotation.Deliveries{Required: true, Pending: 4}, evidence: "4 are not, of which 0", next: "yet to acknowledge 4"},
		{name: "failed a moment ago", d: rotation.Deliveries{Required: true, Pending: 1, Failing: 2, Oldest: 5 * time.Second}, evidence: "3 are not, of which 2", next: "yet to acknowledge 3"},
		{name: "some fail, others are being sent", d: rotation.Deliveries{Required: true, Pending: 1, Failing: 2, Oldest: time.Hour}, evidence: "3 are not, of which 2", next: "yet to acknowledge 3"},
		{name: "down", d: rotation.Deliveries{Required: true, Pending: 1, Failing: 2, Oldest: time.Hour, DownSince: time.Unix(1, 0)}, evidence: "3 are not", next: "mend what receives", human: true},
		{name: "stopped", d: rotation.Deliveries{Required: true, Pending: 1, NoURL: true}, evidence: "1 are not", next: "has no URL any more", human: true},
		{name: "failing for long", d: rotation.Deliveries{Required: true, Failing: 2, Oldest: time.Hour}, evidence: "2 are not, of which 2", next: "mend what receives", human: true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := settled(tt.d)
			gate := rotation.Gate(s)
			last := gate[len(gate)-1]
			if rotation.GateMet(gate) != tt.met || (tt.evidence != "") != strings.Contains(last.Name, "acknowledged by the app") || !strings.Contains(last.Evidence, tt.evidence) {
				t.Errorf("gate: %+v", gate)
			}
			enters := false
			for _, a := range rotation.Advance(s) {
				enters = enters || a.Enter == rotation.PhaseProven
			}
			if enters != tt.met {
				t.Errorf("advance: %+v", rotation.Advance(s))
			}
			if next := rotation.Next(s); next.Human != tt.human || !strings.Contains(next.Why, tt.next) || tt.human != (next.Command != "") {
				t.Errorf("next: %+v", next)
			}
		})
	}
}

// Whether it is required or not: who revokes while the app works with old tokens
// has an outage.
func TestTheStepBeforeTheRevokeNamesWhatTheAppDoesNotKnow(t *testing.T) {
	t.Parallel()
	s := settled(rotation.Deliveries{Pending: 3})
	s.Phase, s.Certificate = rotation.PhaseProven, true
	if next := rotation.Next(s); !strings.Contains(next.Why, "has not acknowledged 3 new tokens") {
		t.Errorf("next: %+v", next)
	}
	s.ToLoad = 3 // the same ones
	if next := rotation.Next(s); strings.Contains(next.Why, "shop export") {
		t.Errorf("next: %+v", next)
	}
	s.ToLoad = 5 // two were swapped before the app had a URL
	if next := rotation.Next(s); !strings.Contains(next.Why, "when it has, load the new tokens of 2 shops into the app") {
		t.Errorf("next: %+v", next)
	}
	s.Deliveries.Pending, s.ToLoad = 0, 0
	if next := rotation.Next(s); strings.Contains(next.Why, "acknowledged") {
		t.Errorf("next: %+v", next)
	}
}
