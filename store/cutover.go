package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

var (
	// Grants and leases from before the cutover must settle nothing after it.
	resetBatches = sql(`update rotator.batches set settled_at = null, worker_id = null, taken_at = null,
			claimed = false, grant_number = grant_number + 1, fence = fence + 1 where run_id = $1`)
	resetWaves = sql(`update rotator.waves set released_at = null, settled_at = null, accepted_at = null where run_id = $1`)
	// A shop that was set aside by what the platform answered before the cutover
	// is asked once more: by now its token is all that it has.
	resetItems = sql(`update rotator.items set state = 'exchanged', class = null, detail = null, next_attempt_at = null, tries = 0
		where run_id = $1 and new_token is not null
			and (state = 'skipped' or (state in ('retrying', 'exchanged') and next_attempt_at is not null))`)
	waivedTokens = sql(`select i.position, i.shop_id, i.generation, i.new_token, i.run_id, r.old_secret_id, coalesce(i.exchanged_at, 'epoch')
		from rotator.items i join rotator.runs r on r.id = i.run_id
		where i.run_id = $1 and i.state = 'waived' and i.new_token is not null and coalesce(i.class not in ('wrong_shop', 'unauthorized'), true)`)
	adoptSkipped = sql(`update rotator.items set state = 'skipped', class = $4, detail = $5, new_token = null, next_attempt_at = null
		where run_id = $1 and position = $2 and attempt = $3 and state = 'exchanged'`)
)

// beginCutover makes every shop due for the proof: waves and batches begin anew.
// A shop that was waived with a derived token that nobody refused gets it now,
// because its legacy credential is dead from here on.
func (t *Tx) beginCutover(ctx context.Context, r Run) error {
	for _, statement := range []string{resetItems, resetBatches, resetWaves} {
		if _, err := t.tx.Exec(ctx, statement, r.ID); err != nil {
			return fmt.Errorf("make the shops due for the proof: %w", err)
		}
	}
	return t.adopt(ctx, waivedTokens, r.ID)
}

// SkipWithToken sets a claimed shop aside whose proof the platform refuses for
// now, because it is closed or gone, and makes its derived token current
// unproven: should the shop come back, it has no other. written is false when
// the claim was superseded.
func (s *Store) SkipWithToken(ctx context.Context, o Outcome) (written bool, err error) {
	err = againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			tag, err := tx.tx.Exec(ctx, adoptSkipped, o.Claim.RunID, o.Claim.Position, o.Claim.Attempt, o.Class, o.Detail)
			if err != nil {
				return fmt.Errorf("set %s aside: %w", o.Claim.Domain, err)
			}
			if written = tag.RowsAffected() == 1; !written {
				return nil
			}
			_, _, err = tx.adoptTokens(ctx, []*Outcome{&o}) // an install that was faster stays
			return err
		})
	})
	return written, err
}

// clearDerived takes back what a token migration stored before its cutover.
func (t *Tx) clearDerived(ctx context.Context, r Run) error {
	if err := t.noDerivedRows(ctx, r); err != nil {
		return err
	}
	for _, statement := range []string{unmarkDerived, clearDerived} {
		if _, err := t.tx.Exec(ctx, statement, r.ID); err != nil {
			return fmt.Errorf("clear the derived tokens: %w", err)
		}
	}
	return nil
}

var (
	// A shop's marks may be of an earlier migration that went to its end.
	unmarkDerived = sql(`update rotator.shops s set derived_fingerprint = null, derived_from = null, derived_at = null, derived_run = null
		from rotator.items i where i.run_id = $1 and i.new_token is not null and s.id = i.shop_id and s.derived_at is not null`)
	clearDerived = sql(`update rotator.items set new_token = null, next_attempt_at = null, state = case when state = 'exchanged' then 'pending' else state end
		where run_id = $1 and (new_token is not null or next_attempt_at is not null)`)
)

// isMigration reports whether the run derives tokens.
func (r Run) isMigration() bool { return r.Kind == rotation.KindTokenMigration }
