package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// SecretState is where a version of the app's secret stands.
type SecretState string

const (
	// SecretPending: stored, not used yet.
	SecretPending SecretState = "pending"
	// SecretActive: the app uses it for OAuth.
	SecretActive SecretState = "active"
	// SecretRetiring: superseded, still alive at the platform.
	SecretRetiring SecretState = "retiring"
	// SecretRevoked: dead at the platform; its value is shredded here.
	SecretRevoked SecretState = "revoked"
	// SecretDiscarded: given up before it was used.
	SecretDiscarded SecretState = "discarded"
)

// Secret describes a version of an app's shared secret; never its value.
type Secret struct {
	ID          int64       `json:"-"`
	AppID       int64       `json:"-"`
	Version     int         `json:"version"`
	State       SecretState `json:"state"`
	Fingerprint string      `json:"fingerprint"`
	KeyID       int64       `json:"key_id,omitempty"`
	CreatedAt   time.Time   `json:"created_at"`
	ActivatedAt *time.Time  `json:"activated_at,omitempty"`
	RetiringAt  *time.Time  `json:"retiring_at,omitempty"`
	RevokedAt   *time.Time  `json:"revoked_at,omitempty"`
	DiscardedAt *time.Time  `json:"discarded_at,omitempty"`
}

// ErrSameSecret: the value is stored already, under some version.
var ErrSameSecret = errors.New("this value is stored already")

// ErrPendingSecret: another version is still pending.
var ErrPendingSecret = errors.New("another version is still pending: rotate to it first")

// SwitchedError: an open run that can still be cancelled has made this version
// the active one, and no token was made with it: a cancel makes it pending again,
// which one version of an app is at most.
type SwitchedError struct{ Version int }

// Error implements error.
func (e *SwitchedError) Error() string {
	return fmt.Sprintf("an open run has switched to version %d, which has made no token yet", e.Version)
}

// PendingError: this version is pending already.
type PendingError struct{ Version int }

// Error implements error.
func (e *PendingError) Error() string { return fmt.Sprintf("version %d is pending", e.Version) }

// Of what is stored as revoked, only a version that was discarded was never
// active.
const (
	discarded     = `(state = 'revoked' and activated_at is null)`
	secretColumns = `id, app_id, version, case when ` + discarded + ` then 'discarded' else state end, fingerprint, coalesce(key_id, 0), created_at,
		activated_at, retiring_at, case when not ` + discarded + ` then revoked_at end, case when ` + discarded + ` then revoked_at end`
)

var (
	keepOpenRun    = sql(`select 1 from rotator.runs where app_id = $1 and closed_at is null and cancelled_at is null for share`)
	lockApp        = sql(`select 1 from rotator.apps where id = $1 for no key update`)
	nextSecret     = sql(`select coalesce(max(version), 0) + 1 from rotator.secrets where app_id = $1`)
	anySecretLives = sql(`select exists (select from rotator.secrets where app_id = $1 and state in ('active', 'retiring'))`)
	insertSecret   = sql(`insert into rotator.secrets (app_id, version, state, value, fingerprint, activated_at)
		values ($1, $2, $3, $4, $5, case when $3 = 'active' then now() end) returning ` + secretColumns)
	readSecrets = sql(`select ` + secretColumns + ` from rotator.secrets where app_id = $1 order by version`)
	// A value that was discarded may be stored again, as another version.
	findSecret      = sql(`select ` + secretColumns + ` from rotator.secrets where app_id = $1 and fingerprint = $2 order by ` + discarded + `, version desc limit 1`)
	countTokensOf   = sql(`select count(*) filter (where secret_id = $2), count(*) filter (where secret_id is null) from rotator.shops where app_id = $1 and access_token is not null`)
	readSecretValue = sql(`select app_id, version, value from rotator.secrets where id = $1 and value is not null`)
	// A run that was cancelled after the switch leaves it done: the next run
	// between the same versions finds nothing to change.
	activateSecret = sql(`update rotator.secrets set state = 'active', activated_at = coalesce(activated_at, now()) where id = $1 and state in ('pending', 'active')`)
	retireSecret   = sql(`update rotator.secrets set state = 'retiring', retiring_at = coalesce(retiring_at, now()) where id = $1 and state in ('active', 'retiring')`)
	revokeSecret   = sql(`update rotator.secrets set state = 'revoked', revoked_at = now() where id = $1 and state in ('active', 'retiring')`)
	// Only the new secret was revoked, and this one was called revoked.
	unrevokeSecret = sql(`update rotator.secrets set state = 'retiring', revoked_at = null where id = $1 and state = 'revoked' and value is not null`)
	// Unswitching goes in this order: an app has one active secret at most. After
	// the revoke there is nothing to go back to.
	unusedSecret = sql(`select not exists (select from rotator.shops where app_id = $1 and secret_id = $2)`)
	unswitchNew  = sql(`update rotator.secrets set state = 'pending', activated_at = null where id = $1 and state = 'active'
		and exists (select from rotator.secrets o where o.id = $2 and o.state = 'retiring')`)
	unswitchOld = sql(`update rotator.secrets set state = 'active', retiring_at = null where id = $1 and state = 'retiring'`)
	// What a cancel would unswitch, were it said now.
	switchedSecret = sql(`select coalesce(max(n.version), 0) from rotator.runs r
		join rotator.secrets n on n.id = r.new_secret_id and n.state = 'active' join rotator.secrets o on o.id = r.old_secret_id and o.state = 'retiring'
		where r.app_id = $1 and r.closed_at is null and r.cancelled_at is null
			and not exists (select from rotator.shops s where s.app_id = $1 and s.secret_id = n.id)`)
	pendingBeside = sql(`select coalesce(max(p.version), 0) from rotator.secrets p where p.app_id = $1 and p.state = 'pending'
		and exists (select from rotator.secrets n where n.id = $2 and n.state = 'active') and exists (select from rotator.secrets o where o.id = $3 and o.state = 'retiring')`)
	discardSecret = sql(`update rotator.secrets set state = 'revoked', revoked_at = now(), value = null
		where app_id = $1 and version = $2 and state = 'pending'
			and not exists (select from rotator.runs r where secrets.id in (r.new_secret_id, r.old_secret_id) and r.closed_at is null and r.cancelled_at is null)
			and not exists (select from rotator.shops s where s.app_id = secrets.app_id and s.secret_id = secrets.id and s.rotated_at is not null)`)
	shredSecret = sql(`update rotator.secrets set value = null where id = $1 and state = 'revoked'`)
)

