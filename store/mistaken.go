package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Secrets and refresh tokens look alike and come from the same dashboard. One that
// is known as the other is not taken for it: a worker would send the app's secret
// as a refresh token, or the other way round.

var (
	// A version that was discarded may have been a refresh token all along.
	secretOfRun = sql(`select version, state from rotator.secrets where fingerprint = $2 and not ` + discarded + `
		and app_id = (select app_id from rotator.runs where id = $1) order by version limit 1`)
	// It is a token only as long as the app's open run works with it. One that the
	// platform refused, or under which it refuses the credentials, may have been the
	// secret all along: it must be possible to put it right.
	enteredAsToken = sql(`select t.run_id, t.accepted_at from rotator.refresh_tokens t join rotator.runs r on r.id = t.run_id
		where r.app_id = $1 and r.closed_at is null and r.cancelled_at is null and r.held is distinct from 'waiting_for_operator'
			and t.fingerprint = $2 and t.refused_at is null and t.expires_at > now()
			and t.id = (select max(id) from rotator.refresh_tokens where run_id = r.id)`)
)

// TokenError: a value that is to be a secret was entered as a refresh token.
type TokenError struct{ First Entered }

// Error implements error.
func (e *TokenError) Error() string {
	return fmt.Sprintf("this value was entered as a refresh token %s, so it is no shared secret; nothing was stored", e.First)
}

// notARefreshToken fails with *TokenError for a value that is known as one.
func notARefreshToken(ctx context.Context, q querier, appID int64, fingerprint string) error {
	var first Entered
	err := q.QueryRow(ctx, enteredAsToken, appID, fingerprint).Scan(&first.Run, &first.At)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("compare with refresh tokens: %w", err)
	}
	return &TokenError{first}
}

// notASecret fails with ErrConflict for a value that is a version of the secret of
// the run's app.
func notASecret(ctx context.Context, q querier, runID int64, fingerprint string) error {
	var version int
	var state SecretState
	err := q.QueryRow(ctx, secretOfRun, runID, fingerprint).Scan(&version, &state)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil
	case err != nil:
		return fmt.Errorf("compare with secrets: %w", err)
	}
	return fmt.Errorf("this value is version %d of the app's shared secret (%s), not a refresh token; nothing was stored: %w", version, state, ErrConflict)
}
