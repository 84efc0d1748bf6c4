package rotation_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestEachClassHasItsConsequence(t *testing.T) {
	t.Parallel()
	tests := []struct {
		class                           rotation.Class
		trips, retryable, stops, isGone bool
	}{
		{class: ""},
		{class: rotation.ClassPlatform, trips: true, retryable: true},
		{class: rotation.ClassRateLimited, retryable: true},
		{class: rotation.ClassNetwork, trips: true, retryable: true},
		{class: rotation.ClassBadAnswer, trips: true, retryable: true},
		{class: rotation.ClassUnauthorized},
		{class: rotation.ClassScope},
		{class: rotation.ClassUninstalled, isGone: true},
		{class: rotation.ClassFrozen, isGone: true},
		{class: rotation.ClassNotFound, isGone: true},
		{class: rotation.ClassWrongShop},
		{class: rotation.ClassWindow, stops: true},
		{class: rotation.ClassOurs, trips: true, stops: true},
	}
	if len(tests) != len(rotation.Classes)+1 {
		t.Fatalf("%d classes are tested, there are %d", len(tests)-1, len(rotation.Classes))
	}
	for _, tt := range tests {
		t.Run(string(tt.class), func(t *testing.T) {
			t.Parallel()
			c := tt.class
			if c.Valid() != (c != "") {
				t.Errorf("Valid() = %t", c.Valid())
			}
			if got := c.TripsBreaker(); got != tt.trips {
				t.Errorf("TripsBreaker() = %t", got)
			}
			if got := c.Retryable(); got != tt.retryable {
				t.Errorf("Retryable() = %t", got)
			}
			if got := c.StopsRun(); got != tt.stops {
				t.Errorf("StopsRun() = %t", got)
			}
			if got := c.ShopIsGone(); got != tt.isGone {
				t.Errorf("ShopIsGone() = %t", got)
			}
		})
	}
}

func TestEveryClassIsExplainedInItsOwnWords(t *testing.T) {
	t.Parallel()
	seen := map[string]rotation.Class{}
	for _, c := range rotation.Classes {
		w := c.Words()
		if w == "" || w == string(c) {
			t.Errorf("%s is not explained", c)
		}
		if other, ok := seen[w]; ok {
			t.Errorf("%s and %s have the same words", c, other)
		}
		seen[w] = c
	}
	if rotation.Class("new_kind").Valid() {
		t.Error("a class that does not exist is valid")
	}
	if got := rotation.Class("new_kind").Words(); got != "new_kind" {
		t.Errorf("an unknown class is shown as %q", got)
	}
}
