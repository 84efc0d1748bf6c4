package jobs

import (
	"context"
	"sync"
	"sync/atomic"

	"golang.org/x/sync/semaphore"

	"github.com/haravan-rotator/rotator/internal/deliver"
	"github.com/haravan-rotator/rotator/store"
)

// deliverAtOnce is the most requests that one app's receiver has under way, of
// all workers together.
const deliverAtOnce = 16

// receivers is what this process knows of the apps that it delivers to.
type receivers struct {
	sender *deliver.Sender
	mu     sync.Mutex
	known  map[int64]*receiver
}

// receiver bounds the requests to one app.
type receiver struct {
	places *semaphore.Weighted
	// failures counts tries in a row that failed, as this process saw them: what
	// the others saw comes with the next dispatch.
	failures atomic.Int32
}

func newReceivers(version string) receivers {
	return receivers{sender: deliver.NewSender(deliver.Config{UserAgent: "rotator/" + version}), known: map[int64]*receiver{}}
}

func (rs *receivers) get(appID int64) *receiver {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	r := rs.known[appID]
	if r == nil {
		r = &receiver{places: semaphore.NewWeighted(deliverAtOnce)}
		rs.known[appID] = r
	}
	return r
}

// enter waits for a place; each of several workers takes its share of them.
func (r *receiver) enter(ctx context.Context, workers int) (leave func(), err error) {
	weight := int64(min(max(workers, 1), deliverAtOnce))
	if err := r.places.Acquire(ctx, weight); err != nil {
		return nil, err
	}
	return func() { r.places.Release(weight) }, nil
}

func (r *receiver) down() bool { return r.failures.Load() >= store.DownAfter }

// saw counts an answer.
func (r *receiver) saw(a deliver.Answer) {
	if a.Acknowledged() || a.Gone() {
		r.failures.Store(0)
		return
	}
	r.failures.Add(1)
}
