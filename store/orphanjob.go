package store

import (
	"context"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// A River client has the worker's id, so that a job tells who works it.
var (
	freeJobs = sql(`update rotator.river_job j set state = 'available', scheduled_at = now()
		where j.state = 'running' and not exists (select from rotator.workers k
			where k.id::text = j.attempted_by[array_upper(j.attempted_by, 1)] and k.stopped_at is null and k.heartbeat_at > now() - $1::interval)`)
	freeUnheard = sql(`update rotator.river_job j set state = 'available', scheduled_at = now()
		where j.state = 'running' and j.attempted_by[array_upper(j.attempted_by, 1)] = $1::uuid::text and j.id <> all($2::bigint[])
			and j.attempted_at not between now() - $3::interval and now() + $3::interval`)
)

// FreeJobs gives jobs back to the queue whose worker has not been heard of for
// longer than lease. River goes by how long a job was worked, and by its own clock.
// What the former worker may still do is fenced by the tables that the job works on.
func (s *Store) FreeJobs(ctx context.Context, lease time.Duration) error {
	if _, err := s.pool.Exec(ctx, freeJobs, lease); err != nil {
		return fmt.Errorf("free the jobs of dead workers: %w", err)
	}
	return nil
}

// FreeUnheardJobs gives jobs back to the queue that count as the worker's for
// longer than since and are not among those that it works.
func (s *Store) FreeUnheardJobs(ctx context.Context, worker uuid.UUID, working []int64, since time.Duration) error {
	if _, err := s.pool.Exec(ctx, freeUnheard, worker, working, since); err != nil {
		return fmt.Errorf("free the jobs that were never heard of: %w", err)
	}
	return nil
}
