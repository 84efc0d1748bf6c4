package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestSwappedSecretsPutRight(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	app := db.App(t, "shopbot", "hush-new", "hush-old")
	other := db.App(t, "other", "hush-new", "hush-old")
	db.Import(t, app, storetest.Fleet(3))
	db.Import(t, other, storetest.Fleet(1))
	secrets, err := db.Secrets(t.Context(), app.ID)
	if err != nil {
		t.Fatal(err)
	}
	labelled := func(want ...int) {
		t.Helper()
		for i, n := range want {
			if got, _, err := db.TokensOf(t.Context(), secrets[i]); err != nil || got != n {
				t.Errorf("%d tokens are of version %d, not %d; %v", got, i+1, n, err)
			}
		}
	}
	swapped := func(old int, states ...store.SecretState) {
		t.Helper()
		if err := db.SwapSecrets(t.Context(), storetest.Actor, app, old); err != nil {
			t.Fatal(err)
		}
		if diff := cmp.Diff(states, ask[store.SecretState](t, db, "select state from rotator.secrets where app_id = $1 order by version", app.ID)); diff != "" {
			t.Errorf("states (-want +got):\n%s", diff)
		}
	}
	swapped(2, store.SecretPending, store.SecretActive)
	labelled(0, 3)
	swapped(1, store.SecretActive, store.SecretPending)
	labelled(3, 0)

	// A run that had switched made two tokens with what stands as the new one.
	exec(t, db, "update rotator.secrets set state = 'retiring', retiring_at = now() where id = $1", secrets[0].ID)
	exec(t, db, "update rotator.secrets set state = 'active', activated_at = now() where id = $1", secrets[1].ID)
	exec(t, db, "update rotator.shops set secret_id = $2, rotated_at = now() where app_id = $1 and domain <> 'shop-0.myharavan.com'", app.ID, secrets[1].ID)
	swapped(2, store.SecretActive, store.SecretRetiring)
	labelled(0, 3)
	swapped(1, store.SecretRetiring, store.SecretActive)
	labelled(1, 2)
	swapped(2, store.SecretActive, store.SecretRetiring)
	for i, want := range []string{"hush-new", "hush-old"} {
		if found, err := db.SecretOf(t.Context(), app.ID, secret.New(want)); err != nil || found.Version != i+1 {
			t.Errorf("%s: %+v, %v", want, found, err)
		}
	}
	if v, err := db.SecretOf(t.Context(), other.ID, secret.New("hush-new")); err != nil || v.Version != 1 || v.State != store.SecretActive {
		t.Errorf("another app's: %+v, %v", v, err)
	}
	if n, _, err := db.TokensOf(t.Context(), store.Secret{ID: ask[int64](t, db, "select id from rotator.secrets where app_id = $1 and version = 1", other.ID)[0], AppID: other.ID}); err != nil || n != 1 {
		t.Errorf("%d tokens of another app, %v", n, err)
	}
	if _, _, err := db.VerifyJournal(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestWhatIsNotSwapped(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		prepare []string
		want    string
	}{
		"an open run":                 {nil, "run 1 is open"},
		"one living version":          {[]string{"update rotator.runs set cancelled_at = now()", "update rotator.secrets set state = 'revoked', revoked_at = now() where version = 2"}, "1 versions are pending, active or retiring, not two"},
		"proven by a rotation":        {[]string{"update rotator.runs set phase = 'closed', closed_at = now(), new_secret_id = old_secret_id"}, "run 1 has proven that version 1 is what it is said to be"},
		"proven by a token migration": {[]string{"update rotator.runs set phase = 'closed', closed_at = now(), kind = 'token_migration'"}, "run 1 has proven that version 1 is what it is said to be"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			db := storetest.New(t)
			app := db.App(t, "shopbot", "hush-new", "hush-old")
			db.Run(t, app, store.RunSettings{})
			for _, statement := range tt.prepare {
				exec(t, db, statement)
			}
			states := func() []string { return ask[string](t, db, "select state from rotator.secrets order by version") }
			before := states()
			var why *store.UnswappableError
			if err := db.SwapSecrets(t.Context(), storetest.Actor, app, 2); !errors.As(err, &why) || why.Why != tt.want {
				t.Errorf("%v", err)
			}
			if diff := cmp.Diff(before, states()); diff != "" {
				t.Errorf("secrets (-before +after):\n%s", diff)
			}
		})
	}
}

// What was chosen before two secrets changed places is no pair to go between.
func TestARunBetweenSecretsThatChangedPlacesIsNotOpened(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	app := db.App(t, "shopbot", "hush-new", "hush-old")
	secrets, err := db.Secrets(t.Context(), app.ID)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.SwapSecrets(t.Context(), storetest.Actor, app, 2); err != nil {
		t.Fatal(err)
	}
	for i, want := range []error{store.ErrConflict, nil} {
		err := db.InTx(t.Context(), func(tx *store.Tx) error {
			_, err := tx.StartRun(t.Context(), storetest.Actor, store.NewRun{
				App: app, Kind: rotation.KindRotation, Mode: rotation.ModePlanned,
				OldSecretID: secrets[i].ID, NewSecretID: secrets[1-i].ID,
			})
			return err
		})
		if !errors.Is(err, want) {
			t.Errorf("from version %d to %d: %v", i+1, 2-i, err)
		}
	}
}

// A token that was imported before the first secret was entered may be of any.
func TestTokensOfASecretAndThoseOfWhichNobodyKnows(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5)
	exec(t, r.DB, "update rotator.shops set secret_id = null where id in (select id from rotator.shops order by id limit 2)")
	secrets, err := r.Secrets(t.Context(), r.app.ID)
	if err != nil {
		t.Fatal(err)
	}
	if shops, unknown, err := r.TokensOf(t.Context(), secrets[0]); err != nil || shops != 3 || unknown != 2 {
		t.Errorf("%d shops, %d unknown, %v, want 3 and 2", shops, unknown, err)
	}
}
