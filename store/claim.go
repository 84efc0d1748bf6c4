package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

// Claim is one attempt on one shop: the intent, committed before any call.
type Claim struct {
	RunID, Position, ShopID int64
	Domain                  string
	// Attempt fences the outcome: a newer claim of the item makes it void.
	Attempt int
	// Was is the state that the claim found.
	Was rotation.ItemState
	// Generation is the shop's token generation at the exchange, the fence of
	// the swap.
	Generation int64
	// SecretID is the version that minted the shop's current token, 0 if unknown.
	SecretID int64
	// Excluded is why an operator excluded the shop, "" if not.
	Excluded string
	// Tries counts attempts since the last time an operator asked for a retry.
	Tries int
	// Acted tells that an earlier attempt may have minted a token nobody holds.
	Acted bool
	// IgnoreCooldown tells that an operator said to call the shop although it
	// asked to be left alone.
	IgnoreCooldown bool
	// Broken says why a sealed token does not open, "" if it does.
	Broken string
	// Batch and Fence name the lease that a pending shop was claimed with: its
	// item is not written before its outcome. Fence is 0 when the item itself was
	// claimed.
	Batch int
	Fence int64
	// Current is the shop's access token now. New is a token that an earlier
	// attempt stored and that is still to be proven.
	Current, New secret.String
	// NewSecretID is the version that minted New, 0 if that is the run's own.
	NewSecretID int64
	// at is when the claim was made.
	at time.Time
}

// withBatch reports whether the item is still as the claim found it.
func (c Claim) withBatch() bool { return c.Fence != 0 }

func (c Claim) lease() batchLease { return batchLease{c.RunID, c.Batch, c.Fence} }

const claimReturning = ` returning i.run_id, i.position, i.shop_id, s.domain, i.attempt, next.state,
	i.generation, coalesce(s.secret_id, 0), coalesce(s.excluded_reason, ''), i.tries, i.acted, s.access_token, i.new_token, next.ignore_cooldown,
	coalesce(i.new_token_secret_id, 0)`

// A run that is held, cancelled or closed has no claims: what a worker believes
// about it may be a moment old.
const runWorks = `exists (select from rotator.runs r where r.id = $1 and r.held is null and r.closed_at is null and r.cancelled_at is null)`

