package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// scrubPage shops are scrubbed in one transaction.
const scrubPage = 2_000

// scrubbed are the shops of a page of items that lose their legacy credential:
// only what the run has settled. A shop that came, or whose legacy credential
// changed, after the gate was looked at keeps it.
const scrubbed = `i.run_id = $1 and i.position between $2 and $3 and s.legacy_token is not null
	and i.state in ('proven', 'skipped', 'waived') and not (` + needsDerivation + `)`

var (
	// The run must be past its cutover, whatever the caller believes.
	lockScrub = sql(`select last_position from rotator.runs where id = $1 and phase in ('cutover', 'scrubbed') and held is null
		and closed_at is null and cancelled_at is null for share`)
	// Those that it leaves with nothing are told so: nothing else tells them then
	// from shops that never had a credential.
	scrubItems = sql(`with gone as (
			update rotator.shops s set legacy_token = null, legacy_token_fingerprint = null, legacy_kind = null, updated_at = now()
			from rotator.items i where s.id = i.shop_id and ` + scrubbed + ` and s.id <> all($4)
			returning i.position, i.state = 'skipped' and s.access_token is null as bereft
		)
		update rotator.items i set detail = coalesce(i.detail, '') || '` + Bereft + `' from gone
		where gone.bereft and i.run_id = $1 and i.position = gone.position and coalesce(i.detail, '') not like '%` + Bereft + `'`)
	countLegacyLeft = sql(`select count(*) filter (where x.stored), count(*) filter (where x.bare and (x.stored or x.bereft))
		from (select s.legacy_token is not null and not (` + needsDerivation + `) as stored,
				i.state = 'skipped' and s.access_token is null and i.new_token is null as bare, i.detail like '%` + Bereft + `' as bereft
			from rotator.items i join rotator.shops s on s.id = i.shop_id where i.run_id = $1) x`)
)

// Bereft ends the detail of a skipped item whose shop lost its only credential.
const Bereft = `; its legacy credential, the only one, was removed`

// ScrubLegacy empties the legacy credentials of the run's shops, page by page,
// each with the legacy column of its row in the app's own table. It may be stopped
// and run again. A shop whose row is locked keeps both. progress is told how many positions are done.
// ErrConflict when the run is not past its cutover, or does not work, a *BoundFault when the app's table cannot be
// written.
func (s *Store) ScrubLegacy(ctx context.Context, r Run, progress func(done, total int64)) error {
	for first, total := int64(1), r.LastPosition; first <= total; first += scrubPage {
		last := first + scrubPage - 1
		err := againIfDeadlocked(func() error {
			return s.InTx(ctx, func(tx *Tx) (err error) {
				total, err = tx.scrub(ctx, r.ID, first, last)
				return err
			})
		})
		if err != nil {
			return err
		}
		progress(min(last, total), total)
	}
	return nil
}

// scrub empties one page and returns the run's last position.
func (t *Tx) scrub(ctx context.Context, runID, first, last int64) (total int64, err error) {
	err = t.tx.QueryRow(ctx, lockScrub, runID).Scan(&total)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return 0, fmt.Errorf("scrub legacy credentials: run %d is held, over or not past its cutover: %w", runID, ErrConflict)
	case err != nil:
		return 0, fmt.Errorf("scrub legacy credentials: %w", err)
	}
	kept, err := t.emptyRows(ctx, runID, first, last)
	if err != nil {
		return 0, fmt.Errorf("scrub legacy credentials: %w", err)
	}
	if _, err := t.tx.Exec(ctx, scrubItems, runID, first, last, kept); err != nil {
		return 0, fmt.Errorf("scrub legacy credentials: %w", err)
	}
	return total, nil
}
