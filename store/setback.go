package store

import (
	"context"
	"fmt"
	"time"
)

// What waits until a time waits for longer when the database's clock is set back.
var (
	// A live claim is left its lease; but a token may be proven twice.
	hurryItems = sql(`update rotator.items set next_attempt_at = greatest(now(), quiet_until)
		where run_id = $1 and next_attempt_at > greatest(now(), quiet_until) + $2::interval and state in ('retrying', 'unknown', 'exchanged')`)
	hurryJobs = sql(`update rotator.river_job set scheduled_at = now()
		where state in ('available', 'retryable', 'scheduled') and scheduled_at > now() + $1::interval`)
)

// HurryItems makes items of the run due that wait for longer than most, beyond what
// the platform asked for: nobody has set them so.
func (t *Tx) HurryItems(ctx context.Context, runID int64, most time.Duration) error {
	if _, err := t.tx.Exec(ctx, hurryItems, runID, most); err != nil {
		return fmt.Errorf("hurry items that wait for too long: %w", err)
	}
	return nil
}

// HurryJobs is HurryItems for jobs.
func (s *Store) HurryJobs(ctx context.Context, most time.Duration) error {
	if _, err := s.pool.Exec(ctx, hurryJobs, most); err != nil {
		return fmt.Errorf("hurry jobs that wait for too long: %w", err)
	}
	return nil
}
