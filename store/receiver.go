package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// ErrNoDeliverKey: deliveries cannot be signed.
var ErrNoDeliverKey = errors.New("no key to sign deliveries with is stored")

var (
	readDeliverURL = sql(`select coalesce(settings ->> 'deliver_url', '') from rotator.apps where name = $1`)
	addReceiver    = sql(`insert into rotator.receivers (app_id) values ($1) on conflict do nothing`)
	setReceiverKey = sql(`update rotator.receivers set key = $2, key_fingerprint = $3 where app_id = $1`)
	checkReceiver  = sql(`select coalesce(key_fingerprint, '') from rotator.receivers where app_id = $1`)
	// Another place or key: what failed may work now. Only an answer ends down_since.
	resetReceiver = sql(`update rotator.receivers set failures = 0, not_before = now() where app_id = $1`)
	readReceiver  = sql(`select a.name, coalesce(a.settings ->> 'deliver_url', ''), v.key, v.failures,
			(select count(*) from rotator.workers k where k.stopped_at is null and k.heartbeat_at > now() - $2::interval)
		from rotator.apps a join rotator.receivers v on v.app_id = a.id where a.id = $1`)
	readSending = sql(`select v.down_since, coalesce(a.settings ->> 'deliver_url', '') = ''
		from rotator.apps a left join rotator.receivers v on v.app_id = a.id where a.id = $1`)
)

// deliverURL is the stored one of the app of that name, "" without one.
func (t *Tx) deliverURL(ctx context.Context, app string) (url string, err error) {
	if err = t.tx.QueryRow(ctx, readDeliverURL, app).Scan(&url); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return "", fmt.Errorf("read the deliver url of app %s: %w", app, err)
	}
	return url, nil
}

// setReceiver stores the app's key, if it brings one, and makes failed
// deliveries due when the key or the URL, which was was, is another.
// ErrNoDeliverKey if there is a URL, but no key.
func (t *Tx) setReceiver(ctx context.Context, a *App, was string) error {
	if a.Settings.DeliverURL == "" && a.DeliverKey.IsZero() {
		return nil
	}
	if _, err := t.tx.Exec(ctx, addReceiver, a.ID); err != nil {
		return fmt.Errorf("add the receiver of app %s: %w", a.Name, err)
	}
	if !a.DeliverKey.IsZero() {
		sealed, err := t.keys.Seal(a.DeliverKey, deliverKeyAt(a.ID))
		if err != nil {
			return err
		}
		if err := t.exactlyOne(ctx, "store the deliver key", setReceiverKey, a.ID, sealed, t.keys.Fingerprint(a.DeliverKey)); err != nil {
			return err
		}
	}
	if err := t.tx.QueryRow(ctx, checkReceiver, a.ID).Scan(&a.DeliverKeyFingerprint); err != nil {
		return fmt.Errorf("read the receiver of app %s: %w", a.Name, err)
	}
	if a.DeliverKeyFingerprint == "" {
		return fmt.Errorf("deliver to app %s: %w", a.Name, ErrNoDeliverKey)
	}
	if a.DeliverKey.IsZero() && a.Settings.DeliverURL == was {
		return nil
	}
	_, err := t.retryDeliveries(ctx, a.ID, "")
	return err
}

// Receiver is where an app is told of new tokens, and with which key.
type Receiver struct {
	App string
	// URL is "" when the app is not to be told.
	URL string
	Key secret.String
	// Broken says why nothing can be signed, "" if it can.
	Broken string
	// Failures in a row; from DownAfter on it is down.
	Failures int
	// Workers is the number of live workers that share what it can take.
	Workers int
}

// Receiver reads and unseals. ErrNotFound when the app never had one.
func (s *Store) Receiver(ctx context.Context, appID int64) (Receiver, error) {
	var r Receiver
	var sealed []byte
	if err := s.pool.QueryRow(ctx, readReceiver, appID, LiveWithin).Scan(&r.App, &r.URL, &sealed, &r.Failures, &r.Workers); err != nil {
		return r, one(err, "the receiver of app %d", appID)
	}
	r.Key, r.Broken = s.opened("the app's deliver key", sealed, deliverKeyAt(appID))
	return r, nil
}

// ReceiverDown is since when an app's receiver, which counted as down, acknowledges
// nothing; nil if it is not so, or if there is none.
func (s *Store) ReceiverDown(ctx context.Context, appID int64) (since *time.Time, err error) {
	var noURL bool
	if err := s.pool.QueryRow(ctx, readSending, appID).Scan(&since, &noURL); err != nil {
		return nil, one(err, "the receiver of app %d", appID)
	}
	return since, nil
}
