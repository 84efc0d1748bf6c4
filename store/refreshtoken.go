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
	// Before is when the value was first entered, nil unless it was before: its
	// hour runs since then.
	Before *Entered `db:"-"`
}

// Entered is when a value was entered as a refresh token.
type Entered struct {
	Run int64
	At  time.Time
}

// String implements fmt.Stringer.
func (e Entered) String() string {
	return fmt.Sprintf("in run %d at %s", e.Run, e.At.UTC().Format(time.RFC3339))
}

var (
	insertRefreshToken = sql(`insert into rotator.refresh_tokens (run_id, value, fingerprint, expires_at)
		values ($1, $2, $3, now() + $4::interval) returning id, accepted_at, expires_at`)
	shredOldRefreshTokens = sql(`update rotator.refresh_tokens set value = null, shredded_at = now()
		where run_id = $1 and id <> $2 and value is not null`)
	readRefreshToken = sql(`select run_id, fingerprint, value from rotator.refresh_tokens where id = $1 and value is not null`)
	refuseToken      = sql(`update rotator.refresh_tokens t set refused_at = coalesce(refused_at, now()) where id = $1 and run_id = $2
		returning not exists (select from rotator.refresh_tokens newer where newer.run_id = t.run_id and newer.id > t.id)`)
	// The value's earlier entries in any run of the app: the first of them, when its
	// hour ends by the shortest, whether the platform refused it, and whether it is
	// the one that the run uses.
	earlierEntries = sql(`select count(*) > 0, coalesce((array_agg(run_id order by id))[1], 0), coalesce(min(accepted_at), now()),
			coalesce(min(expires_at), now()), now(), coalesce(bool_or(refused_at is not null), false),
			coalesce(bool_or(id = (select max(id) from rotator.refresh_tokens where run_id = $1 and id <> $3)), false)
		from rotator.refresh_tokens where fingerprint = $2 and id <> $3
			and run_id in (select r.id from rotator.runs r join rotator.runs this on this.app_id = r.app_id where this.id = $1)`)
	shortenRefreshToken = sql(`update rotator.refresh_tokens set expires_at = least(expires_at, $2) where id = $1 returning expires_at`)
)

// Arm stores the run's refresh token, which has life left as given; it takes
// the place of the one before, whose value is shredded. ErrConflict when the
// value is in use already, refused by the platform or over by an earlier entry in
// any run of the app, or a version of its secret. ErrConflict also when the run is
// not open: nobody would shred the value.
func (t *Tx) Arm(ctx context.Context, actor string, runID int64, value secret.String, life time.Duration) (RefreshToken, error) {
	rt := RefreshToken{Fingerprint: t.keys.Fingerprint(value)}
	if err := t.lockOpenRun(ctx, runID); err != nil {
		return rt, err
	}
	if err := notASecret(ctx, t.tx, runID, rt.Fingerprint); err != nil {
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

// enteredBefore handles a value that a run of the app was given already: one that
// a mistyped token took the place of comes back, and one whose age was told wrong
// ends sooner, but no value's hour begins anew.
func (t *Tx) enteredBefore(ctx context.Context, runID int64, rt *RefreshToken) error {
	before, err := entered(ctx, t.tx, runID, rt.Fingerprint, rt.ID)
	if err != nil || !before.any {
		return err
	}
	if err := before.refuse(rt.ExpiresAt); err != nil {
		return err
	}
	rt.Before = &before.first
	if err := t.tx.QueryRow(ctx, shortenRefreshToken, rt.ID, before.ends).Scan(&rt.ExpiresAt); err != nil {
		return fmt.Errorf("keep the refresh token's hour: %w", err)
	}
	return nil
}

// RefreshTokenLife is life, or what a value that was entered before has left if
// that is less. ErrConflict when Arm would not take the value: nobody needs to make
// a plan for it.
func (s *Store) RefreshTokenLife(ctx context.Context, runID int64, value secret.String, life time.Duration) (time.Duration, error) {
	fingerprint := s.keys.Fingerprint(value)
	if err := notASecret(ctx, s.pool, runID, fingerprint); err != nil {
		return 0, err
	}
	before, err := entered(ctx, s.pool, runID, fingerprint, 0)
	if err != nil || !before.any {
		return life, err
	}
	return min(life, before.ends.Sub(before.now)), before.refuse(before.now.Add(life))
}

// FindRefreshToken tells what is known of a value as a refresh token of the run:
// Before is nil, and there is no more than the fingerprint, unless it was entered.
func (s *Store) FindRefreshToken(ctx context.Context, runID int64, value secret.String) (RefreshToken, error) {
	rt := RefreshToken{Fingerprint: s.keys.Fingerprint(value)}
	before, err := entered(ctx, s.pool, runID, rt.Fingerprint, 0)
	if err == nil && before.any {
		rt.Before, rt.ExpiresAt = &before.first, before.ends
	}
	return rt, err
}

// earlier is what is known of a value that was entered before.
type earlier struct {
	any            bool
	first          Entered
	ends, now      time.Time
	refused, inUse bool
}

// entered looks for a value's entries but the one with that id.
func entered(ctx context.Context, q querier, runID int64, fingerprint string, but int64) (earlier, error) {
	var e earlier
	err := q.QueryRow(ctx, earlierEntries, runID, fingerprint, but).Scan(&e.any, &e.first.Run, &e.first.At, &e.ends, &e.now, &e.refused, &e.inUse)
	if err != nil {
		return e, fmt.Errorf("compare with earlier refresh tokens: %w", err)
	}
	return e, nil
}

// refuse says why the value may not be entered again, to end then; nil if it may.
func (e earlier) refuse(expires time.Time) error {
	switch {
	case e.refused:
		return fmt.Errorf("the platform refused this refresh token, which was first entered %s: make another: %w", e.first, ErrConflict)
	case !e.ends.After(e.now):
		return fmt.Errorf("this refresh token was first entered %s, and its hour is over: make another: %w", e.first, ErrConflict)
	case e.inUse && !expires.Before(e.ends.Add(-time.Second)):
		return fmt.Errorf("this refresh token was entered before, and its hour does not begin anew: %w", ErrConflict)
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

// RefuseRefreshToken records that the platform refused it, and holds the run, which
// held tells, unless a newer one has been entered since.
func (t *Tx) RefuseRefreshToken(ctx context.Context, runID, tokenID int64, why string) (held bool, err error) {
	// Whoever arms holds the run's row: what it stored is seen after that.
	if err := t.lockRun(ctx, runID); err != nil {
		return false, err
	}
	var newest bool
	if err := t.tx.QueryRow(ctx, refuseToken, tokenID, runID).Scan(&newest); err != nil {
		return false, one(err, "refresh token %d of run %d", tokenID, runID)
	}
	if !newest {
		return false, nil
	}
	return t.Hold(ctx, ActorEngine, runID, rotation.HeldWaiting, why)
}

// ActorEngine is the journal's actor for what a worker decides by itself.
const ActorEngine = "engine"

func (t *Tx) shredRefreshTokens(ctx context.Context, runID int64) error {
	if _, err := t.tx.Exec(ctx, shredOldRefreshTokens, runID, 0); err != nil {
		return fmt.Errorf("shred the refresh token: %w", err)
	}
	return nil
}