var (
	// Taking the batch was the intent of all its pending items. Taken over since,
	// they are not pending any more.
	openItems = sql(`select i.run_id, i.position, i.shop_id, s.domain, i.attempt + 1, i.state,
			s.token_generation, coalesce(s.secret_id, 0), coalesce(s.excluded_reason, ''), i.tries + 1, i.acted, s.access_token, null::bytea, false, 0
		from rotator.items i join rotator.shops s on s.id = i.shop_id
		where i.run_id = $1 and i.position between $4 and $5 and i.next_attempt_at is null and i.state in ('pending', 'unknown', 'exchanged')
			and exists (select from rotator.batches b where b.run_id = $1 and b.number = $2 and b.fence = $3) and ` + runWorks + `
		order by i.position limit $6`)
	// Items that are not pending are claimed each by itself. The batch row is
	// locked against being taken by another worker meanwhile.
	claimBatch = sql(`with batch as (
			select 1 from rotator.batches where run_id = $1 and number = $2 and fence = $3 and ` + runWorks + ` for share
		), next as (
			select position, state, ignore_cooldown from rotator.items
			where run_id = $1 and position between $4 and $5 and state in ('unknown', 'exchanged')
				and next_attempt_at is null and exists (select from batch)
			order by position for update
		)
		update rotator.items i set attempt = i.attempt + 1, tries = i.tries + 1, generation = case when i.new_token is not null then i.generation else s.token_generation end, worker_id = $6,
			state = case when i.new_token is not null then 'exchanged' else 'claimed' end,
			claimed_at = now(), late_exchange_at = null, ignore_cooldown = false
		from next, rotator.shops s
		where i.run_id = $1 and i.position = next.position and s.id = i.shop_id` + claimReturning)
	// The lease outlives any attempt: a job that dies leaves the item due.
	claimItem = sql(`with next as (
			select position, state, ignore_cooldown from rotator.items
			where run_id = $1 and position = $2 and attempt = $3 and next_attempt_at is not null
				and state in ('claimed', 'retrying', 'unknown', 'exchanged') and ` + runWorks + ` for update
		)
		update rotator.items i set attempt = i.attempt + 1, tries = i.tries + 1, generation = case when i.new_token is not null then i.generation else s.token_generation end, worker_id = $4,
			state = case when i.new_token is not null then 'exchanged' else 'claimed' end,
			claimed_at = now(), late_exchange_at = null, ignore_cooldown = false, next_attempt_at = now() + $5::interval
		from next, rotator.shops s
		where i.run_id = $1 and i.position = next.position and s.id = i.shop_id` + claimReturning)
	// Dispatching moves next_attempt_at, so that a lost job is due again later.
	dispatchDue = sql(`with due as (
			select position from rotator.items where run_id = $1 and next_attempt_at <= now()
			order by next_attempt_at limit $2 for update skip locked
		)
		update rotator.items i set next_attempt_at = now() + $3::interval,
			state = case when i.state = 'claimed' then 'unknown' else i.state end, acted = i.acted or i.state = 'claimed'
		from due where i.run_id = $1 and i.position = due.position
		returning i.run_id, i.position, i.attempt`)
	// After a hold for a fault that was nobody's shop, what failed is due now; a
	// shop that asked to be left alone still is.
	// Without a class it does not count as failed until it was tried again; that
	// a token is another shop's is not forgotten, lest it be adopted.
	forgiveItems = sql(`update rotator.items set next_attempt_at = greatest(now(), quiet_until), class = case when class = 'wrong_shop' then class end, tries = 0, state = case
			when state = 'parked' and new_token is not null then 'exchanged' when state = 'parked' then 'retrying' else state end
		where run_id = $1 and class is distinct from 'rate_limited' and ($2 or new_token is not null)
			and (state in ('retrying', 'unknown', 'exchanged') and next_attempt_at is not null
				or state = 'parked' and (new_token is not null or class in ('platform', 'network', 'bad_answer', 'ours', 'window')))`)
	// An item that is worked by itself outlives its worker for no longer than a
	// batch does.
	orphanDue = sql(`update rotator.items i set next_attempt_at = now(), worker_id = null
		where i.run_id = $1 and i.next_attempt_at > now() and i.state in ('claimed', 'exchanged') and i.worker_id is not null
			and not exists (select from rotator.workers k where k.id = i.worker_id and k.stopped_at is null and k.heartbeat_at > now() - $2::interval)
			and i.claimed_at not between now() - $2::interval and now() + $2::interval`)
	postponeItem = sql(`update rotator.items set next_attempt_at = now() + $4::interval
		where run_id = $1 and position = $2 and attempt = $3 and next_attempt_at is not null`)
)

// ClaimBatch claims up to n open items of the leased batch, from a position on,
// in order. An empty answer means that none is left, or that the lease was
// superseded. Nothing is written for pending items, which are claimed with their
// batch: the caller must not ask from the same position again while it works
// them.
func (s *Store) ClaimBatch(ctx context.Context, l Lease, from int64, n int, worker uuid.UUID) ([]Claim, error) {
	rows, err := s.pool.Query(ctx, openItems, l.RunID, l.Number, l.Fence, from, l.Last, n)
	if err != nil {
		return nil, fmt.Errorf("read open items of batch %d: %w", l.Number, err)
	}
	open, err := s.collectClaims(rows, n)
	if err != nil || len(open) == 0 {
		return nil, err
	}
	last := open[len(open)-1].Position
	found := len(open)
	claims := slices.DeleteFunc(open, func(c Claim) bool { return c.Was != rotation.ItemPending })
	for i := range claims {
		claims[i].Batch, claims[i].Fence = l.Number, l.Fence
	}
	if len(claims) == found {
		return claims, nil
	}
	if rows, err = s.pool.Query(ctx, claimBatch, l.RunID, l.Number, l.Fence, from, last, worker); err != nil {
		return nil, fmt.Errorf("claim items of batch %d: %w", l.Number, err)
	}
	single, err := s.collectClaims(rows, found-len(claims))
	if err != nil {
		return nil, err
	}
	claims = append(claims, single...)
	slices.SortFunc(claims, func(a, b Claim) int { return int(a.Position - b.Position) })
	return claims, nil
}

