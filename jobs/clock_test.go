package jobs

import (
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// A worker is told how much time is left, never until when: where its clock
// stands does not matter, only that it ticks.
func TestTheWindowIsCountedByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) { // its clock begins in the year 2000
		r := &runState{control: &store.Control{}, breaker: rotation.NewBreaker()}
		may := func(left time.Duration) error {
			now := time.Now()
			r.update(store.Control{Phase: rotation.PhaseExchanging, RefreshTokenID: 1, WindowLeft: left}, now, now)
			return r.mayCall(true, time.Second)
		}
		if err := may(time.Hour); err != nil {
			t.Errorf("an hour is left: %v", err)
		}
		if err := may(windowMargin + time.Second); !errors.Is(err, errWindow) {
			t.Errorf("too little is left: %v", err)
		}
		if err := may(10 * time.Second); err != nil {
			t.Errorf("ten seconds are left: %v", err)
		}
		// The database is silent: the rest is counted here.
		time.Sleep(8 * time.Second)
		if err := r.mayCall(true, time.Second); !errors.Is(err, errWindow) {
			t.Errorf("two seconds are left: %v", err)
		}
		// Pauses between tries shrink with what is left.
		if got := r.inWindow(16 * time.Second); got != leastPause {
			t.Errorf("a pause of %s before the end", got)
		}
		if err := may(time.Minute); err != nil || r.inWindow(16*time.Second) != 6*time.Second {
			t.Errorf("a pause of %s with a minute left (%v)", r.inWindow(16*time.Second), err)
		}
		if err := may(time.Hour); err != nil || r.inWindow(16*time.Second) != 16*time.Second {
			t.Errorf("a pause of %s with an hour left (%v)", r.inWindow(16*time.Second), err)
		}
		if err := r.mayCall(false, time.Second); err != nil {
			t.Errorf("a proof needs no window: %v", err)
		}
	})
}
