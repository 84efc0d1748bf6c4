package jobs

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivertype"

	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store"
)

// newClient makes River's client for a worker.
func newClient(s *store.Store, log *slog.Logger, e *Engine) (*river.Client[pgx.Tx], error) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &walkWorker{engine: e})
	river.AddWorker(workers, &batchWorker{engine: e})
	river.AddWorker(workers, &itemWorker{engine: e})
	river.AddWorker(workers, &checkWorker{engine: e})
	river.AddWorker(workers, &deriveWorker{engine: e})
	river.AddWorker(workers, &checkDerivedWorker{engine: e})
	river.AddWorker(workers, &deliverWorker{engine: e})
	river.AddWorker(workers, &readWorker{engine: e})
	client, err := river.NewClient(riverpgxv5.New(s.Pool()), &river.Config{
		Schema: migrations.Schema,
		// A job tells which worker has it, so that a dead one's are known.
		ID: e.id.String(),
		// River's own chatter about fetching is noise to an operator.
		Logger:     log,
		Workers:    workers,
		Middleware: []rivertype.Middleware{e.here.middleware(e.loops)},
		// Besides those of the runs (queues.go).
		Queues: map[string]river.QueueConfig{
			// Several for each app: a few slow shops hold up their own job only.
			queueDeliveries: {MaxWorkers: 4 * deliverOutstanding / deliverChunk},
		},
		FetchCooldown:        20 * time.Millisecond,
		FetchPollInterval:    500 * time.Millisecond,
		JobTimeout:           jobTimeout,
		RescueStuckJobsAfter: rescueAfter,
		RetryPolicy:          soonRetry{&e.clock},
		// Meant for tests, but River has no other way to be told of a clock.
		Test: river.TestConfig{Time: &e.clock},
		// The index that it rebuilds is small and the run's hour is not the time.
		ReindexerSchedule: never{},
		// Finished jobs tell nothing that the tables do not.
		CompletedJobRetentionPeriod: time.Hour,
	})
	if err != nil {
		return nil, fmt.Errorf("prepare River: %w", err)
	}
	return client, nil
}

// soonRetry tries a failed job again within seconds: River's own policy would
// use up the window in a few attempts.
type soonRetry struct{ clock *databaseClock }

// NextRetry implements river.ClientRetryPolicy.
func (r soonRetry) NextRetry(job *rivertype.JobRow) time.Time {
	return r.clock.Now().Add(min(time.Duration(job.Attempt)*time.Second, 10*time.Second))
}

// never is a schedule that does not come.
type never struct{}

// Next implements river.PeriodicSchedule.
func (never) Next(t time.Time) time.Time { return t.AddDate(100, 0, 0) }
