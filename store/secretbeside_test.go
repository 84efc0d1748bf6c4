package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// beside calls second when first has been done but not committed, waits until it
// waits for that or is over, and returns its error.
func beside(t *testing.T, db *storetest.DB, first func(*store.Tx) error, second func() error) error {
	t.Helper()
	ended := make(chan error, 1)
	err := db.InTx(t.Context(), func(tx *store.Tx) error {
		if err := first(tx); err != nil {
			return err
		}
		go func() { ended <- second() }()
		for len(ended) == 0 && ask[int](t, db, waiting)[0] == 0 {
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return <-ended
}

// Else the open run's new secret would be shredded.
func TestASecretIsNotGivenUpWhileItsRunStarts(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	app := db.App(t, "shopbot", oldSecret, newSecret)
	secrets, err := db.Secrets(t.Context(), app.ID)
	if err != nil {
		t.Fatal(err)
	}
	err = beside(t, db, func(tx *store.Tx) error {
		_, err := tx.StartRun(t.Context(), storetest.Actor, store.NewRun{
			App: app, Kind: rotation.KindRotation, Mode: rotation.ModePlanned,
			OldSecretID: secrets[0].ID, NewSecretID: secrets[1].ID, Settings: oneWave,
		})
		return err
	}, func() error { return db.DiscardSecret(t.Context(), storetest.Actor, app, 2) })
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("discarded beside the start: %v", err)
	}
	if diff := cmp.Diff([]store.SecretState{store.SecretActive, store.SecretPending}, states(t, db, app)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}

// Else one value would be both.
func TestARefreshTokenThatIsBeingStoredIsNoSecret(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	exec(t, r.DB, `update rotator.secrets set state = 'revoked', revoked_at = now() where state = 'pending'`)
	err := beside(t, r.DB, func(tx *store.Tx) error {
		_, err := tx.Arm(t.Context(), storetest.Actor, r.run.ID, secret.New("hush-a-token"), time.Hour)
		return err
	}, func() error {
		_, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("hush-a-token"))
		return err
	})
	var token *store.TokenError
	if !errors.As(err, &token) || token.First.Run != r.run.ID {
		t.Errorf("stored as a secret, too: %v", err)
	}
}

// Else a cancel would make both versions pending.
func TestASecretIsNotAddedWhileARunSwitches(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.enter(t, rotation.PhaseWebhooksDual)
	err := beside(t, r.DB, func(tx *store.Tx) error {
		return tx.EnterPhase(t.Context(), storetest.Actor, r.run, rotation.PhaseOAuthSwitched, nil)
	}, func() error {
		_, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("hush-a-third"))
		return err
	})
	var switched *store.SwitchedError
	if !errors.As(err, &switched) || switched.Version != 2 {
		t.Errorf("added beside the switch: %v", err)
	}
	if diff := cmp.Diff([]store.SecretState{store.SecretRetiring, store.SecretActive}, states(t, r.DB, r.app)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
}
