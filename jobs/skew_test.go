package jobs_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// A run takes as long as it takes, whatever the database's clock shows.
func TestARunDoesNotWaitForTheClock(t *testing.T) {
	t.Parallel()
	for name, ahead := range map[string]time.Duration{"behind": -10 * time.Minute, "ahead": 10 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db, clock := storetest.Skewed(t)
			clock(ahead)
			r := rigOn(t, db, haravansim.Options{Shops: 30})
			// One comes back by itself, as a job of its own.
			r.must(r.sim.Script(r.domains()[7], haravansim.OpExchange, haravansim.FaultThrottleBare))
			r.worker()
			r.start(operate.StartOptions{})
			r.arm()
			r.until("proven", inPhase(rotation.PhaseProven))
			r.tokens()
		})
	}
}

// Nor does a run that a clock is set back under.
func TestARunGoesOnWhenTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	db, clock := storetest.Skewed(t)
	clock(5 * time.Minute)
	r := rigOn(t, db, haravansim.Options{Shops: 30})
	r.worker()
	r.start(operate.StartOptions{})
	clock(0)
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
}
