package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

var (
	excludeShop = sql(`update rotator.shops set excluded_at = case when $2 <> '' then now() end, excluded_reason = nullif($2, ''), updated_at = now()
		where id = $1`)
	readShopID    = sql(`select id from rotator.shops where app_id = $1 and domain = $2`)
	readOpenOfApp = sql(`select id from rotator.runs where app_id = $1 and kind = 'rotation' and closed_at is null and cancelled_at is null`)
	noteExcluded  = sql(`update rotator.runs set excluded = case when $3 then array_append(array_remove(excluded, $2), $2) else array_remove(excluded, $2) end where id = $1`)
	lockBatchOf   = sql(`select b.claimed and b.settled_at is null from rotator.batches b
		join rotator.items i on i.run_id = b.run_id and i.position between b.first_position and b.last_position
		where i.run_id = $1 and i.shop_id = $2 for update of b`)
	// A token that was made for the shop, or may have been, is never dropped.
	excludeItem = sql(`update rotator.items set state = 'skipped', class = null, detail = 'excluded: ' || $3, next_attempt_at = null
		where run_id = $1 and shop_id = $2 and new_token is null and not acted and (state in ('retrying', 'parked') or state = 'pending' and not $4)`)
)

// Exclude leaves a shop out of runs, or takes it in again when reason is empty.
// An open rotation skips it unless it was called already; it takes in a shop
// that was skipped when nothing else is left to do.
func (s *Store) Exclude(ctx context.Context, actor string, appID int64, domain, reason string) error {
	return s.InTx(ctx, func(tx *Tx) error {
		var shop, run int64
		if err := tx.tx.QueryRow(ctx, readShopID, appID, domain).Scan(&shop); err != nil {
			return one(err, "shop %s", domain)
		}
		err := tx.tx.QueryRow(ctx, readOpenOfApp, appID).Scan(&run)
		switch {
		case errors.Is(err, pgx.ErrNoRows):
		case err != nil:
			return fmt.Errorf("look for an open run: %w", err)
		default:
			if err := tx.excludeInRun(ctx, run, shop, reason); err != nil {
				return fmt.Errorf("exclude %s in run %d: %w", domain, run, err)
			}
		}
		if err := tx.exactlyOne(ctx, "exclude "+domain, excludeShop, shop, reason); err != nil {
			return err
		}
		if reason == "" {
			return tx.Log(ctx, actor, "shop.included", run, map[string]any{"domain": domain})
		}
		return tx.Log(ctx, actor, "shop.excluded", run, map[string]any{"domain": domain, "reason": reason})
	})
}

// excludeInRun locks in the order of those who work: run, batch, item, and the
// caller the shop.
func (t *Tx) excludeInRun(ctx context.Context, run, shop int64, reason string) error {
	if _, err := t.tx.Exec(ctx, noteExcluded, run, shop, reason != ""); err != nil || reason == "" {
		return err
	}
	// Whoever holds the batch may be calling the shop: it looks at the run's list.
	var held bool
	if err := t.tx.QueryRow(ctx, lockBatchOf, run, shop).Scan(&held); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	_, err := t.tx.Exec(ctx, excludeItem, run, shop, reason, held)
	return err
}
