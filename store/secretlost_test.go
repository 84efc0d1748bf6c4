package store_test

import (
	"context"
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// The next run takes over what a cancelled one left, but no token that is dead.
func TestALostSecretGivesWayToTheOneBefore(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 2)
	lose := func(version int) (int, error) {
		active, _, err := r.LoseSecret(t.Context(), storetest.Actor, r.app, version)
		return active, err
	}
	exec(t, r.DB, "update rotator.secrets set state = case version when 1 then 'retiring' else 'active' end, retiring_at = now(), activated_at = now()")
	if _, err := lose(2); !errors.Is(err, store.ErrConflict) {
		t.Errorf("under an open run: %v", err)
	}
	exec(t, r.DB, "update rotator.runs set cancelled_at = now()")
	r.write(t, store.Written, store.Outcome{Claim: claims[0], State: rotation.ItemExchanged, New: secret.New("dead")})
	if _, err := lose(1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the version before: %v", err)
	}
	if active, err := lose(2); err != nil || active != 1 {
		t.Fatal(active, err)
	}
	want := []string{"1 active", "2 revoked"}
	if diff := cmp.Diff(want, ask[string](t, r.DB, "select version || ' ' || state from rotator.secrets order by version")); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	if _, err := lose(1); !errors.Is(err, store.ErrConflict) {
		t.Errorf("the only one that lives: %v", err)
	}
	was := r.token(t, claims[0].Domain)
	third, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("hush-the-third"))
	if err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.StartRun(ctx, storetest.Actor, store.NewRun{
			App: r.app, Kind: rotation.KindRotation, Mode: rotation.ModePlanned, OldSecretID: r.run.OldSecretID, NewSecretID: third.ID, Settings: oneWave,
		})
		return err
	})
	if got := r.token(t, claims[0].Domain); got != was {
		t.Errorf("a token of the lost secret became current: %s", got)
	}
}
