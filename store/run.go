package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// Run is one operator-started pass over the fleet.
type Run struct {
	ID          int64
	AppID       int64
	Kind        rotation.Kind
	Mode        rotation.Mode
	Phase       rotation.Phase
	PhaseAt     time.Time
	Held        rotation.Held
	HeldWhy     string
	HeldAt      *time.Time
	OldSecretID int64
	NewSecretID int64
	Settings    RunSettings
	WalkCursor  int64
	WalkDoneAt  *time.Time
	// LastPosition is the highest position that an item of the run has.
	LastPosition int64
	CreatedAt    time.Time
	ClosedAt     *time.Time
	CancelledAt  *time.Time
}

// Open reports whether the run is neither closed nor cancelled.
func (r Run) Open() bool { return r.ClosedAt == nil && r.CancelledAt == nil }

// Course is the order of the run's phases.
func (r Run) Course() rotation.Course { return rotation.CourseOf(r.Kind, r.Mode) }

const runColumns = `id, app_id, kind, mode, phase, phase_at, coalesce(held, ''), coalesce(held_why, ''), held_at,
	coalesce(old_secret_id, 0), coalesce(new_secret_id, 0), settings, walk_cursor, walk_done_at, last_position,
	created_at, closed_at, cancelled_at`

var (
	readRun      = sql(`select ` + runColumns + ` from rotator.runs where id = $1`)
	lockOpenRun  = sql(`select from rotator.runs where id = $1 and closed_at is null and cancelled_at is null for no key update`)
	readOpenRuns = sql(`select ` + runColumns + ` from rotator.runs where closed_at is null and cancelled_at is null order by id`)
	readAppRuns  = sql(`select ` + runColumns + ` from rotator.runs where app_id = $1 order by id desc`)
)

// Run returns the run with that id.
func (s *Store) Run(ctx context.Context, id int64) (Run, error) { return readRunFrom(ctx, s.pool, id) }

func (t *Tx) run(ctx context.Context, id int64) (Run, error) { return readRunFrom(ctx, t.tx, id) }

func readRunFrom(ctx context.Context, q querier, id int64) (Run, error) {
	rows, err := q.Query(ctx, readRun, id)
	if err != nil {
		return Run{}, fmt.Errorf("read run %d: %w", id, err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRun)
	return r, one(err, "run %d", id)
}

// InRun runs fn in a transaction that holds the run's row, with a snapshot taken
// under that lock: what fn decides on is still so when it commits. fn runs again
// if PostgreSQL sacrificed the transaction: it changes nothing but that.
func (s *Store) InRun(ctx context.Context, runID int64, fn func(*Tx, rotation.Snapshot, Run) error) error {
	return s.InRunAt(ctx, runID, Counted, fn)
}

// InRunAt is InRun with a snapshot that counts less.
func (s *Store) InRunAt(ctx context.Context, runID int64, detail Detail, fn func(*Tx, rotation.Snapshot, Run) error) error {
	return againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			if err := tx.lockRun(ctx, runID); err != nil {
				return err
			}
			snap, run, err := tx.snapshot(ctx, runID, detail)
			if err != nil {
				return err
			}
			return fn(tx, snap, run)
		})
	})
}

// lockRun makes others that lock or change the run wait until commit.
func (t *Tx) lockRun(ctx context.Context, id int64) error {
	if _, err := t.tx.Exec(ctx, lockRun, id); err != nil {
		return fmt.Errorf("lock run %d: %w", id, err)
	}
	return nil
}

// lockOpenRun makes others that lock or change the run wait until commit.
// ErrConflict when it is not open.
func (t *Tx) lockOpenRun(ctx context.Context, id int64) error {
	return t.exactlyOne(ctx, fmt.Sprintf("find run %d open", id), lockOpenRun, id)
}

// OpenRuns lists the runs that are neither closed nor cancelled.
func (s *Store) OpenRuns(ctx context.Context) ([]Run, error) { return s.runs(ctx, readOpenRuns) }

// Runs lists an app's runs, newest first.
func (s *Store) Runs(ctx context.Context, appID int64) ([]Run, error) {
	return s.runs(ctx, readAppRuns, appID)
}

func (s *Store) runs(ctx context.Context, statement string, args ...any) ([]Run, error) {
	return collect(ctx, s.pool, "read runs", scanRun, statement, args...)
}

func scanRun(row pgx.CollectableRow) (Run, error) {
	var r Run
	var settings []byte
	err := row.Scan(&r.ID, &r.AppID, &r.Kind, &r.Mode, &r.Phase, &r.PhaseAt, &r.Held, &r.HeldWhy, &r.HeldAt,
		&r.OldSecretID, &r.NewSecretID, &settings, &r.WalkCursor, &r.WalkDoneAt, &r.LastPosition,
		&r.CreatedAt, &r.ClosedAt, &r.CancelledAt)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(settings, &r.Settings); err != nil {
		return r, errors.Join(fmt.Errorf("settings of run %d cannot be read", r.ID), err)
	}
	return r, nil
}
