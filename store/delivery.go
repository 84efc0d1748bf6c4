package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// DueDelivery is a shop whose newest token its app is to be told of now, as the
// arguments of a job.
type DueDelivery struct {
	ShopID  int64
	Attempt int
}

// Delivery is one attempt to tell an app of a shop's token: claimed, committed
// before the request.
type Delivery struct {
	ShopID, AppID, RunID int64
	Domain               string
	OrgID                int64
	// Attempt fences the outcome, Tries counts since the newest token.
	Attempt, Tries int
	// Generation is Token's own: what an acknowledgement is worth.
	Generation int64
	SwappedAt  time.Time
	Token      secret.String
	// Broken says why the token cannot be sent, "" if it can.
	Broken string
	// ID is the same for every attempt on the same token.
	ID string
}

var (
	// A row that is under way stays with who has it: the outcome of an older
	// token makes the newer one due. A run that waits for its app owes it every
	// token, also while the app has no URL.
	oweDeliveries = sql(`with told as materialized (
			select r.id as run_id, a.id as app_id from rotator.runs r join rotator.apps a on a.id = r.app_id
			where r.id = any($3) and (a.settings ->> 'deliver_url' <> '' or (r.settings ->> 'require_delivery')::boolean)
		)
		insert into rotator.deliveries as d (shop_id, app_id, run_id, generation, next_attempt_at)
		select x.shop_id, told.app_id, told.run_id, x.generation + 1, now()
		from told join unnest($1::bigint[], $2::bigint[], $3::bigint[]) as x (shop_id, generation, run_id) on x.run_id = told.run_id
		order by x.shop_id
		on conflict (shop_id) do update set run_id = excluded.run_id, generation = excluded.generation, swapped_at = now(),
			tries = 0, stopped_at = null, last_status = null, last_error = null,
			next_attempt_at = case when d.leased then d.next_attempt_at else now() end`)
	readReceivers = sql(`select a.id, v.not_before <= now() and exists (select from rotator.deliveries d where d.app_id = a.id
				and d.acknowledged_generation < d.generation and d.next_attempt_at <= now()),
			exists (select from rotator.deliveries d where d.app_id = a.id and d.leased)
		from rotator.apps a join rotator.receivers v on v.app_id = a.id where a.settings ->> 'deliver_url' <> '' order by a.id`)
	// Locked, so that two supervisors do not count the same room.
	lockReceiver     = sql(`select failures >= $2, not_before <= now() from rotator.receivers where app_id = $1 for no key update`)
	countLeased      = sql(`select count(*) from rotator.deliveries where app_id = $1 and leased and next_attempt_at > now()`)
	dispatchDelivery = sql(`with due as (
			select shop_id from rotator.deliveries where app_id = $1 and acknowledged_generation < generation and next_attempt_at <= now()
			order by next_attempt_at limit $2 for update skip locked
		)
		update rotator.deliveries d set leased = true, worker_id = null, next_attempt_at = now() + $3::interval
		from due where d.shop_id = due.shop_id returning d.shop_id, d.attempt`)
	orphanDeliveries = sql(`update rotator.deliveries d set next_attempt_at = now() where d.leased and d.worker_id is not null and d.next_attempt_at > now()
		and not exists (select from rotator.workers k where k.id = d.worker_id and k.stopped_at is null and k.heartbeat_at > now() - $1::interval)`)
	// The shop may be read as it was before a swap that waited for this row:
	// what is acknowledged is the generation of the token that was read.
	claimDeliveries = sql(`update rotator.deliveries d set attempt = d.attempt + 1, tries = d.tries + 1, worker_id = $3, next_attempt_at = now() + $4::interval
		from unnest($1::bigint[], $2::int[]) as x (shop_id, attempt), rotator.shops s
		where d.shop_id = x.shop_id and d.attempt = x.attempt and d.leased and d.worker_id is null and s.id = d.shop_id
		returning d.shop_id, d.app_id, d.run_id, s.domain, coalesce(s.org_id, 0), d.attempt, d.tries, s.token_generation, d.swapped_at, s.access_token`)
)

// oweDeliveries notes, in the transaction of the swap, that the apps of the
// swapped shops are to be told of their new tokens.
func (t *Tx) oweDeliveries(ctx context.Context, group []*Outcome, swapped map[int64]bool) error {
	shops, generations, runs := make([]int64, 0, len(group)), make([]int64, 0, len(group)), make([]int64, 0, len(group))
	for _, o := range group {
		if swapped[o.Claim.ShopID] {
			shops, generations, runs = append(shops, o.Claim.ShopID), append(generations, o.Claim.Generation), append(runs, o.Claim.RunID)
		}
	}
	if _, err := t.tx.Exec(ctx, oweDeliveries, shops, generations, runs); err != nil {
		return fmt.Errorf("owe deliveries: %w", err)
	}
	return nil
}

