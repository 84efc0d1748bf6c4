package jobs

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
	"time"

	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"
)

// heardWithin is how long after the database gave a job to this worker it has
// begun, if the answer came.
const heardWithin = 15 * time.Second

// jobsHere are the jobs that this process works. One that the database counts as
// its own and that is not here was given in an answer that got lost: nobody has
// it, and its worker lives. (Or it ended a moment ago, and is worked once more for
// nothing.)
type jobsHere struct {
	mu  sync.Mutex
	ids map[int64]int
}

// middleware notes every job for as long as it is worked, and logs why one failed.
func (h *jobsHere) middleware(log *slog.Logger) rivertype.Middleware {
	return river.WorkerMiddlewareFunc(func(ctx context.Context, job *rivertype.JobRow, work func(context.Context) error) error {
		h.add(job.ID, 1)
		defer h.add(job.ID, -1)
		err := work(ctx)
		var snoozed *river.JobSnoozeError
		if err != nil && ctx.Err() == nil && !errors.As(err, &snoozed) {
			// River tells of a job that it tries again below the level of a warning.
			log.Warn("a job failed and is tried again", "job_kind", job.Kind, "error", err)
		}
		return err
	})
}

// add counts, because a job may be given again while it is still worked.
func (h *jobsHere) add(id int64, n int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.ids == nil {
		h.ids = map[int64]int{}
	}
	if h.ids[id] += n; h.ids[id] == 0 {
		delete(h.ids, id)
	}
}

func (h *jobsHere) list() []int64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	ids := make([]int64, 0, len(h.ids))
	for id := range h.ids {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}
