package jobs_test

import (
	"errors"
	"fmt"
	"slices"
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

// together starts one worker for the runs of all rigs, which have one database.
func together(client func(*rig) (*haravan.Client, error), rigs ...*rig) {
	first := rigs[0]
	first.t.Helper()
	started := make(chan struct{})
	e := jobs.New(jobs.Config{
		Store: first.db.Store, Log: first.log, InFlight: 64, Version: "test", Started: func() { close(started) },
		Client: func(a store.App, _ store.RunSettings) (*haravan.Client, error) {
			return client(rigs[slices.IndexFunc(rigs, func(r *rig) bool { return r.app.ID == a.ID })])
		},
	})
	first.work(e, started)
}

func (r *rig) platformClient() (*haravan.Client, error) {
	return haravan.New(haravan.Config{APIURL: r.sim.PlatformURL, InFlight: 64, Timeout: 5 * time.Second})
}

// A breach does not wait for the fleet of another app that came before.
func TestARunDoesNotWaitForAnotherAppsBatches(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	long := rigOf(t, db, "long", haravansim.Options{Shops: 6000, Latency: 50 * time.Millisecond})
	short := rigOf(t, db, "short", haravansim.Options{Shops: 20, Seed: 2})
	together((*rig).platformClient, long, short)
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

// A worker that runs once tells at its end of a run that was there before its own, or
// came up beside it.
func TestARunThatCannotBeWorkedStopsNoOtherOnce(t *testing.T) {
	t.Parallel()
	for name, before := range map[string]bool{"before": true, "beside": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storetest.New(t)
			bad := rigOf(t, db, "bad", haravansim.Options{Shops: 1})
			good := rigOf(t, db, "good", haravansim.Options{Shops: 20, Seed: 2})
			if before {
				bad.start(operate.StartOptions{})
			}
			good.start(operate.StartOptions{})
			good.arm()
			noClient := errors.New("no client")
			err := jobs.New(jobs.Config{
				Store: db.Store, Log: good.log, InFlight: 8, Version: "test", Once: true,
				Started: func() {
					if !before {
						bad.start(operate.StartOptions{})
					}
				},
				Client: func(a store.App, _ store.RunSettings) (*haravan.Client, error) {
					if a.ID == bad.app.ID {
						return nil, noClient
					}
					return good.platformClient()
				},
			}).Run(good.ctx)
			if !errors.Is(err, noClient) {
				t.Errorf("it ended with %v", err)
			}
			good.until("proven", inPhase(rotation.PhaseProven))
			good.tokens()
		})
	}
}

// Settings that cannot be read are one app's matter, also where a run of it is worked
// already: no other waits for them, and the worker counts as alive.
func TestSettingsThatCannotBeReadStopNoOther(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	bad := rigOf(t, db, "bad", haravansim.Options{Shops: 1})
	good := rigOf(t, db, "good", haravansim.Options{Shops: 20, Seed: 2})
	together((*rig).platformClient, bad, good)
	bad.start(operate.StartOptions{})
	bad.until("walked", func(s rotation.Snapshot) bool { return s.WalkDone })
	_, err := db.Pool.Exec(good.ctx, `update rotator.apps set settings = settings || '{"inflight": "many", "api_url": "http://127.0.0.1:1"}' where id = $1`, bad.app.ID)
	good.must(err)
	beaten := good.worker1().HeartbeatAt
	good.start(operate.StartOptions{})
	good.arm()
	good.until("proven", inPhase(rotation.PhaseProven))
	good.until("another heartbeat", func(rotation.Snapshot) bool { return good.worker1().HeartbeatAt.After(beaten) })
}

func TestARunThatCannotBeWorkedStopsNoOther(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	bad := rigOf(t, db, "bad", haravansim.Options{Shops: 1})
	good := rigOf(t, db, "good", haravansim.Options{Shops: 20, Seed: 2})
	bad.start(operate.StartOptions{})
	together(func(r *rig) (*haravan.Client, error) {
		if r == bad {
			return nil, errors.New("settings of a later version")
		}
		return r.platformClient()
	}, bad, good)
	good.start(operate.StartOptions{})
	good.arm()
	good.until("proven", inPhase(rotation.PhaseProven))
}

// What another app's run may have in flight is not this one's to use, whether that
// run works or only waits for a person.
func TestARunKeepsItsCapBesideAnotherAppsRun(t *testing.T) {
	t.Parallel()
	for _, works := range []bool{false, true} {
		t.Run(fmt.Sprintf("works=%t", works), func(t *testing.T) {
			t.Parallel()
			db := storetest.New(t)
			capped := rigOf(t, db, "capped", haravansim.Options{Shops: 150, Latency: 20 * time.Millisecond, History: 10_000})
			other := rigOf(t, db, "other", haravansim.Options{Shops: 1500, Latency: 20 * time.Millisecond, Seed: 2, History: 10_000})
			together((*rig).platformClient, capped, other)
			other.start(operate.StartOptions{BatchSize: 50})
			capped.start(operate.StartOptions{BatchSize: 50, InFlight: 3})
			if works {
				other.arm()
				other.until("under way", func(s rotation.Snapshot) bool { return s.Counts.Proven > 100 })
			}
			capped.arm()
			capped.until("proven", inPhase(rotation.PhaseProven))
			if most := mostAtOnce(capped.sim.History()); most > 3 {
				t.Errorf("%d calls at once under a cap of 3", most)
			}
			if works {
				other.until("proven", inPhase(rotation.PhaseProven))
				if most := mostAtOnce(other.sim.History()); most < 8 {
					t.Errorf("%d calls of the other run at once", most)
				}
			}
		})
	}
}
