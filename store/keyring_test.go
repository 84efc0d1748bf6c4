package store_test

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestADatabaseIsBoundToItsKeyring(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	app := db.App(t, "shopbot", oldSecret, newSecret)
	foreign, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	other := store.New(db.Pool, foreign)
	before := ask[string](t, db, "select t::text from rotator.keyring t")
	for range 2 {
		err = other.CheckKeyring(t.Context())
		if err == nil || !strings.Contains(err.Error(), "ROTATOR_KEYRING") || !strings.Contains(err.Error(), "nothing was changed") {
			t.Fatalf("error %v, want one that names the keyring", err)
		}
	}
	if after := ask[string](t, db, "select t::text from rotator.keyring t"); len(after) != 1 || after[0] != before[0] {
		t.Error("the wrong keyring changed the canary")
	}
	if err := db.CheckKeyring(t.Context()); err != nil {
		t.Errorf("the right keyring is refused afterwards: %v", err)
	}
	secrets, err := db.Secrets(t.Context(), app.ID)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := other.SecretValue(t.Context(), secrets[0].ID); err == nil {
		t.Error("a foreign keyring opens a secret")
	}
}

func TestKeyringBound(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	exec(t, db, "delete from rotator.keyring")
	for _, want := range []bool{false, true} {
		if got, err := store.KeyringBound(t.Context(), db.Pool); err != nil || got != want {
			t.Errorf("bound %t (%v), want %t", got, err, want)
		}
		if err := db.CheckKeyring(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestAKeyringThatLacksASecretsKeyFailsTheGate(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	if !r.snapshot(t, store.Engine).KeyringOpens {
		t.Fatal("the right keyring does not open the secrets")
	}
	foreign, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	s, _, err := store.New(r.Pool, foreign).Snapshot(t.Context(), r.run.ID, store.Engine)
	if err != nil {
		t.Fatal(err)
	}
	if s.KeyringOpens {
		t.Error("a foreign keyring passes the gate")
	}
}