// Due is an item whose next attempt is due, as the arguments of its job.
type Due struct {
	RunID, Position int64
	Attempt         int
}

// DispatchDue takes up to n items that are due; the caller inserts a job for
// each in the same transaction. An item whose job is lost is due again after
// the lease.
func (t *Tx) DispatchDue(ctx context.Context, runID int64, n int, lease time.Duration) ([]Due, error) {
	return collect(ctx, t.tx, "dispatch due items", pgx.RowToStructByPos[Due], dispatchDue, runID, n, lease)
}

// ClaimDue claims one dispatched item for as long as lease. ErrNotFound when it
// was claimed or settled since: there is nothing to do.
func (s *Store) ClaimDue(ctx context.Context, d Due, worker uuid.UUID, lease time.Duration) (Claim, error) {
	rows, err := s.pool.Query(ctx, claimItem, d.RunID, d.Position, d.Attempt, worker, lease)
	if err != nil {
		return Claim{}, fmt.Errorf("claim item %d: %w", d.Position, err)
	}
	claims, err := s.collectClaims(rows, 1)
	if err != nil {
		return Claim{}, err
	}
	if len(claims) == 0 {
		return Claim{}, fmt.Errorf("item %d at attempt %d: %w", d.Position, d.Attempt, ErrNotFound)
	}
	return claims[0], nil
}

// FreeOrphans makes items due that a worker claimed one by one and that has not
// been heard of for longer than lease.
func (t *Tx) FreeOrphans(ctx context.Context, runID int64, lease time.Duration) error {
	if _, err := t.tx.Exec(ctx, orphanDue, runID, lease); err != nil {
		return fmt.Errorf("free the items of dead workers: %w", err)
	}
	return nil
}

// Postpone makes a dispatched item due again after delay, unclaimed.
func (s *Store) Postpone(ctx context.Context, d Due, delay time.Duration) error {
	if _, err := s.pool.Exec(ctx, postponeItem, d.RunID, d.Position, d.Attempt, delay); err != nil {
		return fmt.Errorf("postpone item %d: %w", d.Position, err)
	}
	return nil
}

// collectClaims reads about n claims.
func (s *Store) collectClaims(rows pgx.Rows, n int) ([]Claim, error) {
	claims := make([]Claim, 0, n)
	row := Claim{at: time.Now()}
	var current, fresh []byte
	_, err := pgx.ForEachRow(rows, []any{
		&row.RunID, &row.Position, &row.ShopID, &row.Domain, &row.Attempt, &row.Was, &row.Generation, &row.SecretID,
		&row.Excluded, &row.Tries, &row.Acted, &current, &fresh, &row.IgnoreCooldown, &row.NewSecretID,
	}, func() error {
		c := row
		if current != nil {
			c.Current, c.Broken = s.opened("its stored token", current, accessTokenAt(c.ShopID))
		}
		if fresh != nil {
			var broken string
			if c.New, broken = s.opened("its new token", fresh, newTokenAt(c.RunID, c.Position)); broken != "" {
				c.Broken = broken
			}
		}
		claims = append(claims, c)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("claim items: %w", err)
	}
	return claims, nil
}
