package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/riverqueue/river"
)

// enter is the opening of a run's job: run is nil when it is closed or cancelled,
// stopped tells why no call may be made now.
func (e *Engine) enter(ctx context.Context, id int64) (run *runState, stopped, err error) {
	if run, err = e.run(ctx, id); err != nil || run == nil {
		return nil, nil, err
	}
	return run, e.mayCall(run, false, 0), nil // it may have proofs alone to do
}

// later ends a job whose run may make no calls now. While the worker drains the
// job goes back to the queue; otherwise the supervisor grants the batch anew
// once the run may go on.
func (e *Engine) later() error {
	if e.draining.Load() || !e.leased() {
		return river.JobSnooze(0)
	}
	return nil
}

// sideBySide looks at all shops of a page at once, and returns what was seen of
// those that gave an answer.
func sideBySide[S, T any](page []S, look func(S) (T, bool)) (seen []T) {
	var mu sync.Mutex
	var looking sync.WaitGroup
	for _, shop := range page {
		looking.Go(func() {
			got, ok := look(shop)
			if !ok {
				return
			}
			mu.Lock()
			defer mu.Unlock()
			seen = append(seen, got)
		})
	}
	looking.Wait()
	return seen
}

// pause waits, or fails with ctx.
func pause(ctx context.Context, d time.Duration) error {
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(d):
		return nil
	}
}
