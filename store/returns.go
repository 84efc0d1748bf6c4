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
	// not skipped. Kept are those of a breach run, in neither, whose token the revoke
	// did not kill.
	Shops, Waiting, Kept       int
	First, P50, P90, P99, Last time.Time
	// Mean is the mean moment.
	Mean time.Time
}

// Of a breach who kept a token is left out: it was never down.
var readReturns = sql(`select case when grouping(priority) = 0 then priority end,
		count(*) filter (where proven and not kept), count(*) filter (where not proven and not skipped and not kept), count(*) filter (where kept),
		coalesce(min(at), 'epoch'),
		coalesce(percentile_disc(0.5) within group (order by at), 'epoch'),
		coalesce(percentile_disc(0.9) within group (order by at), 'epoch'),
		coalesce(percentile_disc(0.99) within group (order by at), 'epoch'),
		coalesce(max(at), 'epoch'),
		to_timestamp(coalesce(avg(extract(epoch from at)), 0))
	from (select priority, proven, skipped, kept, case when proven and not kept then proven_at end as at from (
			select s.priority, i.state = 'proven' as proven, i.state = 'skipped' as skipped, i.proven_at,
				r.mode = 'breach' and case i.state when 'proven' then i.exchanged_at is null when 'skipped' then false else coalesce(` + keepsToken + `, false) end as kept
			from rotator.items i join rotator.shops s on s.id = i.shop_id join rotator.runs r on r.id = i.run_id
			where i.run_id = $1) judged) shops
	group by grouping sets ((), (priority)) order by grouping(priority) desc, priority desc`)

// Returns of all shops come first, then those of each priority, highest first.
// Times of a group that has no proven shop are the epoch.
func (s *Store) Returns(ctx context.Context, runID int64) ([]Returns, error) {
	return collect(ctx, s.pool, "read when shops were proven", pgx.RowToStructByPos[Returns], readReturns, runID)
}
