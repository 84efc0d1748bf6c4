package rotation_test

import (
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/haravan-rotator/rotator/rotation"
)

// observe feeds n outcomes of one class and returns the first trip and how many
// outcomes it took.
func observe(b *rotation.Breaker, c rotation.Class, n int) (rotation.Trip, int) {
	for i := range n {
		if trip, ok := b.Observe(c); ok {
			return trip, i + 1
		}
	}
	return rotation.Trip{}, 0
}

func TestEachClassOpensTheBreakerOrDoesNot(t *testing.T) {
	t.Parallel()
	tests := map[rotation.Class]struct {
		after int
		held  rotation.Held
	}{
		"":                         {},
		rotation.ClassPlatform:     {10, rotation.HeldBreakerOpen},
		rotation.ClassNetwork:      {10, rotation.HeldBreakerOpen},
		rotation.ClassBadAnswer:    {10, rotation.HeldBreakerOpen},
		rotation.ClassOurs:         {3, rotation.HeldWaiting},
		rotation.ClassWindow:       {3, rotation.HeldWaiting},
		rotation.ClassRateLimited:  {},
		rotation.ClassUnauthorized: {},
		rotation.ClassScope:        {},
		rotation.ClassUninstalled:  {},
		rotation.ClassFrozen:       {},
		rotation.ClassNotFound:     {},
		rotation.ClassWrongShop:    {},
	}
	if len(tests) != len(rotation.Classes)+1 {
		t.Fatalf("%d classes are tested, there are %d", len(tests)-1, len(rotation.Classes))
	}
	for class, want := range tests {
		t.Run(string(class), func(t *testing.T) {
			t.Parallel()
			trip, after := observe(rotation.NewBreaker(), class, 1000)
			if after != want.after || trip.Held != want.held {
				t.Fatalf("held %q after %d, want %q after %d", trip.Held, after, want.held, want.after)
			}
			if after > 0 && (trip.Class != class || !strings.Contains(trip.Why, class.Words())) {
				t.Errorf("trip %+v does not say why", trip)
			}
		})
	}
}

func TestDeadShopsNeitherOpenTheBreakerNorDiluteIt(t *testing.T) {
	t.Parallel()
	b := rotation.NewBreaker()
	for range 9 {
		if _, ok := b.Observe(rotation.ClassNetwork); ok {
			t.Fatal("tripped under the least number of failures")
		}
		if _, after := observe(b, rotation.ClassUninstalled, 50); after != 0 {
			t.Fatal("a dead shop tripped the breaker")
		}
	}
	if _, ok := b.Observe(rotation.ClassNetwork); !ok {
		t.Error("the tenth failure in a row of live shops did not trip")
	}
}

func TestBreakerNeedsItsShareOfTheWindow(t *testing.T) {
	t.Parallel()
	b := rotation.NewBreaker()
	observe(b, "", 100)
	// Each failure pushes a success out: the fiftieth makes half.
	trip, after := observe(b, rotation.ClassPlatform, 100)
	if after != 50 || !strings.Contains(trip.Why, "50 of the last 100 attempts") {
		t.Errorf("tripped after %d: %+v", after, trip)
	}
}

func TestBreakerForgetsWhatSlidOut(t *testing.T) {
	t.Parallel()
	b := rotation.NewBreaker()
	observe(b, "", 51)
	if _, after := observe(b, rotation.ClassPlatform, 49); after != 0 {
		t.Fatalf("tripped after %d of 49", after)
	}
	// The 51 successes slide out first, then the failures: all is forgotten.
	if _, after := observe(b, "", 100); after != 0 {
		t.Fatal("a success tripped the breaker")
	}
	if _, after := observe(b, rotation.ClassPlatform, 49); after != 0 {
		t.Errorf("tripped after %d: failures that slid out were counted", after)
	}
}

func TestARateLimitIsNoFailureButTakesPartInTheShare(t *testing.T) {
	t.Parallel()
	b := rotation.NewBreaker()
	observe(b, rotation.ClassRateLimited, 30)
	if _, after := observe(b, rotation.ClassNetwork, 100); after != 30 {
		t.Errorf("tripped after %d failures beside 30 rate limits, want 30", after)
	}
}

func TestRefusalsMustComeInARow(t *testing.T) {
	t.Parallel()
	b := rotation.NewBreaker()
	for range 20 {
		if _, after := observe(b, rotation.ClassWindow, 2); after != 0 {
			t.Fatal("two refusals were believed")
		}
		b.Observe("")
	}
	observe(b, rotation.ClassWindow, 1)
	// Other failures prove nothing about the credentials.
	observe(b, rotation.ClassNetwork, 1)
	observe(b, rotation.ClassUninstalled, 1)
	observe(b, rotation.ClassOurs, 1)
	trip, ok := b.Observe(rotation.ClassWindow)
	if !ok || trip.Held != rotation.HeldWaiting || !strings.HasPrefix(trip.Why, "3 attempts in a row were refused") {
		t.Errorf("the third refusal: %+v, %t", trip, ok)
	}
}

func TestOneSuccessEndsARowOfRefusalsAfterATrip(t *testing.T) {
	t.Parallel()
	b := rotation.NewBreaker()
	if _, after := observe(b, rotation.ClassWindow, 3); after != 3 {
		t.Fatal("three refusals were not believed")
	}
	b.Observe("")
	if _, after := observe(b, rotation.ClassWindow, 2); after != 0 {
		t.Error("the breaker did not recover from a success")
	}
}

// The sliding count must equal a count over the last outcomes.
func TestBreakerCountsTheLastOutcomes(t *testing.T) {
	t.Parallel()
	classes := []rotation.Class{"", "", rotation.ClassRateLimited, rotation.ClassPlatform, rotation.ClassNetwork, rotation.ClassBadAnswer, rotation.ClassFrozen}
	rapid.Check(t, func(t *rapid.T) {
		b := &rotation.Breaker{Size: rapid.IntRange(1, 20).Draw(t, "size"), Least: rapid.IntRange(1, 8).Draw(t, "least"), Share: rapid.Float64Range(0.1, 1).Draw(t, "share")}
		var seen []rotation.Class
		for _, c := range rapid.SliceOfN(rapid.SampledFrom(classes), 0, 200).Draw(t, "outcomes") {
			_, tripped := b.Observe(c)
			if c != rotation.ClassFrozen {
				seen = append(seen, c)
			}
			recent := seen[max(0, len(seen)-b.Size):]
			failed := 0
			for _, r := range recent {
				if r.TripsBreaker() {
					failed++
				}
			}
			want := c.TripsBreaker() && failed >= b.Least && float64(failed) >= b.Share*float64(len(recent))
			if tripped != want {
				t.Fatalf("after %v of the last %d: tripped %t, %d failed", recent, b.Size, tripped, failed)
			}
		}
	})
}
