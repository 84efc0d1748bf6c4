package store

import (
	"context"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

var (
	provenAt = sql(`select coalesce(percentile_disc($2::float8[]) within group (order by proven_at), '{}')
		from rotator.items where run_id = $1 and proven_at is not null`)
	readProgress = sql(`select greatest(r.phase_at, r.walk_done_at, i.moved, (select max(j.at) from rotator.journal j where j.run_id = r.id)),
			coalesce(i.proven, 0) / greatest(1, least(extract(epoch from $2::interval), extract(epoch from now() - r.phase_at)))::float8
		from rotator.runs r, lateral (select max(greatest(claimed_at, exchanged_at, proven_at, checked_at)) as moved,
				count(*) filter (where proven_at > now() - $2::interval) as proven
			from rotator.items where run_id = r.id) i
		where r.id = $1`)
)

// ProvenAt tells when the given shares (0 to 1) of a run's proven shops were
// proven; nothing when none is.
func (s *Store) ProvenAt(ctx context.Context, runID int64, shares ...float64) ([]time.Time, error) {
	var at []time.Time
	if err := s.pool.QueryRow(ctx, provenAt, runID, shares).Scan(&at); err != nil {
		return nil, fmt.Errorf("read when shops of run %d were proven: %w", runID, err)
	}
	return at, nil
}

// Progress tells when a run last moved, by a shop, a phase or a decision, and at
// how many shops per second it proved them over the last span.
func (s *Store) Progress(ctx context.Context, runID int64, over time.Duration) (at time.Time, rate float64, err error) {
	if err := s.pool.QueryRow(ctx, readProgress, runID, over).Scan(&at, &rate); err != nil {
		return at, 0, one(err, "the progress of run %d", runID)
	}
	return at.UTC(), rate, nil
}

var shopLatency = sql(`select coalesce(percentile_disc(0.5) within group (order by latency_ms), 0), count(*)
	from rotator.items where run_id = $1 and position between $2 and $3 and latency_ms is not null and state = 'proven'`)

// CallLatency is the median time of a call among a range of a run's shops, 0
// when none of them is proven.
func (s *Store) CallLatency(ctx context.Context, runID int64, in rotation.Range) (time.Duration, error) {
	var ms, n int
	if err := s.pool.QueryRow(ctx, shopLatency, runID, in.First, in.Last).Scan(&ms, &n); err != nil {
		return 0, fmt.Errorf("read how long calls of run %d took: %w", runID, err)
	}
	if n > 0 {
		return perCall(max(ms, 1)), nil // 0 is what rounding left
	}
	return 0, nil
}

// perCall is a call's share of what a shop's exchange and proof took together.
func perCall(ms int) time.Duration {
	return time.Duration(ms) * time.Millisecond / rotation.CallsPerShop
}
