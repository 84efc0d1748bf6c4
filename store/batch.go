package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
)

// Grant allows one job to work a batch. A newer grant of the same batch makes
// the older one's job a no-op.
type Grant struct {
	RunID  int64
	Number int
	Grant  int
}

// Lease is a batch taken by a worker.
type Lease struct {
	Grant
	// Fence was raised by taking the batch; claims are made under it.
	Fence       int64
	First, Last int64
}

var (
	releaseWave = sql(`update rotator.waves set released_at = now() where run_id = $1 and number = $2 and released_at is null`)
	settleWave  = sql(`update rotator.waves set settled_at = now() where run_id = $1 and number = $2 and settled_at is null and released_at is not null`)
	grantWave   = sql(`update rotator.batches set grant_number = grant_number + 1, worker_id = null, taken_at = null
		where run_id = $1 and wave = $2 and settled_at is null returning run_id, number, grant_number`)
	// A batch is an orphan when the worker that took it is silent, or when its
	// job is gone from River, or runs on a silent worker (whose River client has
	// the worker's id), without the batch being settled or handed out. Jobs are
	// read once, not once for each batch: a whole fleet's may be granted at a time.
	grantOrphans = sql(`update rotator.batches b set grant_number = grant_number + 1, worker_id = null, taken_at = null
		from rotator.waves w where b.run_id = $1 and w.run_id = b.run_id and w.number = b.wave
			and w.released_at is not null and b.settled_at is null
			and ((b.worker_id is not null and not exists
				(select from rotator.workers k where k.id = b.worker_id and k.stopped_at is null and k.heartbeat_at > now() - $2::interval))
			or not (b.handed_out and b.worker_id is not null) and (b.number, b.grant_number) not in (select (j.args->>'batch')::int, (j.args->>'grant')::int from rotator.river_job j
				where j.kind = $3 and j.state in ('available', 'running', 'retryable', 'scheduled', 'pending') and (j.args->>'run')::bigint = $1
				and (j.state <> 'running' or j.attempted_by is null or exists (select from rotator.workers k
					where k.id::text = j.attempted_by[array_upper(j.attempted_by, 1)] and k.stopped_at is null and k.heartbeat_at > now() - $2::interval))))
		returning b.run_id, b.number, b.grant_number`)
	// Taking a batch claims all its pending items, if it is to call for them: one
	// row is written for them.
	takeBatch = sql(`with batch as (
			select claimed from rotator.batches where run_id = $1 and number = $2 and grant_number = $3 and settled_at is null for update
		)
		update rotator.batches b set fence = fence + 1, worker_id = $4, taken_at = now(), claimed = $5, handed_out = false
		from batch was where b.run_id = $1 and b.number = $2
		returning b.fence, b.first_position, b.last_position, was.claimed`)
	// What the holder before had claimed may have been sent: nobody knows.
	// Items under a lease of their own (next_attempt_at) are not the batch's.
	// A pending one gets the attempt that it was claimed for, so that the outcome
	// of that attempt is kept out.
	orphanItems = sql(`update rotator.items set state = 'unknown', class = 'network', acted = true,
			attempt = attempt + (state = 'pending')::int, tries = tries + (state = 'pending')::int,
			detail = 'the worker that held it died or was superseded; the platform may have acted'
		where run_id = $1 and position between $2 and $3 and next_attempt_at is null
			and state in ('pending', 'claimed')`)
	leaveBatch = sql(`update rotator.batches set worker_id = null, taken_at = null, claimed = false
		where run_id = $1 and number = $2 and fence = $3 and settled_at is null`)
	// The job that handed it out may still count as running, and be given again.
	handOutBatch = sql(`update rotator.batches set handed_out = true, grant_number = grant_number + 1 where run_id = $1 and number = $2 and fence = $3 and settled_at is null`)
	// What is claimed still was never told to who leaves: the answer was lost. The
	// next holder does not look for what the one before had under way.
	untoldItems = sql(`update rotator.items set state = 'unknown'
		where run_id = $1 and position between $2 and $3 and next_attempt_at is null and state = 'claimed'`)
	// Every token of a group is in its shop by then, or its item says why not.
	settleBatch = sql(`with settled as (update rotator.batches b set settled_at = now() where b.run_id = $1 and b.number = $2 and b.fence = $3
		and not exists (select from rotator.items i where i.run_id = b.run_id and i.position between b.first_position and b.last_position
			and i.state in ('pending', 'claimed', 'unknown', 'exchanged') and i.next_attempt_at is null)
			returning b.run_id, b.number, b.wave
		), emptied as (delete from rotator.minted m using settled s where m.run_id = s.run_id and m.batch = s.number)
		select not exists (select from rotator.batches o where o.run_id = s.run_id and o.wave = s.wave and o.number <> s.number and o.settled_at is null) from settled s`)
)

