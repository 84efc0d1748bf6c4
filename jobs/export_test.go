package jobs

import (
	"context"

	"github.com/haravan-rotator/rotator/store"
)

// RepairAsSeen repairs a run as a look did that has seen it earlier.
func (e *Engine) RepairAsSeen(ctx context.Context, run store.Run) error {
	return e.repair(ctx, run, true)
}
