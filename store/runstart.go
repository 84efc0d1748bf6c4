package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

var (
	insertRun = sql(`insert into rotator.runs (app_id, kind, mode, phase, old_secret_id, new_secret_id, settings)
		values ($1, $2, $3, $4, nullif($5::bigint, 0), nullif($6::bigint, 0), $7) returning ` + runColumns)
	secretsInOrder = sql(`select exists (select from rotator.secrets o, rotator.secrets n where o.id = $1 and n.id = $2
		and (o.state, n.state) in (('active', 'pending'), ('retiring', 'active')))`)
	anyRunOpen = sql(`select exists (select from rotator.runs where app_id = $1 and closed_at is null and cancelled_at is null)`)
)

// NewRun is what a run starts with.
type NewRun struct {
	App                      App
	Kind                     rotation.Kind
	Mode                     rotation.Mode
	OldSecretID, NewSecretID int64
	Settings                 RunSettings
}

// StartRun is Tx.StartRun in a transaction of its own, again if PostgreSQL
// sacrificed it.
func (s *Store) StartRun(ctx context.Context, actor string, n NewRun) (run Run, err error) {
	err = againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) (err error) {
			run, err = tx.StartRun(ctx, actor, n)
			return err
		})
	})
	return run, err
}

// StartRun opens a run in its first phase. ErrRunOpen if the app has one,
// ErrConflict if a rotation's secrets are not where they were chosen any more.
func (t *Tx) StartRun(ctx context.Context, actor string, n NewRun) (Run, error) {
	settings, err := json.Marshal(n.Settings)
	if err != nil {
		return Run{}, fmt.Errorf("encode the run's settings: %w", err)
	}
	// Nobody lets the secrets change places, or gives one up, meanwhile.
	if _, err := t.tx.Exec(ctx, lockApp, n.App.ID); err != nil {
		return Run{}, fmt.Errorf("lock the app: %w", err)
	}
	// The table's own rule decides, but a refusal by it would use up a number.
	var open bool
	if err := t.tx.QueryRow(ctx, anyRunOpen, n.App.ID).Scan(&open); err != nil {
		return Run{}, fmt.Errorf("look for an open run: %w", err)
	}
	if open {
		return Run{}, fmt.Errorf("start a run of app %s: %w", n.App.Name, ErrRunOpen)
	}
	var inOrder bool
	if err := t.tx.QueryRow(ctx, secretsInOrder, n.OldSecretID, n.NewSecretID).Scan(&inOrder); err != nil {
		return Run{}, fmt.Errorf("look at the secrets: %w", err)
	}
	if n.Kind == rotation.KindRotation && !inOrder {
		return Run{}, fmt.Errorf("start a run of app %s: its secrets have changed: %w", n.App.Name, ErrConflict)
	}
	// An attempt that was under way at a cancel may have stored a token since.
	if err := t.adoptLeft(ctx, n.App.ID); err != nil {
		return Run{}, err
	}
	rows, err := t.tx.Query(ctx, insertRun, n.App.ID, n.Kind, n.Mode, rotation.CourseOf(n.Kind, n.Mode).First(), n.OldSecretID, n.NewSecretID, settings)
	var r Run
	if err == nil {
		r, err = pgx.CollectExactlyOneRow(rows, scanRun)
	}
	if violates(err, "runs_one_open") {
		return r, fmt.Errorf("start a run of app %s: %w", n.App.Name, ErrRunOpen)
	}
	if err != nil {
		return r, fmt.Errorf("start a run: %w", err)
	}
	if err := t.placeCanary(ctx, &r); err != nil {
		return r, err
	}
	return r, t.Log(ctx, actor, "run.started", r.ID, map[string]any{
		"app": n.App.Name, "kind": n.Kind, "mode": n.Mode, "settings": n.Settings,
	})
}
