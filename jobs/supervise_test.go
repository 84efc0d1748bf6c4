package jobs

import (
	"testing"
	"time"
)

// A look that hung with the database for a quarter of a minute must not keep the
// next one, which takes over what dead workers left, for a minute.
func TestSupervisorRestsInProportionAndNeverForLong(t *testing.T) {
	t.Parallel()
	for took, want := range map[time.Duration]time.Duration{
		0:                     superviseLeast,
		5 * time.Millisecond:  superviseLeast,
		20 * time.Millisecond: 80 * time.Millisecond,
		time.Second:           4 * time.Second,
		15 * time.Second:      superviseRest,
		10 * time.Minute:      superviseRest,
	} {
		if got := restAfter(took); got != want {
			t.Errorf("after a look of %s the supervisor rests for %s, want %s", took, got, want)
		}
	}
}
