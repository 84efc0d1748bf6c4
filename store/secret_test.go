package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// states lists the states of an app's secrets, oldest first.
func states(t *testing.T, db *storetest.DB, app store.App) []store.SecretState {
	t.Helper()
	all, err := db.Secrets(t.Context(), app.ID)
	if err != nil {
		t.Fatal(err)
	}
	var out []store.SecretState
	for i, s := range all {
		if s.Version != i+1 {
			t.Errorf("secret %d has version %d", i+1, s.Version)
		}
		out = append(out, s.State)
	}
	return out
}

func TestSecretsBeginActiveAndThenPending(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	app := db.App(t, "shopbot", oldSecret, newSecret)
	if diff := cmp.Diff([]store.SecretState{store.SecretActive, store.SecretPending}, states(t, db, app)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	tests := map[string]struct {
		value string
		want  error
	}{
		"a third while one is pending": {"hush-a-third", store.ErrPendingSecret},
		"the pending one again":        {newSecret, store.ErrSameSecret},
		"the active one again":         {oldSecret, store.ErrSameSecret},
	}
	for name, tt := range tests {
		_, err := db.AddSecret(t.Context(), storetest.Actor, app.ID, secret.New(tt.value))
		if !errors.Is(err, tt.want) {
			t.Errorf("%s: error %v, want %v", name, err, tt.want)
		}
		if err != nil && strings.Contains(err.Error(), tt.value) {
			t.Errorf("%s: the error shows the secret", name)
		}
	}
	if n := len(states(t, db, app)); n != 2 {
		t.Errorf("%d secrets are stored, want 2", n)
	}
}

func TestSecretsOfTwoAppsMayBeTheSame(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	one, two := db.App(t, "one", oldSecret, newSecret), db.App(t, "two", oldSecret, newSecret)
	for _, app := range []store.App{one, two} {
		all, err := db.Secrets(t.Context(), app.ID)
		if err != nil {
			t.Fatal(err)
		}
		v, err := db.SecretValue(t.Context(), all[1].ID)
		if err != nil || v.Reveal() != newSecret {
			t.Errorf("app %s: value wrong, error %v", app.Name, err)
		}
	}
}

func TestASecretIsAddedOnceHoweverManyAddIt(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	app, err := db.SetApp(t.Context(), storetest.Actor, store.App{Name: "shopbot", ClientID: "id"})
	if err != nil {
		t.Fatal(err)
	}
	var all sync.WaitGroup
	errs := make(chan error, 6)
	for range cap(errs) {
		all.Go(func() {
			_, err := db.AddSecret(context.Background(), storetest.Actor, app.ID, secret.New(oldSecret))
			errs <- err
		})
	}
	all.Wait()
	close(errs)
	added := 0
	for err := range errs {
		switch {
		case err == nil:
			added++
		case !errors.Is(err, store.ErrSameSecret):
			t.Error(err)
		}
	}
	if added != 1 {
		t.Errorf("added %d times", added)
	}
}

func TestTheRunMovesItsSecrets(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	steps := []struct {
		phase rotation.Phase
		want  []store.SecretState
	}{
		{rotation.PhaseWebhooksDual, []store.SecretState{store.SecretActive, store.SecretPending}},
		{rotation.PhaseOAuthSwitched, []store.SecretState{store.SecretRetiring, store.SecretActive}},
		{rotation.PhaseProven, []store.SecretState{store.SecretRetiring, store.SecretActive}},
		{rotation.PhaseRevoked, []store.SecretState{store.SecretRevoked, store.SecretActive}},
		{rotation.PhaseClosed, []store.SecretState{store.SecretRevoked, store.SecretActive}},
	}
	for _, s := range steps {
		r.enter(t, s.phase)
		if diff := cmp.Diff(s.want, states(t, r.DB, r.app)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", s.phase, diff)
		}
	}
	if _, err := r.SecretValue(t.Context(), r.run.OldSecretID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the old secret is not shredded: %v", err)
	}
	if v, err := r.SecretValue(t.Context(), r.run.NewSecretID); err != nil || v.Reveal() != newSecret {
		t.Errorf("the new secret is lost: %v", err)
	}
}

// An operator who cancels after the switch starts again from where things are.
func TestARunAfterOneThatWasCancelledAfterTheSwitch(t *testing.T) {
	t.Parallel()
	for _, proven := range []int{0, 1} { // the switch is taken back, or is not
		r, _, claims := claimAll(t, 2)
		r.prove(t, claims[:proven]...)
		r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) })
		r.run = r.Run(t, r.app, r.run.Settings)
		r.enter(t, rotation.PhaseRevoked)
		if diff := cmp.Diff([]store.SecretState{store.SecretRevoked, store.SecretActive}, states(t, r.DB, r.app)); diff != "" {
			t.Errorf("%d proven: states (-want +got):\n%s", proven, diff)
		}
	}
}

func TestTheFirstSecretAfterARevokedOneIsNotTakenForTheFirst(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	r.enter(t, rotation.PhaseClosed)
	added, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("hush-the-next"))
	if err != nil || added.State != store.SecretPending || added.Version != 3 {
		t.Errorf("added %+v, %v", added, err)
	}
	if _, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New(oldSecret)); !errors.Is(err, store.ErrSameSecret) {
		t.Errorf("a revoked secret may come back: %v", err)
	}
}
