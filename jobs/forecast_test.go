package jobs

import (
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
)

// TestPaceIsAsForeseen: the forecast reckons with the pace's first steps.
func TestPaceIsAsForeseen(t *testing.T) {
	t.Parallel()
	p := NewPace(256)
	if got := p.State().Limit; got != rotation.PaceStart {
		t.Fatalf("a pace begins with %d calls, the forecast with %d", got, rotation.PaceStart)
	}
	for range rotation.PaceWindow {
		if err := p.Acquire(t.Context(), true, place{}); err != nil {
			t.Fatal(err)
		}
		p.Release("", 0)
	}
	if got := p.State().Limit; got != 2*rotation.PaceStart {
		t.Errorf("after %d calls the pace stands at %d, the forecast at %d", rotation.PaceWindow, got, 2*rotation.PaceStart)
	}
}