// AddSecret seals a new version: the first of an app is active, every later one
// pending until a rotation puts it to use. *SwitchedError while an open run's own
// new secret may be pending again, *TokenError for what is known as a refresh token.
func (s *Store) AddSecret(ctx context.Context, actor string, appID int64, value secret.String) (Secret, error) {
	var added Secret
	err := s.InTx(ctx, func(tx *Tx) error {
		if _, err := tx.tx.Exec(ctx, lockApp, appID); err != nil {
			return fmt.Errorf("lock the app: %w", err)
		}
		var version int
		var lives bool
		if err := tx.tx.QueryRow(ctx, nextSecret, appID).Scan(&version); err != nil {
			return fmt.Errorf("number the secret: %w", err)
		}
		if err := tx.tx.QueryRow(ctx, anySecretLives, appID).Scan(&lives); err != nil {
			return fmt.Errorf("look for older secrets: %w", err)
		}
		// The same value may be on its way as the open run's refresh token.
		if _, err := tx.tx.Exec(ctx, keepOpenRun, appID); err != nil {
			return fmt.Errorf("lock the open run: %w", err)
		}
		if err := notARefreshToken(ctx, tx.tx, appID, tx.keys.Fingerprint(value)); err != nil {
			return err
		}
		state := SecretActive
		if lives {
			state = SecretPending
		}
		sealed, err := tx.keys.Seal(value, secretAt(appID, version))
		if err != nil {
			return fmt.Errorf("seal the secret: %w", err)
		}
		rows, err := tx.tx.Query(ctx, insertSecret, appID, version, state, sealed, tx.keys.Fingerprint(value))
		if err == nil {
			added, err = pgx.CollectExactlyOneRow(rows, scanSecret)
		}
		switch {
		case violates(err, "secrets_one_value"):
			return ErrSameSecret
		case violates(err, "secrets_one_pending"):
			return ErrPendingSecret
		case err != nil:
			return fmt.Errorf("store the secret: %w", err)
		}
		// A run that switches meanwhile locks no app, but the version that it takes
		// from pending: the insert has waited for that.
		var switched int
		if err := tx.tx.QueryRow(ctx, switchedSecret, appID).Scan(&switched); err != nil {
			return fmt.Errorf("look for a run's new secret: %w", err)
		}
		if switched > 0 {
			return &SwitchedError{switched}
		}
		return tx.Log(ctx, actor, "secret.added", 0, added)
	})
	return added, err
}

// Secrets lists the versions of an app's secret, oldest first.
func (s *Store) Secrets(ctx context.Context, appID int64) ([]Secret, error) {
	return collect(ctx, s.pool, "read secrets", scanSecret, readSecrets, appID)
}

