package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// DeliveryState says where telling the app of a shop's newest token stands.
type DeliveryState string

const (
	// DeliveryPending: not tried yet, or under way for the first time, since the token
	// was made or an operator asked for it again.
	DeliveryPending DeliveryState = "pending"
	// DeliveryFailing: tried in vain, and tried again later.
	DeliveryFailing DeliveryState = "failing"
	// DeliveryStopped: the app answered 410.
	DeliveryStopped DeliveryState = "stopped"
	// DeliveryAcknowledged: the app answered 2xx.
	DeliveryAcknowledged DeliveryState = "acknowledged"
)

// DeliveryStates are all of them.
var DeliveryStates = []DeliveryState{DeliveryPending, DeliveryFailing, DeliveryStopped, DeliveryAcknowledged}

// DeliveryInfo is one shop's row, as people are shown it.
type DeliveryInfo struct {
	ShopID     int64         `json:"-"`
	Domain     string        `json:"domain"`
	State      DeliveryState `json:"state"`
	Generation int64         `json:"generation"`
	Run        int64         `json:"run"`
	// Waived: an operator accepted that the app does not know this token.
	Waived         bool       `json:"waived,omitempty"`
	Tries          int        `json:"tries"`
	SwappedAt      time.Time  `json:"swapped_at"`
	NextAttemptAt  *time.Time `json:"next_attempt_at,omitempty"`
	AcknowledgedAt *time.Time `json:"acknowledged_at,omitempty"`
	LastStatus     int        `json:"last_status,omitempty"`
	LastError      string     `json:"last_error,omitempty"`
}

const (
	deliveryState = `case when d.acknowledged_generation >= d.generation then 'acknowledged' when d.stopped_at is not null then 'stopped'
		when d.last_error is not null and d.tries > case when d.worker_id is null then 0 else 1 end then 'failing' else 'pending' end`
	deliveryColumns = `s.id, s.domain, ` + deliveryState + ` as state, d.generation, d.run_id,
		d.waived_generation >= d.generation and d.acknowledged_generation < d.generation, d.tries, d.swapped_at, d.next_attempt_at, d.acknowledged_at,
		coalesce(d.last_status, 0), coalesce(d.last_error, '') from rotator.deliveries d join rotator.shops s on s.id = d.shop_id`
	// Neither in the app's own table, nor said to be loaded.
	notLoaded = `s.bound_key is null and not exists (select from rotator.deliveries d
		where d.shop_id = s.id and d.generation >= s.token_generation and greatest(d.acknowledged_generation, d.waived_generation) >= d.generation)`
)

