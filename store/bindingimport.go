package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/internal/shopfile"
)

// BoundReading is what a reading of an app's own table found and did.
type BoundReading struct {
	ImportResult
	// Bad counts rows with a problem, WithoutToken those that have no token.
	Bad          int `json:"bad"`
	WithoutToken int `json:"without_token"`
	// Moved counts shops that have another row than before, Renamed rows that
	// have another shop, Left shops whose row is gone or lost its token, Back
	// those whose row is there again.
	Moved   int `json:"moved"`
	Renamed int `json:"renamed"`
	Left    int `json:"left"`
	Back    int `json:"back"`
	// Restored counts rows that held a token which a run had replaced and were
	// given the current one; Behind those that could not be written.
	Restored int `json:"restored"`
	Behind   int `json:"behind"`
	// Unlisted counts stored shops that never had a row in the table.
	Unlisted int `json:"unlisted"`
	// Changes tells of the moved, renamed and left shops, the first of each.
	Changes []string `json:"changes"`
	// Problems are the bad rows' and the duplicates', by key, the first 1,000.
	Problems []shopfile.Problem `json:"problems"`

	// stale are the shops whose row is to be restored.
	stale []int64
}

// Faulty reports whether rows of the table had to be left out.
func (r BoundReading) Faulty() bool { return r.Bad+r.Duplicates > 0 }

// changed reports whether the reading changed or found anything of note.
func (r BoundReading) changed() bool {
	return r.Faulty() || r.Added+r.Updated+r.Moved+r.Renamed+r.Left+r.Back+r.Restored+r.Behind > 0
}

var (
	noteReading = sql(`update rotator.bindings set synced_at = $2, left_out = $3, behind = $4,
		read_ms = extract(epoch from clock_timestamp() - $2) * 1000 where app_id = $1`)
	txBegan = sql(`select now()`)
	// What a worker may have sent for (of a batch that is claimed, although the item
	// is still written as pending) is not skipped under its hands: its proof finds
	// that the row is gone and keeps the token.
	skipUnbound = sql(`update rotator.items i set state = 'skipped', class = null, detail = 'excluded: ' || s.excluded_reason, next_attempt_at = null
		from rotator.runs r, rotator.shops s
		where r.app_id = $1 and r.closed_at is null and r.cancelled_at is null and s.app_id = $1 and s.unbound_at = now()
			and i.run_id = r.id and i.shop_id = s.id and i.new_token is null and i.state in ('pending', 'retrying', 'unknown', 'parked')
			and not (i.state = 'pending' and exists (select from rotator.batches b where b.run_id = i.run_id and b.claimed and b.settled_at is null
				and i.position between b.first_position and b.last_position))`)
)

// ImportBound reads the table that b names and stores its shops, by the rules of
// ImportShops, in one transaction. decide is told what was found; unless it
// returns nil nothing is stored. Afterwards rows that hold a token which a run
// replaced are given the current one. A table that cannot be read is a
// *BoundFault.
func (s *Store) ImportBound(ctx context.Context, actor string, app App, b Binding, secretID int64, decide func(BoundReading) error) (BoundReading, error) {
	always := func(context.Context, *Tx) error { return nil }
	return s.importBound(ctx, actor, app, b, secretID, always, decide)
}

// importBound is ImportBound with a condition that is asked once no other
// import of the app can go on.
func (s *Store) importBound(ctx context.Context, actor string, app App, b Binding, secretID int64, may func(context.Context, *Tx) error, decide func(BoundReading) error) (BoundReading, error) {
	var reading BoundReading
	var began time.Time
	err := againIfDeadlocked(func() error {
		reading = BoundReading{Changes: []string{}, Problems: []shopfile.Problem{}}
		return s.InTx(ctx, func(tx *Tx) error {
			if err := tx.tx.QueryRow(ctx, txBegan).Scan(&began); err != nil {
				return fmt.Errorf("ask the database's clock: %w", err)
			}
			if err := tx.importBound(ctx, actor, app, b, secretID, &reading, may, decide); err != nil || len(reading.stale) > 0 {
				return err // with rows to restore it is not over yet
			}
			return tx.noteReading(ctx, app, began, reading)
		})
	})
	if err != nil || len(reading.stale) == 0 {
		return reading, err
	}
	if err := s.restoreRows(ctx, app.ID, &reading); err != nil {
		return reading, err
	}
	return reading, s.InTx(ctx, func(tx *Tx) error { return tx.noteReading(ctx, app, began, reading) })
}

