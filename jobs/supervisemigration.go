package jobs

import (
	"context"
	"errors"

	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// derives reports whether the run's batches are derived rather than called for.
func derives(run store.Run) bool {
	return run.Kind == rotation.KindTokenMigration && run.Phase != rotation.PhaseCutover
}

// batchKind is the kind of the jobs that work the run's batches now.
func batchKind(run store.Run) string {
	if derives(run) {
		return DeriveKind
	}
	return BatchKind
}

func batchArgs(run store.Run, g store.Grant) river.JobArgs {
	if derives(run) {
		return DeriveArgs{Run: g.RunID, Batch: g.Number, Grant: g.Grant}
	}
	return BatchArgs{Run: g.RunID, Batch: g.Number, Grant: g.Grant}
}

// superviseMigration sees to it that somebody derives, checks and proves. busy
// tells that a worker has something to do, and not only a person.
func (e *Engine) superviseMigration(ctx context.Context, snap rotation.Snapshot, run store.Run, repair bool) (busy bool, err error) {
	err = errors.Join(e.dispatch(ctx, run), e.repair(ctx, run, repair))
	open := snap.Counts.Open()
	if run.Phase != rotation.PhaseCutover {
		open -= snap.Counts.Exchanged
	}
	busy = open > 0 || snap.LateInstalls > 0 || run.WalkDoneAt == nil
	if run.Phase == rotation.PhaseDerived && !busy && !snap.Migration.Checked() {
		return true, errors.Join(err, e.checkDerivedMore(ctx, snap, repair))
	}
	return busy, err
}

// checkDerivedMore makes sure that somebody looks at the derived tokens: when
// there are more than before, and again when the count has not moved between two
// repairs.
func (e *Engine) checkDerivedMore(ctx context.Context, snap rotation.Snapshot, repair bool) error {
	done, planned := snap.Migration.CheckDone, snap.Migration.CheckPlanned
	more := planned > e.planned[snap.RunID]
	if done > 0 && !more {
		if !repair {
			return nil
		}
		if !e.checked.still(snap.RunID, int64(done)) {
			return nil
		}
	}
	inserted, err := e.river.Insert(ctx, CheckDerivedArgs{Run: snap.RunID, Done: done}, nil)
	if err == nil && !inserted.UniqueSkippedAsDuplicate {
		e.planned[snap.RunID] = planned // or the one that runs may have gone past the new ones
	}
	return err
}
