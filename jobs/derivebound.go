package jobs

import (
	"context"
	"errors"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// busyBelieved is how often in a row the app's own table was locked or silent
// until somebody must look.
const busyBelieved = 5

// tableFailed reports whether derived tokens could not be stored because of the
// app's own table. What does not pass by itself holds the run with what to mend; a
// lock on the table does when it stays. nil ends the counting of locks.
func (e *Engine) tableFailed(ctx context.Context, run *runState, err error) bool {
	var fault *store.BoundFault
	if !errors.As(err, &fault) {
		if err == nil {
			run.tableBusy.Store(0)
		}
		return false
	}
	switch {
	case !fault.Busy:
		e.hold(ctx, run, rotation.HeldWaiting, fault.Error())
	case run.tableBusy.Add(1) >= busyBelieved:
		run.tableBusy.Store(0)
		e.hold(ctx, run, rotation.HeldWaiting, fault.Error())
	}
	return true
}
