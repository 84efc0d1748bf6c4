package jobs

import (
	"context"
	"errors"
	"log/slog"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestQueuesComeAndGoWithTheirRuns(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	client, err := newClient(db.Store, slog.New(slog.DiscardHandler), &Engine{id: uuid.New(), inflight: 32})
	if err != nil {
		t.Fatal(err)
	}
	if err := client.Start(t.Context()); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := client.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	q := newQueues(client, 32)
	now := time.Now()
	for _, step := range []struct {
		what    string
		open    []int64
		after   time.Duration
		up, not []int64
	}{
		{"two runs", []int64{1, 2}, 0, []int64{1, 2}, []int64{3}},
		{"one is over", []int64{2}, time.Second, []int64{1, 2}, nil},
		{"but not yet for long", []int64{2, 3}, queueGrace, []int64{1, 2, 3}, nil},
		{"for long", []int64{2, 3}, queueGrace + time.Second, []int64{2, 3}, []int64{1}},
		{"another is over", []int64{3}, 2 * queueGrace, []int64{2, 3}, []int64{1}},
		{"which was a mistake", []int64{2, 3}, 3 * queueGrace, []int64{2, 3}, []int64{1}},
		{"its time begins anew", []int64{3}, 4 * queueGrace, []int64{2, 3}, []int64{1}},
	} {
		if err := q.keep(t.Context(), step.open, now.Add(step.after)); err != nil {
			t.Fatalf("%s: %v", step.what, err)
		}
		for _, run := range step.up {
			if !hasQueues(t, client, run) {
				t.Errorf("%s: run %d has no queues", step.what, run)
			}
		}
		for _, run := range step.not {
			if hasQueues(t, client, run) {
				t.Errorf("%s: run %d has queues", step.what, run)
			}
		}
	}
}

// hasQueues reports whether the run's queues are up; it leaves them as they were.
func hasQueues(t *testing.T, client *river.Client[pgx.Tx], run int64) bool {
	t.Helper()
	found := 0
	for _, name := range []string{batchQueue(run), itemQueue(run)} {
		err := client.Queues().Add(name, river.QueueConfig{MaxWorkers: 1})
		switch {
		case errors.Is(err, &river.QueueAlreadyAddedError{}):
			found++
		case err != nil:
			t.Fatal(err)
		default:
			if err := client.Queues().Remove(t.Context(), name); err != nil {
				t.Fatal(err)
			}
		}
	}
	if found == 1 {
		t.Errorf("run %d has one queue of two", run)
	}
	return found == 2
}