var (
	readDeliveries = sql(`select ` + deliveryColumns + ` where d.app_id = $1 and s.id > $2 and ` + deliveryState + ` = any($3) order by s.id limit $4`)
	readDelivery   = sql(`select ` + deliveryColumns + ` where d.app_id = $1 and s.domain = $2`)
	// What is under way is left alone: its outcome says when it is due. The rest
	// begins anew; what the app answered stays until it answers again.
	retryDeliveries = sql(`update rotator.deliveries d set next_attempt_at = now(), tries = 0, stopped_at = null
		from rotator.shops s where d.app_id = $1 and s.id = d.shop_id and d.acknowledged_generation < d.generation and not d.leased and ($2 = '' or s.domain = $2)`)
	waiveDelivery = sql(`update rotator.deliveries d set waived_generation = d.generation
		from rotator.shops s, rotator.items i, rotator.runs r
		where s.id = d.shop_id and s.domain = $2 and i.run_id = $1 and i.shop_id = s.id and i.state = 'proven' and r.id = i.run_id
			and (r.settings ->> 'require_delivery')::boolean and d.acknowledged_generation < d.generation and d.waived_generation < d.generation`)
	// Of the shops that this run proved, or left with a new token: those that it
	// skipped are gone.
	countDeliveries = sql(`select count(*) filter (where x.state = 'pending' and not x.waived), count(*) filter (where x.state in ('failing', 'stopped') and not x.waived),
			count(*) filter (where x.state = 'acknowledged'), count(*) filter (where x.state <> 'acknowledged' and x.waived),
			coalesce(extract(epoch from now() - min(x.swapped_at) filter (where x.state <> 'acknowledged' and not x.waived)), 0)::float8
		from (select ` + deliveryState + ` as state, d.waived_generation >= d.generation or i.state in ('waived', 'skipped') as waived, d.swapped_at
			from rotator.deliveries d join rotator.items i on i.run_id = $1 and i.shop_id = d.shop_id where d.app_id = $2) x`)
	// Of an app that is to be told, whatever run swapped them: tokens that nobody
	// accepted as unknown to it.
	readUntold = sql(`select count(*), count(*) filter (where x.state <> 'pending'), min(x.swapped_at) filter (where x.state <> 'pending'),
			(select v.down_since from rotator.receivers v join rotator.apps a on a.id = v.app_id where a.id = $1 and a.settings ->> 'deliver_url' <> '')
		from (select ` + deliveryState + ` as state, d.swapped_at from rotator.deliveries d
			left join rotator.items i on i.run_id = d.run_id and i.shop_id = d.shop_id
			where d.app_id = $1 and d.acknowledged_generation < d.generation and d.waived_generation < d.generation
				and coalesce(i.state, '') not in ('waived', 'skipped')) x
		where exists (select from rotator.apps where id = $1 and settings ->> 'deliver_url' <> '')`)
	// As readExport has it: whose token runs replaced since, and nobody after them.
	// What runs that were cancelled swapped dies with the same old secret.
	countToLoad = sql(`with first as (select id, created_at from rotator.runs where app_id = $1 and kind = 'rotation' and id <= $2
			and id > (select coalesce(max(id), 0) from rotator.runs where app_id = $1 and kind = 'rotation' and closed_at is not null and id < $2)
			order by id limit 1)
		select f.id, (select count(*) from rotator.shops s where s.app_id = $1 and (s.rotated_run >= f.id or s.rotated_at >= f.created_at) and ` + notLoaded + `) from first f`)
	// Enough for a decision: whether there is any.
	countUndelivered = sql(`select count(*) from (select from rotator.deliveries d join rotator.items i on i.run_id = $1 and i.shop_id = d.shop_id
		where d.app_id = $2 and d.acknowledged_generation < d.generation and d.waived_generation < d.generation and i.state not in ('waived', 'skipped') limit 1000) x`)
)

// Deliveries lists up to n of an app's shops in the given states, after the shop
// with an id, in the order of their ids.
func (s *Store) Deliveries(ctx context.Context, appID, after int64, states []DeliveryState, n int) ([]DeliveryInfo, error) {
	return s.deliveries(ctx, readDeliveries, appID, after, states, n)
}

// Delivery is one shop's. ErrNotFound if its app was never to be told of it.
func (s *Store) Delivery(ctx context.Context, appID int64, domain string) (DeliveryInfo, error) {
	all, err := s.deliveries(ctx, readDelivery, appID, domain)
	if err != nil {
		return DeliveryInfo{}, err
	}
	if len(all) == 0 {
		return DeliveryInfo{}, fmt.Errorf("delivery of shop %s: %w", domain, ErrNotFound)
	}
	return all[0], nil
}

func (s *Store) deliveries(ctx context.Context, statement string, args ...any) ([]DeliveryInfo, error) {
	return collect(ctx, s.pool, "read deliveries", pgx.RowToStructByPos[DeliveryInfo], statement, args...)
}

// Untold counts the new tokens that an app with a deliver URL has not acknowledged,
// whatever became of the runs that made them.
func (s *Store) Untold(ctx context.Context, appID int64) (rotation.Untold, error) {
	var u rotation.Untold
	var failing, down *time.Time
	if err := s.pool.QueryRow(ctx, readUntold, appID).Scan(&u.Shops, &u.Failing, &failing, &down); err != nil {
		return u, fmt.Errorf("count the tokens that the app does not know: %w", err)
	}
	if failing != nil {
		u.FailingSince = failing.UTC()
	}
	if down != nil {
		u.DownSince = down.UTC()
	}
	return u, nil
}

