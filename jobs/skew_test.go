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

// River's own rescue goes by how long ago a job was given, by a clock of its own:
// after one was set back for hours that looks like hours.
func TestNoLiveJobIsTakenWhenTheClockIsSetBack(t *testing.T) {
	t.Parallel()
	db, clock := storetest.Skewed(t)
	r := rigOn(t, db, haravansim.Options{Shops: 60})
	r.worker()
	rate := 10.0
	r.start(operate.StartOptions{Rate: &rate})
	elected := func(rotation.Snapshot) (is bool) {
		r.must(db.Pool.QueryRow(r.ctx, "select exists (select from rotator.river_leader where elected_at <= skewed.now())").Scan(&is))
		return is
	}
	r.until("a leader", elected)
	clock(-3 * time.Hour)
	r.arm()
	// Who is elected looks for stuck jobs at once.
	_, err := db.Pool.Exec(r.ctx, "delete from rotator.river_leader")
	r.must(err)
	r.until("a leader since the clock was set back", elected)
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
	var taken int
	r.must(db.Pool.QueryRow(r.ctx, "select count(*) from rotator.batches where fence > 1").Scan(&taken))
	if taken > 0 {
		t.Errorf("%d batches were taken from a live worker", taken)
	}
	var rescued int
	r.must(db.Pool.QueryRow(r.ctx, "select count(*) from rotator.river_job where errors::text like '%rescue%'").Scan(&rescued))
	if rescued > 0 {
		t.Errorf("%d jobs were rescued", rescued)
	}
}
