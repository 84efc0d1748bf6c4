package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// A shop whose batch is claimed is claimed too, and one whose token is in a group
// is exchanged, although its item is still written as pending.

const (
	shownState   = `case when held.batch is null then i.state when held.exchanged_at is null then 'claimed' else 'exchanged' end`
	shownAttempt = `i.attempt + (held.batch is not null)::int`
	// heldBatch is the batch that the item i is claimed with. With its limit the
	// subquery stays one, and looks at no batch for an item that is not pending.
	heldBatch = ` left join lateral (select b.number as batch, b.taken_at as claimed_at,
			(select min(m.created_at) from rotator.minted m where m.run_id = i.run_id and m.batch = b.number and i.position = any(m.positions)) as exchanged_at
		from rotator.batches b where i.state = 'pending' and b.run_id = i.run_id and b.claimed and b.settled_at is null
			and i.position between b.first_position and b.last_position limit 1) held on true`
)

// The batches come first, whatever the planner believes of the items: of a run
// that has just begun its statistics know nothing, and every pending item would be
// held against every batch.
var countHeld = sql(`select b.wave, sum(h.claimed)::bigint, sum(h.exchanged)::bigint from rotator.batches b
	cross join lateral (select count(*) filter (where m.position is null) as claimed, count(*) filter (where m.position is not null) as exchanged
		from rotator.items i
		left join (select distinct unnest(positions) as position from rotator.minted where run_id = $1 and batch = b.number) m on m.position = i.position
		where i.run_id = $1 and i.position between b.first_position and b.last_position and i.state = 'pending') h
	where b.run_id = $1 and b.settled_at is null and b.claimed group by b.wave`)

// heldCounts are items of a wave that are written as pending but are not.
type heldCounts struct{ claimed, exchanged int }

// countHeld reads the batches under work only: its cost does not grow with the
// fleet.
func (t *Tx) countHeld(ctx context.Context, runID int64) (map[int]heldCounts, error) {
	rows, err := t.tx.Query(ctx, countHeld, runID)
	if err != nil {
		return nil, fmt.Errorf("count claimed items: %w", err)
	}
	waves := map[int]heldCounts{}
	var wave int
	var h heldCounts
	_, err = pgx.ForEachRow(rows, []any{&wave, &h.claimed, &h.exchanged}, func() error {
		waves[wave] = h
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("count claimed items: %w", err)
	}
	return waves, nil
}

// move takes the items out of the pending ones.
func (h heldCounts) move(c *rotation.Counts) {
	c.Add(rotation.ItemPending, -h.claimed-h.exchanged)
	c.Add(rotation.ItemClaimed, h.claimed)
	c.Add(rotation.ItemExchanged, h.exchanged)
}
