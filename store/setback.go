package store

import (
	"context"
	"fmt"
	"time"
)

// What waits until a time waits for longer when the database's clock is set back,
// and who was heard of last counts as alive for longer.
var (
	// A live worker is heard of again at once, a dead one counts as such soon.
	setBackWorkers = sql(`update rotator.workers set heartbeat_at = now() where stopped_at is null and heartbeat_at > now() + $1::interval`)
	// The one who leads stands for election again.
	setBackLeader = sql(`delete from rotator.river_leader where expires_at > now() + $1::interval`)
	hurryJobs     = sql(`update rotator.river_job set scheduled_at = now()
		where state in ('available', 'retryable', 'scheduled') and scheduled_at > now() + $1::interval`)
	// What was claimed is freed with its worker; a job may have been lost.
	hurryDeliveries = sql(`update rotator.deliveries set next_attempt_at = now()
		where worker_id is null and acknowledged_generation < generation and next_attempt_at > now() + $1::interval`)
	hurryReceivers = sql(`update rotator.receivers set not_before = now() where not_before > now() + $1::interval`)
	// A live claim is left its lease; but a token may be proven twice.
	hurryItems = sql(`update rotator.items set next_attempt_at = greatest(now(), ` + quiet + `), quiet_until = ` + quiet + `
		where run_id = $1 and next_attempt_at > now() + $2::interval and next_attempt_at > greatest(now(), ` + quiet + `) + $2::interval
			and state in ('retrying', 'unknown', 'exchanged')`)
)

// quiet is until when an item's shop may want to be left alone.
const quiet = `(case when quiet_until is not null then least(quiet_until, now() + $3::interval) end)`

// Pauses are the longest that anything waits by itself. What waits for longer has
// had the clock set back under it.
type Pauses struct {
	// Job is until another try of a job, Delivery of telling an app, Item of a shop.
	Job, Delivery, Item time.Duration
	// Asked is the most that another host may ask for.
	Asked time.Duration
}

// longestElection is out of reach of the time for which River elects a leader.
const longestElection = time.Minute

// MendSetback makes due now, but for items, what would wait for longer than most; and a
// worker whose last heartbeat lies in the future was heard of now, so that a dead one
// counts as such after LiveWithin.
func (s *Store) MendSetback(ctx context.Context, most Pauses) error {
	for _, mend := range []struct {
		statement string
		most      time.Duration
	}{
		{setBackWorkers, LiveWithin},
		{setBackLeader, longestElection},
		{hurryJobs, most.Job},
		{hurryDeliveries, max(most.Delivery, most.Asked)},
		{hurryReceivers, most.Asked},
	} {
		if _, err := s.pool.Exec(ctx, mend.statement, mend.most); err != nil {
			return fmt.Errorf("mend what a clock that was set back left: %w", err)
		}
	}
	return nil
}

// HurryItems is MendSetback for a run's items.
func (t *Tx) HurryItems(ctx context.Context, runID int64, most Pauses) error {
	if _, err := t.tx.Exec(ctx, hurryItems, runID, most.Item, most.Asked); err != nil {
		return fmt.Errorf("hurry items that wait for too long: %w", err)
	}
	return nil
}