func (t *Tx) noteReading(ctx context.Context, app App, began time.Time, r BoundReading) error {
	if _, err := t.tx.Exec(ctx, noteReading, app.ID, began, r.Bad+r.Duplicates, r.Behind); err != nil {
		return fmt.Errorf("note the reading: %w", err)
	}
	return nil
}

// SyncBound reads the app's bound table for a run: shops whose row appeared are
// stored, tokens that the app replaced are taken over, shops whose row is gone
// are excluded, and skipped in the open run. Bad rows are left out and counted.
// seen is when the caller saw the table to have been read last, zero for never:
// ErrConflict if it was read, or bound anew, since. ErrNotBound if the app has no
// table, a *BoundFault if it cannot be read.
func (s *Store) SyncBound(ctx context.Context, app App, seen time.Time) (BoundReading, error) {
	b, err := s.Binding(ctx, app.ID)
	if err != nil {
		return BoundReading{}, err
	}
	still := func(ctx context.Context, tx *Tx) error {
		now, err := binding(ctx, tx.tx, app.ID)
		if err != nil {
			return err
		}
		if !now.BoundAt.Equal(b.BoundAt) || now.ReadAt == nil != seen.IsZero() || now.ReadAt != nil && !now.ReadAt.Equal(seen) {
			return fmt.Errorf("read %s: it was read since: %w", b.Name(), ErrConflict)
		}
		return nil
	}
	return s.importBound(ctx, ActorEngine, app, b, 0, still, func(BoundReading) error { return nil })
}

func (t *Tx) importBound(ctx context.Context, actor string, app App, b Binding, secretID int64, reading *BoundReading, may func(context.Context, *Tx) error, decide func(BoundReading) error) error {
	if err := t.beginImport(ctx, app); err != nil {
		return err
	}
	if err := may(ctx, t); err != nil {
		return err
	}
	table, err := t.lookUp(ctx, b)
	if err != nil {
		return err
	}
	if err := t.stageBound(ctx, app, table, reading); err != nil {
		return err
	}
	if err := t.dropDuplicateRows(ctx, reading); err != nil {
		return err
	}
	if err := t.unmatch(ctx, app, b, reading); err != nil {
		return err
	}
	if err := t.countKept(ctx, secretID, &reading.ImportResult); err != nil {
		return err
	}
	if err := t.mergeShops(ctx, app, secretID, &reading.ImportResult); err != nil {
		return err
	}
	if err := t.match(ctx, app, reading); err != nil {
		return err
	}
	if reading.Left > 0 {
		if _, err := t.tx.Exec(ctx, skipUnbound, app.ID); err != nil {
			return fmt.Errorf("skip shops whose row is gone: %w", err)
		}
	}
	if err := decide(*reading); err != nil {
		return err
	}
	if actor == ActorEngine && !reading.changed() {
		return nil // it reads once a minute
	}
	counted := *reading
	counted.Problems = counted.Problems[:min(len(counted.Problems), 20)]
	counted.Changes = counted.Changes[:min(len(counted.Changes), 20)]
	return t.Log(ctx, actor, "shops.bound.read", 0, map[string]any{"app": app.Name, "table": b.Name(), "result": counted})
}

// restoreRows gives the current token to rows that hold a replaced one.
func (s *Store) restoreRows(ctx context.Context, appID int64, reading *BoundReading) error {
	const page = 500
	for rest := reading.stale; len(rest) > 0; {
		ids := rest[:min(page, len(rest))]
		rest = rest[len(ids):]
		err := againIfDeadlocked(func() error {
			return s.InTx(ctx, func(tx *Tx) error {
				table, err := tx.boundTable(ctx, appID)
				if err != nil {
					return err
				}
				if err := tx.waitShortly(ctx); err != nil {
					return err
				}
				written, behind, err := tx.pushCurrent(ctx, table, ids)
				if err == nil {
					reading.Restored, reading.Behind = reading.Restored+written, reading.Behind+behind
				}
				return err
			})
		})
		var fault *BoundFault
		switch {
		case errors.As(err, &fault):
			reading.Behind += len(ids)
		case err != nil:
			return fmt.Errorf("restore rows of the bound table: %w", err)
		}
	}
	return nil
}
