package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"
)

// DeliveryOutcome is what an attempt to tell an app of a token came to.
type DeliveryOutcome struct {
	Delivery Delivery
	// Acknowledged: the app answered 2xx.
	Acknowledged bool
	// Stop: the app answered 410, and is not told of this token again by itself.
	Stop bool
	// Unsent: nothing was tried; the shop is due again as it was.
	Unsent bool
	// Delay until the next attempt.
	Delay time.Duration
	// Asked is how long the app asked to be left alone. One shop's answer holds
	// nobody up; a receiver that is down is obeyed as a whole.
	Asked time.Duration
	// Status is the answer's, 0 without one; Problem says what is wrong.
	Status  int
	Problem string
}

// DownAfter failures in a row, of any shops, a receiver counts as down.
const DownAfter = 16

// failuresNow are the failures in a row after the group of a writeReceiver.
const failuresNow = `(case when $2 then 0 else v.failures end + $3::int)`

var (
	// An answer about a token that is no longer the newest makes the newest due.
	writeDeliveries = sql(`update rotator.deliveries d set leased = false, worker_id = null,
			acknowledged_generation = case when x.acknowledged then greatest(d.acknowledged_generation, least(d.generation, x.generation)) else d.acknowledged_generation end,
			acknowledged_at = case when x.acknowledged then now() else d.acknowledged_at end,
			stopped_at = case when x.stop and d.generation <= x.generation then now() end,
			next_attempt_at = case when d.generation > x.generation then now()
				when not x.acknowledged and not x.stop then now() + x.delay_ms * interval '1 millisecond' end,
			tries = case when d.generation > x.generation then 0 else d.tries end,
			last_status = case when d.generation <= x.generation then nullif(x.status, 0) end,
			last_error = case when d.generation <= x.generation then nullif(x.problem, '') end
		from unnest($1::bigint[], $2::int[], $3::bigint[], $4::boolean[], $5::boolean[], $6::bigint[], $7::int[], $8::text[])
			as x (shop_id, attempt, generation, acknowledged, stop, delay_ms, status, problem)
		where d.shop_id = x.shop_id and d.attempt = x.attempt and d.leased`)
	releaseDeliveries = sql(`update rotator.deliveries d set leased = false, worker_id = null, next_attempt_at = now(), tries = greatest(d.tries - 1, 0)
		from unnest($1::bigint[], $2::int[]) as x (shop_id, attempt) where d.shop_id = x.shop_id and d.attempt = x.attempt and d.leased`)
	// While it is down, a receiver is asked after a growing pause, of a minute at
	// most unless it wants a longer one, which no later answer shortens.
	writeReceiver = sql(`update rotator.receivers v set failures = ` + failuresNow + `,
			down_since = case when ` + failuresNow + ` >= $5 then coalesce(case when not $2 then v.down_since end, now())
				when not $2 then v.down_since end,
			not_before = case when ` + failuresNow + ` < $5 then now()
				else greatest(case when not $2 then v.not_before end,
					now() + greatest($4::interval, least(60, power(2, least(` + failuresNow + ` - $5, 10))) * interval '1 second')) end
		where v.app_id = $1 and (v.failures > 0 or $3 > 0 or v.down_since is not null)`)
)

// WriteDeliveries commits a group of outcomes of one app, in the order in which
// they came. What its fence keeps out, because the shop was claimed again since,
// changes nothing.
func (s *Store) WriteDeliveries(ctx context.Context, appID int64, outcomes []DeliveryOutcome) error {
	answered, failures, asked := false, 0, time.Duration(0)
	for _, o := range outcomes {
		switch {
		case o.Unsent || o.Delivery.Broken != "":
			continue // says nothing about the receiver
		case o.Acknowledged || o.Stop:
			answered, failures, asked = true, 0, 0
		default:
			failures++
			asked = max(asked, o.Asked)
		}
	}
	err := againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			if err := tx.planAnew(ctx); err != nil {
				return err
			}
			if err := tx.writeDeliveries(ctx, slices.Clone(outcomes)); err != nil {
				return err
			}
			_, err := tx.tx.Exec(ctx, writeReceiver, appID, answered, failures, asked, DownAfter)
			return err
		})
	})
	if err != nil {
		return fmt.Errorf("write deliveries: %w", err)
	}
	return nil
}

func (t *Tx) writeDeliveries(ctx context.Context, outcomes []DeliveryOutcome) error {
	// In one order everywhere, lest two groups wait for each other.
	slices.SortFunc(outcomes, func(a, b DeliveryOutcome) int { return cmp.Compare(a.Delivery.ShopID, b.Delivery.ShopID) })
	var shops, generations, delays, unsent []int64
	var attempts, statuses, unsentAttempts []int32
	var acknowledged, stops []bool
	var problems []string
	for _, o := range outcomes {
		d := o.Delivery
		if o.Unsent {
			unsent, unsentAttempts = append(unsent, d.ShopID), append(unsentAttempts, int32(d.Attempt))
			continue
		}
		shops, attempts, generations = append(shops, d.ShopID), append(attempts, int32(d.Attempt)), append(generations, d.Generation)
		acknowledged, stops, delays = append(acknowledged, o.Acknowledged), append(stops, o.Stop), append(delays, o.Delay.Milliseconds())
		statuses, problems = append(statuses, int32(o.Status)), append(problems, o.Problem)
	}
	if len(shops) > 0 {
		if _, err := t.tx.Exec(ctx, writeDeliveries, shops, attempts, generations, acknowledged, stops, delays, statuses, problems); err != nil {
			return err
		}
	}
	if len(unsent) > 0 {
		if _, err := t.tx.Exec(ctx, releaseDeliveries, unsent, unsentAttempts); err != nil {
			return err
		}
	}
	return nil
}
