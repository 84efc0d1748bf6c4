package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// keepsToken tells of a shop that a contained run has not proven that its token is of
// the secret which lives on: a run before this one, which was cancelled, or an install
// has made it.
const keepsToken = `s.secret_id = r.new_secret_id and i.class is distinct from 'unauthorized'`

// What the app has is as in countToLoad.
var readSpared = sql(`select true, case when s.bound_key is null and not exists (select from rotator.deliveries d
			where d.shop_id = s.id and d.generation >= s.token_generation and greatest(d.acknowledged_generation, d.waived_generation) >= d.generation)
		then coalesce(s.rotated_run, 0) else 0 end
	from rotator.runs r join rotator.shops s on s.app_id = r.app_id left join rotator.items i on i.run_id = r.id and i.shop_id = s.id
	where r.id = $1 and s.domain = $2 and coalesce(i.state, 'pending') not in ('proven', 'skipped') and ` + keepsToken)

// Shops that are skipped have no use for a token, as those that a sweep would skip.
var countDown = sql(`select count(*) filter (where not keeps), count(*) filter (where keeps) from (
		select coalesce(` + keepsToken + `, false) as keeps
		from rotator.runs r join rotator.shops s on s.app_id = r.app_id left join rotator.items i on i.run_id = r.id and i.shop_id = s.id
		where r.id = $1 and case when i.shop_id is null then s.access_token is not null and s.excluded_at is null
			else i.state not in ('proven', 'skipped') end) unproven`)

// fillDown counts the shops that the revoke of a contained run left without a token.
func (t *Tx) fillDown(ctx context.Context, r Run, s *rotation.Snapshot, detail Detail) error {
	if detail != Counted || !s.Contained() || !r.Phase.Before(rotation.PhaseRevoked) {
		return nil
	}
	if err := t.tx.QueryRow(ctx, countDown, r.ID).Scan(&s.Down, &s.Spared); err != nil {
		return fmt.Errorf("count the shops that are down: %w", err)
	}
	return nil
}

// Spared reports, of a shop that a contained run has not proven, whether its token
// outlives the revoke. loadSince is then the run that made it, from which on it is
// exported, and 0 if the app has it.
func (s *Store) Spared(ctx context.Context, runID int64, domain string) (spared bool, loadSince int64, err error) {
	err = s.pool.QueryRow(ctx, readSpared, runID, domain).Scan(&spared, &loadSince)
	if err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return false, 0, fmt.Errorf("look whether %s kept its token: %w", domain, err)
	}
	return spared, loadSince, nil
}
