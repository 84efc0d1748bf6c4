package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

// keepsToken tells of a shop that a contained run has not proven that its token is of
// the secret which lives on: a run before this one, which was cancelled, or an install
// has made it.
const keepsToken = `s.secret_id = r.new_secret_id and i.class is distinct from 'unauthorized'`

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
