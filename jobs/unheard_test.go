package jobs_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// The database gave a job to a worker that never heard of it, because the
// connection broke before the answer: the worker lives, and nobody has the job.
func TestAJobThatWasGivenAndNeverHeardOfIsGivenAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, haravansim.Options{Shops: 40})
	r.worker()
	for _, statement := range []string{
		`create function rotator.unheard() returns trigger language plpgsql as $$ begin
			new.state := 'running'; new.attempt := 1; new.attempted_at := now() - interval '1 minute';
			new.attempted_by := array[(select id::text from rotator.workers)];
			return new;
		end $$`,
		`create trigger unheard before insert on rotator.river_job for each row
			when (new.kind in ('walk', 'exchange_batch')) execute function rotator.unheard()`,
	} {
		_, err := r.db.Pool.Exec(r.ctx, statement)
		r.must(err)
	}
	r.start(operate.StartOptions{})
	r.arm()
	if snap := r.until("proven", inPhase(rotation.PhaseProven)); snap.Counts.Proven != 40 {
		t.Errorf("counts: %+v", snap.Counts)
	}
	r.tokens()
}