// SecretOf is the version that has a value. ErrNotFound when none has.
func (s *Store) SecretOf(ctx context.Context, appID int64, value secret.String) (Secret, error) {
	rows, err := s.pool.Query(ctx, findSecret, appID, s.keys.Fingerprint(value))
	if err != nil {
		return Secret{}, fmt.Errorf("look for a secret: %w", err)
	}
	found, err := pgx.CollectExactlyOneRow(rows, scanSecret)
	return found, one(err, "a version of the secret with this value")
}

// TokensOf counts the shops whose stored token was made with a version, and those of
// whose token nobody said what made it.
func (s *Store) TokensOf(ctx context.Context, v Secret) (shops, unknown int, err error) {
	if err := s.pool.QueryRow(ctx, countTokensOf, v.AppID, v.ID).Scan(&shops, &unknown); err != nil {
		return 0, 0, fmt.Errorf("count the tokens of a secret: %w", err)
	}
	return shops, unknown, nil
}

// SecretValue unseals one version.
func (s *Store) SecretValue(ctx context.Context, id int64) (secret.String, error) {
	var appID int64
	var version int
	var sealed []byte
	if err := s.pool.QueryRow(ctx, readSecretValue, id).Scan(&appID, &version, &sealed); err != nil {
		return secret.String{}, one(err, "the value of secret %d", id)
	}
	v, err := s.keys.Open(sealed, secretAt(appID, version))
	if err != nil {
		return v, fmt.Errorf("unseal secret version %d: %w", version, err)
	}
	return v, nil
}

// switchSecrets makes the run's new secret the active one. A run that takes up
// what a cancelled one left finds it active already.
func (t *Tx) switchSecrets(ctx context.Context, r Run) error {
	if err := t.exactlyOne(ctx, "retire the old secret", retireSecret, r.OldSecretID); err != nil {
		return err
	}
	return t.exactlyOne(ctx, "activate the new secret", activateSecret, r.NewSecretID)
}

// unswitchSecrets takes the switch back for a cancelled run that stored no token
// of its new secret: whoever entered a wrong secret can then discard it.
// *PendingError when another version took the place meanwhile.
func (t *Tx) unswitchSecrets(ctx context.Context, r Run) error {
	var unused bool
	if err := t.tx.QueryRow(ctx, unusedSecret, r.AppID, r.NewSecretID).Scan(&unused); err != nil {
		return fmt.Errorf("look for tokens of the new secret: %w", err)
	}
	if !unused {
		return nil
	}
	var pending int
	if err := t.tx.QueryRow(ctx, pendingBeside, r.AppID, r.NewSecretID, r.OldSecretID).Scan(&pending); err != nil {
		return fmt.Errorf("look for a pending secret: %w", err)
	}
	if pending > 0 {
		return &PendingError{pending}
	}
	for _, back := range []struct {
		statement string
		ids       []any
	}{{unswitchNew, []any{r.NewSecretID, r.OldSecretID}}, {unswitchOld, []any{r.OldSecretID}}} {
		if _, err := t.tx.Exec(ctx, back.statement, back.ids...); err != nil {
			return fmt.Errorf("take the switch of secrets back: %w", err)
		}
	}
	return nil
}

// DiscardSecret gives up a version that was never used. ErrConflict when it is
// not pending, when an open run is to put it to use, or when a cancelled one made
// tokens with it: an attempt that was under way then ends after the cancel.
func (s *Store) DiscardSecret(ctx context.Context, actor string, app App, version int) error {
	return againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			// A run that is to put it to use may be on its way.
			if _, err := tx.tx.Exec(ctx, lockApp, app.ID); err != nil {
				return fmt.Errorf("lock the app: %w", err)
			}
			// The next run would make them current, of a secret that is given up.
			if err := tx.adoptLeft(ctx, app.ID); err != nil {
				return err
			}
			if err := tx.exactlyOne(ctx, fmt.Sprintf("discard secret version %d", version), discardSecret, app.ID, version); err != nil {
				return err
			}
			return tx.Log(ctx, actor, "secret.discarded", 0, map[string]any{"app": app.Name, "version": version})
		})
	})
}

// exactlyOne runs a fenced update and fails with ErrConflict unless it changed
// one row.
func (t *Tx) exactlyOne(ctx context.Context, what, statement string, args ...any) error {
	tag, err := t.tx.Exec(ctx, statement, args...)
	if err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	if tag.RowsAffected() != 1 {
		return fmt.Errorf("%s: %w", what, ErrConflict)
	}
	return nil
}

func scanSecret(row pgx.CollectableRow) (Secret, error) {
	var s Secret
	err := row.Scan(&s.ID, &s.AppID, &s.Version, &s.State, &s.Fingerprint, &s.KeyID, &s.CreatedAt, &s.ActivatedAt, &s.RetiringAt, &s.RevokedAt, &s.DiscardedAt)
	return s, err
}
