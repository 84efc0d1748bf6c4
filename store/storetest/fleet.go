package storetest

import (
	"context"
	"fmt"
	"iter"
	"testing"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Actor is the journal's actor in tests.
const Actor = "test"

// App stores an app with an active and a pending secret and no grace.
func (db *DB) App(t testing.TB, name, oldSecret, newSecret string) store.App {
	t.Helper()
	ctx := context.Background()
	none := 0
	app, err := db.SetApp(ctx, Actor, store.App{
		Name: name, ClientID: "client-" + name,
		Settings: store.AppSettings{GraceSeconds: &none, CheckSample: -1},
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []string{oldSecret, newSecret} {
		if _, err := db.AddSecret(ctx, Actor, app.ID, secret.New(v)); err != nil {
			t.Fatal(err)
		}
	}
	return app
}

// Import stores shops with their tokens, minted by the app's first secret.
func (db *DB) Import(t testing.TB, app store.App, shops iter.Seq2[string, string]) {
	t.Helper()
	secrets, err := db.Secrets(context.Background(), app.ID)
	if err != nil {
		t.Fatal(err)
	}
	rows := func(yield func(shopfile.Row, error) bool) {
		line := 1
		for domain, token := range shops {
			line++
			if !yield(shopfile.Row{Line: line, Domain: domain, AccessToken: secret.New(token)}, nil) {
				return
			}
		}
	}
	unique := func(d store.Findings) error {
		if !d.None() {
			return fmt.Errorf("found: %+v", d)
		}
		return nil
	}
	if _, err := db.ImportShops(context.Background(), Actor, app, secrets[0].ID, rows, unique); err != nil {
		t.Fatal(err)
	}
}

// Fleet yields n made-up shops.
func Fleet(n int) iter.Seq2[string, string] {
	return func(yield func(string, string) bool) {
		for i := range n {
			if !yield(fmt.Sprintf("shop-%d.myharavan.com", i), fmt.Sprintf("token-%d", i)) {
				return
			}
		}
	}
}

// Run starts a rotation from the app's first secret to its second.
func (db *DB) Run(t testing.TB, app store.App, settings store.RunSettings) store.Run {
	t.Helper()
	ctx := context.Background()
	secrets, err := db.Secrets(ctx, app.ID)
	if err != nil {
		t.Fatal(err)
	}
	var r store.Run
	err = db.InTx(ctx, func(tx *store.Tx) error {
		r, err = tx.StartRun(ctx, Actor, store.NewRun{
			App: app, Kind: rotation.KindRotation, Mode: rotation.ModePlanned,
			OldSecretID: secrets[0].ID, NewSecretID: secrets[1].ID, Settings: settings,
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return r
}
