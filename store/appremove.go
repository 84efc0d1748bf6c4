package store

import (
	"context"
	"fmt"
)

// RemovedApp counts what went with an app.
type RemovedApp struct {
	Name    string `json:"name"`
	Secrets int64  `json:"secrets"`
	Shops   int64  `json:"shops"`
}

// AppHasRunsError tells that an app cannot be removed.
type AppHasRunsError struct{ RunID int64 }

// Error implements error.
func (e *AppHasRunsError) Error() string {
	return fmt.Sprintf("run %d was made for it: an app with runs is kept, with their record and with tokens that exist nowhere else", e.RunID)
}

var (
	// Whoever starts a run, or adds a secret or a shop, waits until it is decided.
	lockAppAlone   = sql(`select 1 from rotator.apps where id = $1 for update`)
	newestRunOf    = sql(`select coalesce(max(id), 0) from rotator.runs where app_id = $1`)
	removeBinding  = sql(`delete from rotator.bindings where app_id = $1`)
	removeReceiver = sql(`delete from rotator.receivers where app_id = $1`)
	removeShops    = sql(`delete from rotator.shops where id = any (array(select id from rotator.shops where app_id = $1 limit $2))`)
	removeSecrets  = sql(`delete from rotator.secrets where app_id = $1`)
	removeApp      = sql(`delete from rotator.apps where id = $1`)
)

// removePage is how many shops are removed between two words of progress.
const removePage = 20_000

// RemoveApp deletes an app that no run was made for, with its secrets, its shops and
// its binding; the bound table stays as it is. *AppHasRunsError otherwise: what a run
// made may be the only copy of a token. progress is told how many shops are removed.
func (s *Store) RemoveApp(ctx context.Context, actor string, app App, progress func(shops int64)) (removed RemovedApp, err error) {
	err = againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) (err error) {
			removed, err = tx.removeApp(ctx, actor, app, progress)
			return err
		})
	})
	return removed, err
}

func (t *Tx) removeApp(ctx context.Context, actor string, app App, progress func(shops int64)) (removed RemovedApp, err error) {
	if err := t.exactlyOne(ctx, "lock the app", lockAppAlone, app.ID); err != nil {
		return removed, err
	}
	var run int64
	if err := t.tx.QueryRow(ctx, newestRunOf, app.ID).Scan(&run); err != nil {
		return removed, fmt.Errorf("look for runs of app %s: %w", app.Name, err)
	}
	if run > 0 {
		return removed, &AppHasRunsError{run}
	}
	removed.Name = app.Name
	if removed.Shops, err = t.removeShops(ctx, app, progress); err != nil {
		return removed, err
	}
	for _, statement := range []string{removeBinding, removeReceiver, removeSecrets, removeApp} {
		tag, err := t.tx.Exec(ctx, statement, app.ID)
		if err != nil {
			return removed, fmt.Errorf("remove app %s: %w", app.Name, err)
		}
		if statement == removeSecrets {
			removed.Secrets = tag.RowsAffected()
		}
	}
	return removed, t.Log(ctx, actor, "app.removed", 0, removed)
}

func (t *Tx) removeShops(ctx context.Context, app App, progress func(shops int64)) (all int64, err error) {
	for {
		tag, err := t.tx.Exec(ctx, removeShops, app.ID, removePage)
		if err != nil {
			return all, fmt.Errorf("remove the shops of app %s: %w", app.Name, err)
		}
		all += tag.RowsAffected()
		if tag.RowsAffected() < removePage {
			return all, nil
		}
		progress(all)
	}
}
