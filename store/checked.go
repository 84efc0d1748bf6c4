package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

var readChecked = sql(`select count(*), count(*) filter (where old_dead), count(*) filter (where not old_dead),
		count(*) filter (where new_alive), count(*) filter (where not new_alive)
	from rotator.items where run_id = $1 and checked_at is not null`)

// Checked counts what was seen of the shops that were looked at after the
// revoke, also of a run whose old tokens are shredded by now.
func (s *Store) Checked(ctx context.Context, runID int64) (rotation.Revocation, error) {
	var r rotation.Revocation
	if err := s.pool.QueryRow(ctx, readChecked, runID).Scan(&r.Planned, &r.OldDead, &r.OldAlive, &r.NewAlive, &r.NewDead); err != nil {
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
