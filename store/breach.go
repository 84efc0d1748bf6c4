package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

var (
	// What an exchange under the run's new secret has left behind, if any did;
	// groups are looked into besides.
	anyMinted = sql(`select exists (select from rotator.shops where app_id = $2 and secret_id = $3)
		or exists (select from rotator.items where run_id = $1 and new_token is not null and coalesce(new_token_secret_id, $3) = $3)`)
	// While a run is held nobody takes a batch over, and whoever had it leaves it
	// when the last of its calls is answered and stored.
	callsUnderWay = sql(`select coalesce(extract(epoch from r.held_at + $2::interval - now()), 0)::float8
		from rotator.runs r, rotator.workers k where r.id = $1 and k.stopped_at is null and k.heartbeat_at > now() - $3::interval
			and (exists (select from rotator.batches b where b.run_id = r.id and b.settled_at is null and b.worker_id = k.id)
				or exists (select from rotator.items i where i.run_id = r.id and i.next_attempt_at is not null and i.state = 'claimed' and i.worker_id = k.id))
		limit 1`)
	pendingSecret = sql(`select id, version from rotator.secrets where app_id = $1 and state = 'pending' for update`)
	// No token was made with it: it is discarded, and was never revoked anywhere.
	giveUpSecret = sql(`update rotator.secrets set state = 'revoked', activated_at = null, revoked_at = now(), value = null where id = $1 and state = 'active'`)
	takeSecret   = sql(`update rotator.runs set new_secret_id = $3 where id = $1 and new_secret_id = $2 and closed_at is null and cancelled_at is null`)
	// A token of the secret that a breach would go to, or goes to, outlives the revoke:
	// an earlier run, which was cancelled, or an install has made it.
	readTiers = sql(`select priority, count(*) from rotator.shops s
		where app_id = $1 and access_token is not null and excluded_at is null
			and not exists (select from rotator.secrets n where n.id = s.secret_id and (n.state = 'pending' or n.state = 'active'
				and (exists (select from rotator.secrets o where o.app_id = n.app_id and o.state = 'retiring')
					or exists (select from rotator.runs r where r.app_id = n.app_id and r.mode = 'breach' and r.new_secret_id = n.id
						and r.closed_at is null and r.cancelled_at is null))))
		group by priority order by priority desc`)
	// What was measured last; a few are enough.
	lastLatency = sql(`select coalesce(percentile_disc(0.5) within group (order by latency_ms), 0) from (
			select i.latency_ms from rotator.items i where i.run_id =
				(select id from rotator.runs r where r.app_id = $1 and r.kind = 'rotation' and exists
					(select from rotator.items x where x.run_id = r.id and x.state = 'proven' and x.latency_ms > 0) order by id desc limit 1)
			and i.state = 'proven' and i.latency_ms > 0 limit 1000) measured`)
	// What another secret is known to have minted shows nothing of this one, nor does a
	// shop that was proven where it is: it was not exchanged.
	anyExchanged = sql(`select exists (select from rotator.items i join rotator.refresh_tokens t on t.id = $2
		where i.run_id = $1 and (i.exchanged_at > t.accepted_at or i.proven_at > t.accepted_at)
			and not (i.state = 'proven' and i.exchanged_at is null)
			and coalesce(case when i.state = 'proven' then (select s.secret_id from rotator.shops s where s.id = i.shop_id) else i.new_token_secret_id end, $3) = $3)`)
	mintedInRun = sql(`select exists (select from rotator.minted where run_id = $1)
		or exists (select from rotator.items where run_id = $1 and (exchanged_at is not null or proven_at is not null))`)
	openBesides = sql(`select exists (select from rotator.items where run_id = $1 and position <> $2
		and state in ('pending', 'claimed', 'exchanged', 'retrying', 'unknown'))`)
)

// containSecrets records that the leaked secret is dead at the platform. From
// here on the new one is the app's: there is no other.
func (t *Tx) containSecrets(ctx context.Context, r Run) error {
	if err := t.exactlyOne(ctx, "mark the leaked secret as revoked", revokeSecret, r.OldSecretID); err != nil {
		return err
	}
	return t.exactlyOne(ctx, "activate the new secret", activateSecret, r.NewSecretID)
}

// ErrMinted: the secret that is to be replaced has made tokens.
var ErrMinted = fmt.Errorf("the platform made tokens with the new secret, so it is right: %w", ErrConflict)

// UseSecret makes the app's pending version the run's new secret, in the place
// of one that was entered wrongly. ErrMinted when that one minted a token,
// ErrNotFound when no version is pending. A call that began before may still mint
// one (CallsUnderWay), which says by itself what minted it.
func (t *Tx) UseSecret(ctx context.Context, actor string, r Run) error {
	minted, err := t.newSecretMinted(ctx, r)
	if err != nil {
		return fmt.Errorf("look for tokens of the new secret: %w", err)
	}
	if minted {
		return ErrMinted
	}
	return t.replaceSecret(ctx, actor, r, false)
}

