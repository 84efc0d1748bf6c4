package jobs

import (
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/rivertype"

	"github.com/haravan-rotator/rotator/store"
)

// WalkArgs takes the fleet into a run, page by page. The cursor makes a walk
// that died without moving on different from the next one.
type WalkArgs struct {
	Run    int64 `json:"run"`
	Cursor int64 `json:"cursor"`
}

// Kind implements river.JobArgs.
func (WalkArgs) Kind() string { return "walk" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (a WalkArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: itemQueue(a.Run), UniqueOpts: onceWhileOpen}
}

// BatchArgs works the shops of one batch, under one grant.
type BatchArgs struct {
	Run   int64 `json:"run"`
	Batch int   `json:"batch"`
	Grant int   `json:"grant"`
}

// BatchKind is the kind of batch jobs in River's table.
const BatchKind = "exchange_batch"

// Kind implements river.JobArgs.
func (BatchArgs) Kind() string { return BatchKind }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (a BatchArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: batchQueue(a.Run)}
}

func (a BatchArgs) grant() store.Grant {
	return store.Grant{RunID: a.Run, Number: a.Batch, Grant: a.Grant}
}

// ItemArgs tries one shop again.
type ItemArgs struct {
	Run      int64 `json:"run"`
	Position int64 `json:"position"`
	Attempt  int   `json:"attempt"`
}

// Kind implements river.JobArgs.
func (ItemArgs) Kind() string { return "exchange_item" }

// InsertOpts implements river.JobArgsWithInsertOpts. A lost item is due again
// by its lease, so a job that keeps failing may be given up early.
func (a ItemArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: itemQueue(a.Run), MaxAttempts: 3}
}

func (a ItemArgs) due() store.Due {
	return store.Due{RunID: a.Run, Position: a.Position, Attempt: a.Attempt}
}

// CheckArgs looks at old and new tokens after the revoke. Done is the number of
// shops that were looked at when the job was made, to tell one from the next.
type CheckArgs struct {
	Run  int64 `json:"run"`
	Done int   `json:"done"`
}

// Kind implements river.JobArgs.
func (CheckArgs) Kind() string { return "check_revoke" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (a CheckArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: itemQueue(a.Run), UniqueOpts: onceWhileOpen}
}

// DeliverArgs tells one app of the newest tokens of some shops, each under the
// attempt that it was dispatched for.
type DeliverArgs struct {
	App      int64   `json:"app"`
	Shops    []int64 `json:"shops"`
	Attempts []int   `json:"attempts"`
}

// Kind implements river.JobArgs.
func (DeliverArgs) Kind() string { return "deliver" }

// InsertOpts implements river.JobArgsWithInsertOpts. Shops of a lost job are due
// again by their lease, so a job that keeps failing may be given up early.
func (DeliverArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: queueDeliveries, MaxAttempts: 3}
}

func deliverArgs(app int64, due []store.DueDelivery) DeliverArgs {
	a := DeliverArgs{App: app}
	for _, d := range due {
		a.Shops, a.Attempts = append(a.Shops, d.ShopID), append(a.Attempts, d.Attempt)
	}
	return a
}

func (a DeliverArgs) due() []store.DueDelivery {
	due := make([]store.DueDelivery, min(len(a.Shops), len(a.Attempts)))
	for i := range due {
		due[i] = store.DueDelivery{ShopID: a.Shops[i], Attempt: a.Attempts[i]}
	}
	return due
}

// ReadArgs reads the app's own table for a run. Seen is when it was last read, in
// microseconds since 1970, 0 for never: a job does nothing if it was read since.
type ReadArgs struct {
	Run  int64 `json:"run"`
	Seen int64 `json:"seen"`
}

// Kind implements river.JobArgs.
func (ReadArgs) Kind() string { return "read_bound" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (a ReadArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: itemQueue(a.Run), UniqueOpts: onceWhileOpen}
}

// onceWhileOpen lets no second job with the same arguments in while one is not
// finished; a finished one does not count.
var onceWhileOpen = river.UniqueOpts{ByArgs: true, ByState: []rivertype.JobState{
	rivertype.JobStateAvailable, rivertype.JobStatePending, rivertype.JobStateRetryable,
	rivertype.JobStateRunning, rivertype.JobStateScheduled,
}}
