package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

var (
	// The cursor is (priority, id) of the last shop that was looked at. A priority
	// that an import changes while the walk goes on moves its shop to the other
	// side of the cursor: one that is met again has an item and takes no position,
	// one that is missed is found by the sweep. Before the first page there is no
	// priority, and every shop is after the cursor.
	walkPriorityPage = sql(`with page as (
			select id, priority, excluded_reason, access_token is null as tokenless
			from rotator.shops where app_id = $2
				and (-priority, id) > (coalesce(-(select walk_priority from rotator.runs where id = $1), -2000000), $3::bigint)
			order by -priority, id limit $5
		), placed as (
			select *, $4::bigint + row_number() over (order by -priority, id) as position from page
			where not exists (select from rotator.items i where i.run_id = $1 and i.shop_id = page.id)
		), added as (
			insert into rotator.items (run_id, position, shop_id, state, detail)
			select $1, position, id,
				case when excluded_reason is not null or tokenless then 'skipped' else 'pending' end,
				case when excluded_reason is not null then 'excluded: ' || excluded_reason
					when tokenless then 'no access token is stored' end
			from placed
		)
		select id, priority, (select count(*) from placed) from page order by -priority desc, id desc limit 1`)
	moveWalkPriority = sql(`update rotator.runs set walk_cursor = $2, walk_priority = $3, last_position = last_position + $4
		where id = $1 and walk_done_at is null`)
)

// walkByPriority is a page of a walk in the order (priority descending, id). The
// caller holds the run, so that the cursor is still the one that was read.
func (t *Tx) walkByPriority(ctx context.Context, r Run, size int) (done bool, err error) {
	var id int64
	var priority, placed int
	err = t.tx.QueryRow(ctx, walkPriorityPage, r.ID, r.AppID, r.WalkCursor, r.LastPosition, size).Scan(&id, &priority, &placed)
	if errors.Is(err, pgx.ErrNoRows) {
		return true, t.finishWalk(ctx, r)
	}
	if err != nil {
		return false, fmt.Errorf("take a page of shops into run %d by priority: %w", r.ID, err)
	}
	return false, t.exactlyOne(ctx, "move the walk", moveWalkPriority, r.ID, id, priority, placed)
}