// ReplaceLostSecret is UseSecret for a secret that was right and is dead by now: what
// it minted is of another secret than the run's from now on, and due again.
func (t *Tx) ReplaceLostSecret(ctx context.Context, actor string, r Run) error {
	return t.replaceSecret(ctx, actor, r, true)
}

func (t *Tx) replaceSecret(ctx context.Context, actor string, r Run, lost bool) error {
	giveUp := giveUpSecret
	if lost {
		giveUp = loseSecret
	}
	var id int64
	var version int
	if err := t.tx.QueryRow(ctx, pendingSecret, r.AppID).Scan(&id, &version); err != nil {
		return one(err, "a pending secret")
	}
	// In this order: an app has one active secret at most.
	for _, step := range []struct {
		what, statement string
		args            []any
	}{
		{"give the wrong secret up", giveUp, []any{r.NewSecretID}},
		{"activate the right secret", activateSecret, []any{id}},
		{"give the run the right secret", takeSecret, []any{r.ID, r.NewSecretID, id}},
	} {
		if err := t.exactlyOne(ctx, step.what, step.statement, step.args...); err != nil {
			return err
		}
	}
	return t.Log(ctx, actor, "run.secret_replaced", r.ID, map[string]any{"version": version, "lost": lost})
}

// newSecretMinted reports whether a token is stored that the run's new secret
// minted, or may have: of a group that does not open nobody knows.
func (t *Tx) newSecretMinted(ctx context.Context, r Run) (bool, error) {
	var found bool
	if err := t.tx.QueryRow(ctx, anyMinted, r.ID, r.AppID, r.NewSecretID).Scan(&found); found || err != nil {
		return found, err
	}
	groups, err := t.readMinted(ctx, mintedOfRun, r.ID)
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(groups, func(g mintedGroup) bool {
		return g.all == nil || slices.ContainsFunc(g.all, func(m minted) bool { return cmp.Or(m.SecretID, r.NewSecretID) == r.NewSecretID })
	}), nil
}

// CallsUnderWay is how long calls that began before the run was held can last at
// most, if one of them does within that time; 0 if none is under way any more. Of
// a worker that is silent nobody knows.
func (s *Store) CallsUnderWay(ctx context.Context, runID int64, within time.Duration) (time.Duration, error) {
	return underWay(ctx, s.pool, runID, within)
}

// CallsUnderWay is Store.CallsUnderWay.
func (t *Tx) CallsUnderWay(ctx context.Context, runID int64, within time.Duration) (time.Duration, error) {
	return underWay(ctx, t.tx, runID, within)
}

func underWay(ctx context.Context, q querier, runID int64, within time.Duration) (time.Duration, error) {
	var left float64
	err := q.QueryRow(ctx, callsUnderWay, runID, within, LiveWithin).Scan(&left)
	if errors.Is(err, pgx.ErrNoRows) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("look for calls under way: %w", err)
	}
	return max(0, time.Duration(left*float64(time.Second))), nil
}

// Tiers counts the shops that would lose a token, by priority, highest first.
func (s *Store) Tiers(ctx context.Context, appID int64) ([]rotation.Tier, error) {
	return collect(ctx, s.pool, "count shops by priority", pgx.RowToStructByPos[rotation.Tier], readTiers, appID)
}

// LastLatency is the median time of a call in the app's newest rotation that
// proved any shop; 0 when none did.
func (s *Store) LastLatency(ctx context.Context, appID int64) (time.Duration, error) {
	var ms int
	if err := s.pool.QueryRow(ctx, lastLatency, appID).Scan(&ms); err != nil {
		return 0, fmt.Errorf("look for the latency measured last: %w", err)
	}
	return perCall(ms), nil
}

// Accepted reports whether the platform has made a token for any shop of the run
// with that secret, since that refresh token was entered. It reads many items when
// none was.
func (s *Store) Accepted(ctx context.Context, runID, secretID, refreshTokenID int64) (bool, error) {
	var accepted bool
	if err := s.pool.QueryRow(ctx, anyExchanged, runID, refreshTokenID, secretID).Scan(&accepted); err != nil {
		return false, fmt.Errorf("look for shops that were exchanged: %w", err)
	}
	return accepted, nil
}

// Minted reports whether the platform has made a token for any shop of the run.
// It reads many items when none was.
func (s *Store) Minted(ctx context.Context, runID int64) (bool, error) {
	var minted bool
	if err := s.pool.QueryRow(ctx, mintedInRun, runID).Scan(&minted); err != nil {
		return false, fmt.Errorf("look for shops that were exchanged: %w", err)
	}
	return minted, nil
}

// OnlyOpen reports whether every other item of the run is settled or parked. It
// reads many items then.
func (s *Store) OnlyOpen(ctx context.Context, runID, position int64) (bool, error) {
	var others bool
	if err := s.pool.QueryRow(ctx, openBesides, runID, position).Scan(&others); err != nil {
		return false, fmt.Errorf("look for other open shops: %w", err)
	}
	return !others, nil
}
