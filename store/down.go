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

// neverLoaded tells of such a shop that the app has not got its token: as in
// countToLoad, but that an install's is the app's own. madeBy is the run that it is
// exported from on: of a token without one, the first that may have made it.
const (
	neverLoaded = `s.rotated_at is not null and ` + notLoaded
	madeBy      = `coalesce(s.rotated_run, (select min(f.id) from rotator.runs f where f.app_id = r.app_id and f.kind = 'rotation'
		and f.id > (select coalesce(max(c.id), 0) from rotator.runs c where c.app_id = r.app_id and c.kind = 'rotation' and c.closed_at is not null)))`
)

// Shops that are skipped have no use for a token, as those that a sweep would skip. A
// secret that was lost takes the proofs of its tokens with it.
const unproven = `case when i.shop_id is null then s.access_token is not null and s.excluded_at is null
	when i.state = 'proven' then s.secret_id <> r.old_secret_id and s.secret_id = any(array(select id from rotator.secrets where state = 'revoked')) else i.state <> 'skipped' end`

var (
	readSpared = sql(`select true, case when ` + neverLoaded + ` then ` + madeBy + ` else 0 end
		from rotator.runs r join rotator.shops s on s.app_id = r.app_id left join rotator.items i on i.run_id = r.id and i.shop_id = s.id
		where r.id = $1 and s.domain = $2 and ` + unproven + ` and ` + keepsToken)
	countDown = sql(`select count(*) filter (where not keeps), count(*) filter (where keeps), count(load_since), coalesce(min(load_since), 0) from (
			select keeps, case when keeps and ` + neverLoaded + ` then ` + madeBy + ` end as load_since from (
				select r.app_id, s.id, s.rotated_at, s.rotated_run, s.bound_key, s.token_generation, coalesce(` + keepsToken + `, false) as keeps
				from rotator.runs r join rotator.shops s on s.app_id = r.app_id left join rotator.items i on i.run_id = r.id and i.shop_id = s.id
				where r.id = $1 and ` + unproven + `) s, lateral (select s.app_id) r) unproven`)
)

// fillDown counts the shops that the revoke of a contained run left without a token,
// and those that only the app is without.
func (t *Tx) fillDown(ctx context.Context, r Run, s *rotation.Snapshot, detail Detail) error {
	if detail != Counted || !s.Contained() || !r.Phase.Before(rotation.PhaseRevoked) {
		return nil
	}
	var load int
	var since int64
	if err := t.tx.QueryRow(ctx, countDown, r.ID).Scan(&s.Down, &s.Spared, &load, &since); err != nil {
		return fmt.Errorf("count the shops that are down: %w", err)
	}
	if r.Phase.Before(rotation.PhaseProven) {
		s.ToLoad, s.LoadSince = load, since
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
