package jobs_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/jobs"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// A breach does not wait for the fleet of another app that came before.
func TestARunDoesNotWaitForAnotherAppsBatches(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	long := rigOf(t, db, "long", haravansim.Options{Shops: 6000, Latency: 50 * time.Millisecond})
	short := rigOf(t, db, "short", haravansim.Options{Shops: 20, Seed: 2})
	started := make(chan struct{})
	e, err := jobs.New(jobs.Config{
		Store: db.Store, Log: long.log, InFlight: 64, Version: "test", Started: func() { close(started) },
		Client: func(a store.App, _ store.RunSettings) (*haravan.Client, error) {
			url := long.sim.PlatformURL
			if a.ID == short.app.ID {
				url = short.sim.PlatformURL
			}
			return haravan.New(haravan.Config{APIURL: url, InFlight: 64, Timeout: 5 * time.Second})
		},
	})
	long.must(err)
	long.work(e, started)
	for _, r := range []*rig{long, short} {
		r.start(operate.StartOptions{BatchSize: 50})
		r.until("walked", func(s rotation.Snapshot) bool { return s.WalkDone })
	}
	long.arm()
	long.until("under way", func(s rotation.Snapshot) bool { return s.Counts.Proven > 1500 })
	short.arm()
	short.until("proven", inPhase(rotation.PhaseProven))
	if s := long.until("now", func(rotation.Snapshot) bool { return true }); s.Counts.Pending < 1000 {
		t.Errorf("20 shops of one app were proven when another app's were %+v", s.Counts)
	}
}