// ReleaseWave releases a wave and grants its batches, whose jobs the caller
// inserts in the same transaction.
func (t *Tx) ReleaseWave(ctx context.Context, runID int64, number int, why string) ([]Grant, error) {
	if err := t.exactlyOne(ctx, "release the wave", releaseWave, runID, number); err != nil {
		return nil, err
	}
	if err := t.Log(ctx, ActorEngine, "wave.released", runID, map[string]any{"wave": number, "why": why}); err != nil {
		return nil, err
	}
	return t.grants(ctx, grantWave, runID, number)
}

// SettleWave records that every shop of the wave was tried to an end.
func (t *Tx) SettleWave(ctx context.Context, runID int64, number int) error {
	if err := t.exactlyOne(ctx, "settle the wave", settleWave, runID, number); err != nil {
		return err
	}
	return t.Log(ctx, ActorEngine, "wave.settled", runID, map[string]any{"wave": number})
}

// GrantOrphans grants batches anew whose worker has not been heard of for
// longer than lease, or whose job of the given kind no longer exists.
func (t *Tx) GrantOrphans(ctx context.Context, runID int64, lease time.Duration, kind string) ([]Grant, error) {
	return t.grants(ctx, grantOrphans, runID, lease, kind)
}

func (t *Tx) grants(ctx context.Context, statement string, args ...any) ([]Grant, error) {
	return collect(ctx, t.tx, "grant batches", pgx.RowToStructByPos[Grant], statement, args...)
}

// TakeBatch makes worker the holder of the batch. ErrConflict when the grant is
// not the newest or the batch is settled: there is nothing to do.
func (s *Store) TakeBatch(ctx context.Context, g Grant, worker uuid.UUID) (Lease, error) {
	return s.takeBatch(ctx, g, worker, true)
}

// HoldBatch is TakeBatch for work that asks nobody: it claims no item, so that
// whatever becomes of the worker, none is taken for sent.
func (s *Store) HoldBatch(ctx context.Context, g Grant, worker uuid.UUID) (Lease, error) {
	return s.takeBatch(ctx, g, worker, false)
}

func (s *Store) takeBatch(ctx context.Context, g Grant, worker uuid.UUID, claim bool) (l Lease, err error) {
	err = againIfDeadlocked(func() error {
		l, err = s.tryTakeBatch(ctx, g, worker, claim)
		return err
	})
	return l, err
}

func (s *Store) tryTakeBatch(ctx context.Context, g Grant, worker uuid.UUID, claim bool) (Lease, error) {
	l := Lease{Grant: g}
	err := s.InTx(ctx, func(tx *Tx) error {
		var claimed bool
		err := tx.tx.QueryRow(ctx, takeBatch, g.RunID, g.Number, g.Grant, worker, claim).Scan(&l.Fence, &l.First, &l.Last, &claimed)
		if errors.Is(err, pgx.ErrNoRows) {
			return fmt.Errorf("take batch %d: it is settled or was granted anew: %w", g.Number, ErrConflict)
		}
		if err != nil {
			return fmt.Errorf("take batch %d: %w", g.Number, err)
		}
		if !claimed {
			return nil // nobody had it, or who had it left nothing under way
		}
		if err := tx.settleMinted(ctx, mintedOfBatch, g.RunID, g.Number); err != nil {
			return fmt.Errorf("take over the tokens of batch %d: %w", g.Number, err)
		}
		if _, err := tx.tx.Exec(ctx, orphanItems, g.RunID, l.First, l.Last); err != nil {
			return fmt.Errorf("take over the items of batch %d: %w", g.Number, err)
		}
		return nil
	})
	return l, err
}

// HandOutBatch notes that every item of the batch is under way at its holder: it
// needs no job until its holder is gone or leaves it, and its grant is used up.
func (s *Store) HandOutBatch(ctx context.Context, l Lease) error {
	if _, err := s.pool.Exec(ctx, handOutBatch, l.RunID, l.Number, l.Fence); err != nil {
		return fmt.Errorf("note that batch %d is handed out: %w", l.Number, err)
	}
	return nil
}

// LeaveBatch gives up the batch without settling it. Every claim under the lease
// must have come to its end: what is pending then was not sent, and goes back.
func (s *Store) LeaveBatch(ctx context.Context, l Lease) error {
	err := againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			tag, err := tx.tx.Exec(ctx, leaveBatch, l.RunID, l.Number, l.Fence)
			if err != nil || tag.RowsAffected() == 0 {
				return err
			}
			if err := tx.settleMinted(ctx, mintedOfBatch, l.RunID, l.Number); err != nil {
				return err
			}
			_, err = tx.tx.Exec(ctx, untoldItems, l.RunID, l.First, l.Last)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("leave batch %d: %w", l.Number, err)
	}
	return nil
}

// SettleBatch marks the batch as done unless an item of it is still open or the
// lease was superseded, which it reports as false. last tells that no other
// batch of the wave was open; two that settle at the same moment may both miss
// it.
func (s *Store) SettleBatch(ctx context.Context, l Lease) (settled, last bool, err error) {
	err = s.pool.QueryRow(ctx, settleBatch, l.RunID, l.Number, l.Fence).Scan(&last)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("settle batch %d: %w", l.Number, err)
	}
	return true, last, nil
}
