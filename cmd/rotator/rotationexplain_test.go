package main

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// TestAThrottledShopIsRetriedByItsOwnNoun: the verbs of a rotation are refused
// on a token migration, and the other way round.
func TestAThrottledShopIsRetriedByItsOwnNoun(t *testing.T) {
	t.Parallel()
	item := store.ItemInfo{Domain: "a.myharavan.com", State: rotation.ItemRetrying, Class: rotation.ClassRateLimited}
	for _, k := range []rotation.Kind{rotation.KindRotation, rotation.KindTokenMigration} {
		_, next := explainItem(item, runStatus{Kind: k})
		if want := "`rotator " + k.Noun() + " retry --shop a.myharavan.com --ignore-cooldown`"; !strings.Contains(next.Why, want) {
			t.Errorf("%s: %q does not say %s", k, next.Why, want)
		}
	}
}

// What no run does any more is not promised, and no command is named that is
// refused because the run is over.
func TestAShopOfACancelledRunWaitsForNothing(t *testing.T) {
	t.Parallel()
	over := rotation.Step{Why: "the run was cancelled"}
	for _, state := range rotation.ItemStates {
		_, next := explainItem(store.ItemInfo{Domain: "a.myharavan.com", State: state}, runStatus{State: runCancelled, Kind: rotation.KindRotation, Next: over})
		settled := state == rotation.ItemProven || state == rotation.ItemSkipped || state == rotation.ItemWaived
		if next.Command != "" || (next == over) == settled {
			t.Errorf("%s: %+v", state, next)
		}
	}
}

// A shop that thawed, or that a wrong host took for gone, needs no new install before
// the revoke. One that an operator left out is not for retry.
func TestASkippedShopCanBeTriedAgainBeforeTheRevoke(t *testing.T) {
	t.Parallel()
	for phase, want := range map[rotation.Phase]bool{
		rotation.PhaseExchanging: true, rotation.PhaseProven: true, rotation.PhaseRevoked: false, rotation.PhaseClosed: false,
	} {
		item := store.ItemInfo{Domain: "a.myharavan.com", State: rotation.ItemSkipped, Class: rotation.ClassFrozen}
		st := runStatus{State: runOpen, Kind: rotation.KindRotation, Phase: phase}
		if phase == rotation.PhaseClosed {
			st.State = runClosed
		}
		if _, next := explainItem(item, st); strings.Contains(next.Why, "`rotator rotation retry a.myharavan.com`") != want {
			t.Errorf("%s: %q", phase, next.Why)
		}
		item.Class = ""
		if _, next := explainItem(item, st); strings.Contains(next.Why, "retry") {
			t.Errorf("%s, nothing was asked: %q", phase, next.Why)
		}
	}
}

// A shop is unknown also where nothing was sent for it that could be lost: a sweep made
// it due again, or its token was replaced meanwhile.
func TestALostAnswerIsToldOnlyWhereOneMayBeLost(t *testing.T) {
	t.Parallel()
	const lost = "answer was lost"
	for name, tt := range map[string]struct {
		kind  rotation.Kind
		acted bool
		want  bool
	}{
		"sent, no answer":                 {rotation.KindRotation, true, true},
		"settled before, looked at again": {rotation.KindRotation, false, false},
		"a migration exchanges nothing":   {rotation.KindTokenMigration, true, false},
	} {
		item := store.ItemInfo{Domain: "a.myharavan.com", State: rotation.ItemUnknown, Acted: tt.acted}
		for _, state := range []runState{runOpen, runCancelled} {
			words, _ := explainItem(item, runStatus{Kind: tt.kind, State: state, Phase: rotation.PhaseExchanging})
			if strings.Contains(words, lost) != tt.want || !tt.want && strings.Contains(words, "exchanged") {
				t.Errorf("%s, run %s: %q", name, state, words)
			}
		}
	}
}
