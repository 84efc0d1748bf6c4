package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// clearPage shops are taken back in one transaction.
const clearPage = 500

// derivedHere are the shops whose derived token is of the run (r) and not in use.
const derivedHere = `coalesce(s.derived_run = r.id, s.derived_at >= r.created_at) and s.access_token_fingerprint is distinct from s.derived_fingerprint`

var (
	// A held run derives nothing: what is taken back stays so.
	lockHeldRun = sql(`select from rotator.runs where id = $1 and held is not null and closed_at is null and cancelled_at is null
		and phase in ('deriving', 'derived', 'checked') for share`)
	nextDerived = sql(`select i.position, s.id, s.bound_key, s.derived_fingerprint
		from rotator.runs r join rotator.items i on i.run_id = r.id join rotator.shops s on s.id = i.shop_id
		where r.id = $1 and i.position > $2 and s.bound_key is not null and ` + derivedHere + ` order by i.position limit $3 for no key update of s`)
	clearItems = sql(`update rotator.items set new_token = null, next_attempt_at = null, state = case when state in ('exchanged', 'retrying') then 'pending' else state end
		where run_id = $1 and shop_id = any($2)`)
	unmarkShops = sql(`update rotator.shops set derived_fingerprint = null, derived_from = null, derived_at = null, derived_run = null where id = any($1)`)
)

// ClearDerivedRows takes the derived tokens of a held token migration out of the
// app's own table again, where the column still holds them, before the run is
// cancelled: in pages, each in one transaction with what is stored of these shops
// here, since a fleet's rows must not be locked at once. It may be stopped and run
// again. left counts the shops whose row is locked. ErrConflict when the run is not
// held or past its cutover, a *BoundFault when the table cannot be written.
func (s *Store) ClearDerivedRows(ctx context.Context, r Run) (left int, err error) {
	for after := int64(0); ; {
		var last int64
		var locked int
		err := againIfDeadlocked(func() error {
			return s.InTx(ctx, func(tx *Tx) (err error) {
				last, locked, err = tx.clearDerivedRows(ctx, r.ID, after)
				return err
			})
		})
		if err != nil || last == 0 {
			return left, err
		}
		after, left = last, left+locked
	}
}

// clearDerivedRows clears the page after a position and returns its last one, 0
// when there is none.
func (t *Tx) clearDerivedRows(ctx context.Context, runID, after int64) (last int64, left int, err error) {
	if err := t.exactlyOne(ctx, fmt.Sprintf("find run %d held before its cutover", runID), lockHeldRun, runID); err != nil {
		return 0, 0, err
	}
	b, err := runBinding(ctx, t.tx, runID)
	if errors.Is(err, ErrNotBound) || b.OAuth == "" && err == nil {
		return 0, 0, nil
	}
	if err != nil {
		return 0, 0, err
	}
	table, err := t.lookUp(ctx, b)
	if err != nil {
		return 0, 0, err
	}
	type derivedShop struct {
		Position, ID int64
		Key, Print   string
	}
	shops, err := collect(ctx, t.tx, "look for derived tokens", pgx.RowToStructByPos[derivedShop], nextDerived, runID, after, clearPage)
	if err != nil || len(shops) == 0 {
		return 0, 0, err
	}
	keys := make([]string, len(shops))
	for i, shop := range shops {
		keys[i] = shop.Key
	}
	if err := t.waitShortly(ctx); err != nil {
		return 0, 0, err
	}
	found, locked, err := t.lockColumn(ctx, table, b.OAuth, keys)
	if err != nil {
		return 0, 0, err
	}
	var empty []string
	var done []int64
	for _, shop := range shops {
		if locked[shop.Key] {
			left++
			continue
		}
		done = append(done, shop.ID)
		if t.keys.Fingerprint(found[shop.Key].value) == shop.Print {
			empty = append(empty, shop.Key)
		}
	}
	if err := t.emptyColumn(ctx, table, b.OAuth, empty); err != nil {
		return 0, 0, err
	}
	for _, step := range []struct {
		statement string
		args      []any
	}{{clearItems, []any{runID, done}}, {unmarkShops, []any{done}}, {reopenBatches, []any{runID}}} {
		if _, err := t.tx.Exec(ctx, step.statement, step.args...); err != nil {
			return 0, 0, fmt.Errorf("take derived tokens back: %w", err)
		}
	}
	return shops[len(shops)-1].Position, left, nil
}

var countDerivedRows = sql(`select count(*) from rotator.runs r join rotator.bindings b on b.app_id = r.app_id
	join rotator.items i on i.run_id = r.id join rotator.shops s on s.id = i.shop_id
	where r.id = $1 and s.bound_key is not null and b.oauth_token_column is not null and ` + derivedHere)

// noDerivedRows refuses to forget which rows hold a derived token (ErrConflict).
func (t *Tx) noDerivedRows(ctx context.Context, r Run) error {
	var n int64
	if err := t.tx.QueryRow(ctx, countDerivedRows, r.ID).Scan(&n); err != nil {
		return fmt.Errorf("look for derived tokens in the bound table: %w", err)
	}
	if n > 0 {
		return fmt.Errorf("%d rows of the bound table still hold a derived token: %w", n, ErrConflict)
	}
	return nil
}

// HoldToCancel holds a token migration so that its derived tokens can be taken
// out of the app's own table. It reports whether there is such a table.
func (t *Tx) HoldToCancel(ctx context.Context, actor string, r Run) (bound bool, err error) {
	if _, err := runBinding(ctx, t.tx, r.ID); err != nil {
		if errors.Is(err, ErrNotBound) {
			err = nil
		}
		return false, err
	}
	_, err = t.Hold(ctx, actor, r.ID, rotation.HeldPaused, rotation.SaysCancelling+": say so again to go on with that")
	return true, err
}
