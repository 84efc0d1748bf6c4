package store

import (
	"context"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

var (
	takePoll = sql(`insert into rotator.health_polls (run_id, polled_at) values ($1, now())
		on conflict (run_id) do update set polled_at = now() where health_polls.polled_at <= now() - $2::interval`)
	writePoll = sql(`update rotator.health_polls set ok_at = case when $2 = '' then now() else ok_at end, why = nullif($2, ''),
			failures = case when $2 = '' then 0 else failures + 1 end
		where run_id = $1 returning failures`)
	forgivePolls = sql(`update rotator.health_polls set failures = 0, why = null where run_id = $1`)
	readPoll     = sql(`select failures, ok_at, coalesce(why, '') from rotator.health_polls where run_id = $1`)
)

// TakePoll gives the caller the turn to poll the app's health URL for the run,
// unless a worker had it less than every ago.
func (s *Store) TakePoll(ctx context.Context, runID int64, every time.Duration) (bool, error) {
	tag, err := s.pool.Exec(ctx, takePoll, runID, every)
	if err != nil {
		return false, fmt.Errorf("take the turn to poll the health URL: %w", err)
	}
	return tag.RowsAffected() == 1, nil
}

// WritePoll records what a poll came to, "" for a healthy app, and holds the run
// when that many in a row failed. held tells that it did.
func (s *Store) WritePoll(ctx context.Context, runID int64, failure string, most int) (held bool, err error) {
	err = s.InTx(ctx, func(tx *Tx) error {
		// The run before anything else, as in every transaction that locks both.
		if err := tx.lockOpenRun(ctx, runID); err != nil {
			return err
		}
		var failures int
		if err := tx.tx.QueryRow(ctx, writePoll, runID, failure).Scan(&failures); err != nil {
			return fmt.Errorf("record what the health URL answered: %w", err)
		}
		if failures < most {
			return nil
		}
		held, err = tx.Hold(ctx, ActorEngine, runID, rotation.HeldBreakerOpen, fmt.Sprintf(
			"the app's health URL failed %d times in a row: %s; look at the app, whose tokens are being replaced; without the URL the run goes on by `rotator rotation resume --ignore-health`", failures, failure))
		return err
	})
	return held, err
}

// fillHealth reads how the app's health URL answered last.
func (t *Tx) fillHealth(ctx context.Context, r Run, s *rotation.Snapshot) error {
	if r.Settings.HealthURL == "" {
		return nil
	}
	s.Health.URL = r.Settings.HealthURL
	rows, err := t.tx.Query(ctx, readPoll, r.ID)
	if err != nil {
		return fmt.Errorf("read how the app is: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := rows.Scan(&s.Health.Failures, &s.Health.OKAt, &s.Health.Why); err != nil {
			return fmt.Errorf("read how the app is: %w", err)
		}
	}
	return rows.Err()
}
