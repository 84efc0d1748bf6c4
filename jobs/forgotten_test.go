package jobs_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// A worker's row goes after a week of silence, and when the database's clock was set
// on: one that lives says so again.
func TestAWorkerThatWasForgottenIsKnownAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 20})
	r.worker()
	r.start(operate.StartOptions{})
	_, err := r.db.Pool.Exec(r.ctx, "delete from rotator.workers")
	r.must(err)
	r.until("known again", func(rotation.Snapshot) bool {
		workers, err := r.db.Workers(r.ctx)
		r.must(err)
		return len(workers) == 1 && workers[0].Cap == r.inflight && workers[0].Version == "test"
	})
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
}
