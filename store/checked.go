package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

var readChecked = sql(`select ` + seen + ` from rotator.items i where run_id = $1 and checked_at is not null`)

// seen are the numbers of a rotation.Revocation.
const seen = `count(*), count(*) filter (where i.old_dead), count(*) filter (where not i.old_dead),
	count(*) filter (where i.new_alive), count(*) filter (where not i.new_alive),
	count(*) filter (where not i.old_dead and not i.new_alive), count(*) filter (where i.new_alive and coalesce(i.new_known, true))`

func scanSeen(row pgx.Row) (r rotation.Revocation, err error) {
	err = row.Scan(&r.Planned, &r.OldDead, &r.OldAlive, &r.NewAlive, &r.NewDead, &r.OnlyOld, &r.NewKnown)
	return r, err
}

// Checked counts what was seen of the shops that were looked at after the
// revoke, also of a run whose old tokens are shredded by now.
func (s *Store) Checked(ctx context.Context, runID int64) (rotation.Revocation, error) {
	r, err := scanSeen(s.pool.QueryRow(ctx, readChecked, runID))
	if err != nil {
		return r, fmt.Errorf("count what the check after the revoke saw: %w", err)
	}
	return r, nil
}

var countBroken = sql(`select count(*) filter (where not new_alive), count(*) filter (where not old_dead)
	from rotator.items where run_id = $1 and state = 'proven'`)

// CountBroken counts the shops that Broken lists, and those that OldAlive does.
func (s *Store) CountBroken(ctx context.Context, runID int64) (broken, oldAlive int, err error) {
	if err := s.pool.QueryRow(ctx, countBroken, runID).Scan(&broken, &oldAlive); err != nil {
		return 0, 0, fmt.Errorf("count broken shops: %w", err)
	}
	return broken, oldAlive, nil
}