// Receivers tells which apps have tokens due, and whether any has tokens due or
// under way.
func (s *Store) Receivers(ctx context.Context) (due []int64, busy bool, err error) {
	rows, err := s.pool.Query(ctx, readReceivers)
	if err != nil {
		return nil, false, fmt.Errorf("look for due deliveries: %w", err)
	}
	var id int64
	var isDue, leased bool
	_, err = pgx.ForEachRow(rows, []any{&id, &isDue, &leased}, func() error {
		if isDue {
			due = append(due, id)
		}
		busy = busy || isDue || leased
		return nil
	})
	if err != nil {
		return nil, false, fmt.Errorf("look for due deliveries: %w", err)
	}
	return due, busy, nil
}

// DispatchDeliveries takes an app's shops that are due, so many that most are
// under way at once: one while its receiver is down. The caller inserts jobs for
// them in the same transaction; a shop whose job is lost is due again after the
// lease.
func (t *Tx) DispatchDeliveries(ctx context.Context, appID int64, most int, lease time.Duration) ([]DueDelivery, error) {
	var down, may bool
	if err := t.tx.QueryRow(ctx, lockReceiver, appID, DownAfter).Scan(&down, &may); err != nil {
		return nil, one(err, "the receiver of app %d", appID)
	}
	// Asked after the lock: another supervisor may have dispatched meanwhile.
	var leased int
	if err := t.tx.QueryRow(ctx, countLeased, appID).Scan(&leased); err != nil {
		return nil, fmt.Errorf("count the deliveries under way: %w", err)
	}
	if down {
		most = 1
	}
	if !may || leased >= most {
		return nil, nil
	}
	return collect(ctx, t.tx, "dispatch deliveries", pgx.RowToStructByPos[DueDelivery], dispatchDelivery, appID, most-leased, lease)
}

// FreeDeliveries makes deliveries due whose worker was not heard of for longer
// than lease.
func (s *Store) FreeDeliveries(ctx context.Context, lease time.Duration) error {
	if _, err := s.pool.Exec(ctx, orphanDeliveries, lease); err != nil {
		return fmt.Errorf("free the deliveries of dead workers: %w", err)
	}
	return nil
}

// ClaimDeliveries claims what was dispatched for as long as lease, and reads the
// tokens. What was claimed or acknowledged since is left out.
func (s *Store) ClaimDeliveries(ctx context.Context, due []DueDelivery, worker uuid.UUID, lease time.Duration) ([]Delivery, error) {
	slices.SortFunc(due, func(a, b DueDelivery) int { return cmp.Compare(a.ShopID, b.ShopID) })
	shops, attempts := make([]int64, len(due)), make([]int32, len(due))
	for i, d := range due {
		shops[i], attempts[i] = d.ShopID, int32(d.Attempt)
	}
	var claimed []Delivery
	err := againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			if err := tx.planAnew(ctx); err != nil {
				return err
			}
			rows, err := tx.tx.Query(ctx, claimDeliveries, shops, attempts, worker, lease)
			if err != nil {
				return err
			}
			claimed, err = pgx.CollectRows(rows, s.scanDelivery)
			return err
		})
	})
	if err != nil {
		return nil, fmt.Errorf("claim deliveries: %w", err)
	}
	return claimed, nil
}

// The table of deliveries is empty when a run begins and grows by thousands a
// second: a plan that was kept from then would read all of it for each group.
var planAnew = sql(`set local plan_cache_mode = force_custom_plan`)

func (t *Tx) planAnew(ctx context.Context) error {
	_, err := t.tx.Exec(ctx, planAnew)
	return err
}

func (s *Store) scanDelivery(row pgx.CollectableRow) (Delivery, error) {
	var d Delivery
	var sealed []byte
	err := row.Scan(&d.ShopID, &d.AppID, &d.RunID, &d.Domain, &d.OrgID, &d.Attempt, &d.Tries, &d.Generation, &d.SwappedAt, &sealed)
	if err != nil {
		return d, err
	}
	// Keyed, so that ids of different databases do not collide at one receiver.
	d.ID = "msg_" + s.keys.Fingerprint(secret.New("delivery/"+pair(d.ShopID, d.Generation)))
	d.Token, d.Broken = s.opened("its stored token", sealed, accessTokenAt(d.ShopID))
	return d, nil
}
