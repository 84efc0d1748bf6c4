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
