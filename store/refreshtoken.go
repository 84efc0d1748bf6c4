package store

import (
	"context"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

// RefreshToken describes the app-wide one-hour token of a run; never its value.
type RefreshToken struct {
	ID          int64
	Fingerprint string
	AcceptedAt  time.Time
	ExpiresAt   time.Time
	RefusedAt   *time.Time
}

var (
	insertRefreshToken = sql(`insert into rotator.refresh_tokens (run_id, value, fingerprint, expires_at)
		values ($1, $2, $3, now() + $4::interval) returning id, accepted_at, expires_at`)
	shredOldRefreshTokens = sql(`update rotator.refresh_tokens set value = null, shredded_at = now()
		where run_id = $1 and id <> $2 and value is not null`)
	readRefreshToken = sql(`select run_id, fingerprint, value from rotator.refresh_tokens where id = $1 and value is not null`)
	refuseToken      = sql(`update rotator.refresh_tokens t set refused_at = coalesce(refused_at, now()) where id = $1 and run_id = $2
		returning not exists (select from rotator.refresh_tokens newer where newer.run_id = t.run_id and newer.id > t.id)`)
	// The value's earlier entries in this run: when its hour ends by the first of
	// them, and whether it is the one in use.
	usedRefreshToken = sql(`select count(*) > 0, coalesce(min(expires_at), now()), coalesce(bool_or(id = (select max(id)
			from rotator.refresh_tokens where run_id = $1 and id <> $3)), false)
		from rotator.refresh_tokens where run_id = $1 and fingerprint = $2 and id <> $3`)
	shortenRefreshToken = sql(`update rotator.refresh_tokens set expires_at = least(expires_at, $2) where id = $1 returning expires_at, expires_at > now()`)
)

// Arm stores the run's refresh token, which has life left as given; it takes
// the place of the one before, whose value is shredded. ErrConflict when the
// value is in use already or its hour is over by an earlier entry. ErrConflict also
// when the run is not open: nobody would shred the value.
func (t *Tx) Arm(ctx context.Context, actor string, runID int64, value secret.String, life time.Duration) (RefreshToken, error) {
	rt := RefreshToken{Fingerprint: t.keys.Fingerprint(value)}
	if err := t.lockOpenRun(ctx, runID); err != nil {
		return rt, err
	}
	sealed, err := t.keys.Seal(value, refreshTokenAt(runID, rt.Fingerprint))
	if err != nil {
		return rt, fmt.Errorf("seal the refresh token: %w", err)
	}
	if err := t.tx.QueryRow(ctx, insertRefreshToken, runID, sealed, rt.Fingerprint, life).Scan(&rt.ID, &rt.AcceptedAt, &rt.ExpiresAt); err != nil {
		return rt, fmt.Errorf("store the refresh token: %w", err)
	}
	if err := t.enteredBefore(ctx, runID, &rt); err != nil {
		return rt, err
	}
	if _, err := t.tx.Exec(ctx, shredOldRefreshTokens, runID, rt.ID); err != nil {
		return rt, fmt.Errorf("shred the refresh token before: %w", err)
	}
	return rt, t.Log(ctx, actor, "run.armed", runID, map[string]any{
		"fingerprint": rt.Fingerprint, "expires_at": rt.ExpiresAt.UTC(),
	})
}

// enteredBefore handles a value that the run was given already: one that a
// mistyped token took the place of comes back, and one whose age was told wrong
// ends sooner, but no value's hour begins anew.
func (t *Tx) enteredBefore(ctx context.Context, runID int64, rt *RefreshToken) error {
	var before, inUse, left bool
	var ends time.Time
	if err := t.tx.QueryRow(ctx, usedRefreshToken, runID, rt.Fingerprint, rt.ID).Scan(&before, &ends, &inUse); err != nil {
		return fmt.Errorf("compare with earlier refresh tokens: %w", err)
	}
	switch {
	case !before:
		return nil
	case inUse && !rt.ExpiresAt.Before(ends.Add(-time.Second)):
		return fmt.Errorf("this refresh token was entered before, and its hour does not begin anew: %w", ErrConflict)
	}
	if err := t.tx.QueryRow(ctx, shortenRefreshToken, rt.ID, ends).Scan(&rt.ExpiresAt, &left); err != nil {
		return fmt.Errorf("keep the refresh token's hour: %w", err)
	}
	if !left {
		return fmt.Errorf("this refresh token was entered before and its hour is over: %w", ErrConflict)
	}
	return nil
}

// RefreshTokenValue unseals a refresh token.
func (s *Store) RefreshTokenValue(ctx context.Context, id int64) (secret.String, error) {
	var runID int64
	var fingerprint string
	var sealed []byte
	if err := s.pool.QueryRow(ctx, readRefreshToken, id).Scan(&runID, &fingerprint, &sealed); err != nil {
		return secret.String{}, one(err, "the value of refresh token %d", id)
	}
	v, err := s.keys.Open(sealed, refreshTokenAt(runID, fingerprint))
	if err != nil {
		return v, fmt.Errorf("unseal refresh token %s: %w", fingerprint, err)
	}
	return v, nil
}

// RefuseRefreshToken records that the platform refused it, and holds the run
// unless a newer one has been entered since.
func (t *Tx) RefuseRefreshToken(ctx context.Context, runID, tokenID int64, why string) error {
	var newest bool
	if err := t.tx.QueryRow(ctx, refuseToken, tokenID, runID).Scan(&newest); err != nil {
		return one(err, "refresh token %d of run %d", tokenID, runID)
	}
	if !newest {
		return nil
	}
	_, err := t.Hold(ctx, ActorEngine, runID, rotation.HeldWaiting, why)
	return err
}

// ActorEngine is the journal's actor for what a worker decides by itself.
const ActorEngine = "engine"

func (t *Tx) shredRefreshTokens(ctx context.Context, runID int64) error {
	if _, err := t.tx.Exec(ctx, shredOldRefreshTokens, runID, 0); err != nil {
		return fmt.Errorf("shred the refresh token: %w", err)
	}
	return nil
}
