package store_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// A worker would send it to the platform as the refresh token.
func TestTheAppsSecretIsNoRefreshToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	for value, version := range map[string]string{oldSecret: "version 1 ", newSecret: "version 2 "} {
		_, early := r.RefreshTokenLife(t.Context(), r.run.ID, secret.New(value), time.Hour)
		_, err := r.tryArm(t.Context(), value)
		for _, err := range []error{early, err} {
			if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), version) || strings.Contains(err.Error(), value) {
				t.Errorf("%v, want %q and not the value", err, version)
			}
		}
	}
	if stored := rows(t, r.DB, "refresh_tokens")["refresh_tokens"]; stored != "" {
		t.Errorf("stored: %s", stored)
	}
	other := newRigIn(t, r.DB, "other", 1, oneWave)
	exec(t, r.DB, "update rotator.secrets set fingerprint = 'another-' || version where app_id = $1", other.app.ID)
	other.arm(t, oldSecret)
}

// Entered as a secret by mistake and given up, it is still a refresh token.
func TestADiscardedVersionMayBeARefreshToken(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	exec(t, r.DB, `insert into rotator.secrets (app_id, version, state, fingerprint, revoked_at) values ($1, 3, 'revoked', $2, now())`,
		r.app.ID, r.Keys.Fingerprint(secret.New("refresh-1")))
	r.arm(t, "refresh-1")
}

func TestARefreshTokenIsNoSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.arm(t, "refresh-1")
	run := r.run.ID
	exec(t, r.DB, `update rotator.secrets set state = 'revoked', revoked_at = now() where state = 'pending'`)
	add := func(app store.App) error {
		_, err := r.AddSecret(t.Context(), storetest.Actor, app.ID, secret.New("refresh-1"))
		return err
	}
	var token *store.TokenError
	if err := add(r.app); !errors.As(err, &token) || token.First.Run != run || strings.Contains(err.Error(), "refresh-1") {
		t.Errorf("%v, want that run %d was given it", err, run)
	}
	other := newRigIn(t, r.DB, "other", 1, oneWave)
	exec(t, r.DB, `update rotator.secrets set state = 'revoked', revoked_at = now() where state = 'pending'`)
	if err := add(other.app); err != nil {
		t.Errorf("in another app: %v", err)
	}
	// Where it may be the secret after all, it can be entered as what it is.
	for app, harm := range map[string]string{
		"refused":   "update rotator.refresh_tokens set refused_at = now() where run_id = $1",
		"over":      "update rotator.refresh_tokens set expires_at = now() where run_id = $1",
		"held":      "update rotator.runs set held = 'waiting_for_operator', held_at = now() where id = $1",
		"cancelled": "update rotator.runs set cancelled_at = now() where id = $1",
		"replaced":  "insert into rotator.refresh_tokens (run_id, value, fingerprint, expires_at) select run_id, value, 'another', expires_at from rotator.refresh_tokens where run_id = $1",
	} {
		r := newRigIn(t, r.DB, app, 1, oneWave)
		r.arm(t, "refresh-1")
		exec(t, r.DB, `update rotator.secrets set state = 'revoked', revoked_at = now() where state = 'pending'`)
		if err := add(r.app); !errors.As(err, &token) {
			t.Errorf("%s, before it is: %v", app, err)
		}
		exec(t, r.DB, harm, r.run.ID)
		if err := add(r.app); err != nil {
			t.Errorf("%s: %v", app, err)
		}
	}
}
