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
