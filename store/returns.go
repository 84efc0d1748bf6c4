package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"
)

// Returns says when a run's shops came to be proven: of all of them, or of those
// of one priority.
type Returns struct {
	// Priority is nil for all.
	Priority *int
	// Shops is how many are proven, Waiting how many have no proven token and are
	// not skipped.
	Shops, Waiting             int
	First, P50, P90, P99, Last time.Time
	// Mean is the mean moment.
	Mean time.Time
}

var readReturns = sql(`select case when grouping(s.priority) = 0 then s.priority end,
		count(*) filter (where i.state = 'proven'), count(*) filter (where i.state not in ('proven', 'skipped')),
		coalesce(min(i.proven_at) filter (where i.state = 'proven'), 'epoch'),
		coalesce(percentile_disc(0.5) within group (order by i.proven_at) filter (where i.state = 'proven'), 'epoch'),
		coalesce(percentile_disc(0.9) within group (order by i.proven_at) filter (where i.state = 'proven'), 'epoch'),
		coalesce(percentile_disc(0.99) within group (order by i.proven_at) filter (where i.state = 'proven'), 'epoch'),
		coalesce(max(i.proven_at) filter (where i.state = 'proven'), 'epoch'),
		to_timestamp(coalesce(avg(extract(epoch from i.proven_at)) filter (where i.state = 'proven'), 0))
	from rotator.items i join rotator.shops s on s.id = i.shop_id where i.run_id = $1
	group by grouping sets ((), (s.priority)) order by grouping(s.priority) desc, s.priority desc`)

// Returns of all shops come first, then those of each priority, highest first.
// Times of a group that has no proven shop are the epoch.
func (s *Store) Returns(ctx context.Context, runID int64) ([]Returns, error) {
	return collect(ctx, s.pool, "read when shops were proven", pgx.RowToStructByPos[Returns], readReturns, runID)
}
