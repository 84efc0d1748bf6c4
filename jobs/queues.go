package jobs

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"
)

// Every run has two of River's queues to itself, so that none waits for the shops
// of another: batches take whole ranges of shops, items are the few that wait
// alone, and what a run has one job of at a time. What apps are told is no run's.
func batchQueue(run int64) string { return "batches_" + strconv.FormatInt(run, 10) }

func itemQueue(run int64) string { return "items_" + strconv.FormatInt(run, 10) }

const queueDeliveries = "deliveries"

// queueGrace is how long a run is over before its queues are taken down. By then
// its jobs have ended: River waits for them under the lock that the queues of a
// new run need.
const queueGrace = time.Minute

// queues are those of the runs that this process works. One goroutine keeps them.
type queues struct {
	river *river.Client[pgx.Tx]
	// batches and items are how many jobs of a queue are worked at once.
	batches, items int
	// over tells of each run that has queues here since when it is over, zero for
	// one that is open.
	over map[int64]time.Time
}

func newQueues(client *river.Client[pgx.Tx], inflight int) *queues {
	return &queues{
		river: client, over: map[int64]time.Time{},
		// Batches only claim and hand out; a few are enough to keep every attempt
		// supplied.
		batches: max(3, inflight/32), items: max(4, inflight/4),
	}
}

// keep sets up the queues of runs that are new and takes down those of runs that
// have been over for long. What fails is tried again the next time.
func (q *queues) keep(ctx context.Context, open []int64, now time.Time) error {
	var errs []error
	isOpen := make(map[int64]bool, len(open))
	for _, run := range open {
		isOpen[run] = true
		if _, ok := q.over[run]; !ok {
			if err := q.add(ctx, run); err != nil {
				errs = append(errs, err)
				continue
			}
		}
		q.over[run] = time.Time{}
	}
	for run, since := range q.over {
		switch {
		case isOpen[run]:
		case since.IsZero():
			q.over[run] = now
		case now.Sub(since) >= queueGrace:
			if err := q.remove(ctx, run); err != nil {
				errs = append(errs, err)
				continue
			}
			delete(q.over, run)
		}
	}
	return errors.Join(errs...)
}

func (q *queues) add(ctx context.Context, run int64) error {
	for name, workers := range map[string]int{batchQueue(run): q.batches, itemQueue(run): q.items} {
		if err := q.river.Queues().Add(name, river.QueueConfig{MaxWorkers: workers}); err != nil {
			// River keeps the name of a queue that it could not start.
			return errors.Join(fmt.Errorf("set up the queue %s: %w", name, err), q.remove(ctx, run))
		}
	}
	return nil
}

func (q *queues) remove(ctx context.Context, run int64) error {
	for _, name := range []string{batchQueue(run), itemQueue(run)} {
		if err := q.river.Queues().Remove(ctx, name); err != nil && !errors.Is(err, &river.QueueNotFoundError{}) {
			return fmt.Errorf("take the queue %s down: %w", name, err)
		}
	}
	return nil
}

// queueLoop keeps the queues of the open runs, apart from the heartbeat, which
// must wait for none.
func (e *Engine) queueLoop(ctx context.Context) {
	q := newQueues(e.river, e.inflight)
	ticker := time.NewTicker(time.Second)
	defer ticker.Stop()
	for {
		if err := q.keep(ctx, e.runs.ids(), time.Now()); err != nil {
			e.quietly(ctx, "cannot set up the queues of the runs", err)
		}
		select {
		case <-ctx.Done():
			return
		case <-e.runs.opened:
		case <-ticker.C:
		}
	}
}