// RetryDeliveries makes an app's unacknowledged tokens due now, also those that
// it answered 410 for: of one shop, or all when domain is empty. It returns how
// many.
func (s *Store) RetryDeliveries(ctx context.Context, actor string, app App, domain string) (n int64, err error) {
	err = againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			if n, err = tx.retryDeliveries(ctx, app.ID, domain); err != nil {
				return err
			}
			return tx.Log(ctx, actor, "deliveries.retried", 0, map[string]any{"app": app.Name, "domain": domain, "shops": n})
		})
	})
	return n, err
}

// retryDeliveries also sends at full speed again: somebody mended the receiver. Since
// when it acknowledges nothing stays known until it does.
// First the deliveries, as who writes answers does, lest both wait for each other.
func (t *Tx) retryDeliveries(ctx context.Context, appID int64, domain string) (int64, error) {
	tag, err := t.tx.Exec(ctx, retryDeliveries, appID, domain)
	if err != nil {
		return 0, fmt.Errorf("retry deliveries: %w", err)
	}
	if _, err := t.tx.Exec(ctx, resetReceiver, appID); err != nil {
		return 0, fmt.Errorf("reset the receiver: %w", err)
	}
	return tag.RowsAffected(), nil
}

// waiveDelivery accepts that the app does not know a proven shop's newest token;
// it is told all the same if it can be. waived is false when there was nothing
// to waive.
func (t *Tx) waiveDelivery(ctx context.Context, runID int64, domain string) (waived bool, err error) {
	tag, err := t.tx.Exec(ctx, waiveDelivery, runID, domain)
	if err != nil {
		return false, fmt.Errorf("waive the delivery of %s: %w", domain, err)
	}
	return tag.RowsAffected() > 0, nil
}

// fillToLoad counts what the app must have before its old tokens die, or, where they
// are dead, to work again.
func (t *Tx) fillToLoad(ctx context.Context, r Run, s *rotation.Snapshot) error {
	down := r.Mode == rotation.ModeBreach && (r.Phase == rotation.PhaseRevoked || r.Phase == rotation.PhaseWebhooksSingle)
	if r.isMigration() || r.Phase != rotation.PhaseProven && !down {
		return nil
	}
	if err := t.tx.QueryRow(ctx, countToLoad, r.AppID, r.ID).Scan(&s.LoadSince, &s.ToLoad); err != nil {
		return fmt.Errorf("count the tokens that the app must load: %w", err)
	}
	return nil
}

// fillDeliveries counts what the app was told. The engine asks only when the
// answer can matter.
func (t *Tx) fillDeliveries(ctx context.Context, r Run, s *rotation.Snapshot, detail Detail) error {
	d := &s.Deliveries
	d.Required = r.Settings.RequireDelivery
	if detail != Counted {
		if !d.Required || s.Counts.Open() > 0 {
			return nil
		}
		if err := t.tx.QueryRow(ctx, countUndelivered, r.ID, r.AppID).Scan(&d.Pending); err != nil {
			return fmt.Errorf("count undelivered tokens: %w", err)
		}
		// What is written down on entering a phase, or certified, is the count.
		if d.Pending > 0 || s.Certificate {
			return nil
		}
	}
	var oldest float64
	err := t.tx.QueryRow(ctx, countDeliveries, r.ID, r.AppID).Scan(&d.Pending, &d.Failing, &d.Acknowledged, &d.Waived, &oldest)
	if err != nil {
		return fmt.Errorf("count deliveries: %w", err)
	}
	d.Oldest = time.Duration(oldest * float64(time.Second))
	var down *time.Time
	if err := t.tx.QueryRow(ctx, readSending, r.AppID).Scan(&down, &d.NoURL); err != nil {
		return fmt.Errorf("look how deliveries go: %w", err)
	}
	d.NoURL = d.NoURL && d.Required
	if down != nil {
		d.DownSince = down.UTC()
	}
	return t.fillToLoad(ctx, r, s)
}
