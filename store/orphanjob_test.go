package store_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/haravan-rotator/rotator/store"
)

func TestOnlyJobsOfDeadWorkersAreFreed(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	silent := uuid.New()
	if _, err := r.StartWorker(t.Context(), store.WorkerInfo{ID: silent, Host: "h"}); err != nil {
		t.Fatal(err)
	}
	exec(t, r.DB, "update rotator.workers set heartbeat_at = now() - interval '1 hour' where id = $1", silent)
	for kind, by := range map[string]string{"alive": r.worker.String(), "silent": silent.String(), "unknown": uuid.NewString()} {
		exec(t, r.DB, `insert into rotator.river_job (kind, args, max_attempts, state, attempted_by) values ($1, '{}', 25, 'running', array['before', $2])`, kind, by)
	}
	exec(t, r.DB, `insert into rotator.river_job (kind, args, max_attempts, state, finalized_at, attempted_by) values ('done', '{}', 25, 'completed', now(), array[$1])`, silent.String())
	if err := r.FreeJobs(t.Context(), store.LiveWithin); err != nil {
		t.Fatal(err)
	}
	want := []string{"alive running", "done completed", "silent available", "unknown available"}
	if diff := cmp.Diff(want, ask[string](t, r.DB, "select kind || ' ' || state from rotator.river_job order by kind")); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}

func TestOnlyJobsThatTheirWorkerDoesNotKnowAreFreed(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	for kind, job := range map[string]struct {
		by  string
		ago string
	}{"worked": {r.worker.String(), "1 hour"}, "lost": {r.worker.String(), "1 hour"}, "just given": {r.worker.String(), "1 second"}, "lost before a clock was set back": {r.worker.String(), "-1 hour"}, "another's": {uuid.NewString(), "1 hour"}} {
		exec(t, r.DB, `insert into rotator.river_job (kind, args, max_attempts, state, attempted_by, attempted_at)
			values ($1, '{}', 25, 'running', array['before', $2], now() - $3::interval)`, kind, job.by, job.ago)
	}
	working := ask[int64](t, r.DB, "select id from rotator.river_job where kind = 'worked'")
	if err := r.FreeUnheardJobs(t.Context(), r.worker, working, store.LiveWithin); err != nil {
		t.Fatal(err)
	}
	want := []string{"another's running", "just given running", "lost available", "lost before a clock was set back available", "worked running"}
	if diff := cmp.Diff(want, ask[string](t, r.DB, "select kind || ' ' || state from rotator.river_job order by kind")); diff != "" {
		t.Errorf("jobs (-want +got):\n%s", diff)
	}
}
