package store_test

import (
	"context"
	"errors"
	"fmt"
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
		l, err := r.LoseSecret(t.Context(), storetest.Actor, r.app, version, true)
		return l.Active, err
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
	var next store.Run
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		next, err = tx.StartRun(ctx, storetest.Actor, store.NewRun{
			App: r.app, Kind: rotation.KindRotation, Mode: rotation.ModePlanned, OldSecretID: r.run.OldSecretID, NewSecretID: third.ID, Settings: oneWave,
		})
		return err
	})
	if got := r.token(t, claims[0].Domain); got != was {
		t.Errorf("a token of the lost secret became current: %s", got)
	}
	left := ask[string](t, r.DB, "select state || ' ' || (new_token is null) from rotator.items where run_id = "+fmt.Sprint(r.run.ID)+" order by position limit 1")
	if diff := cmp.Diff([]string{"parked true"}, left); diff != "" {
		t.Errorf("the item of the late token (-want +got):\n%s", diff)
	}
	// What another build left so, or a token that does not open, must not keep the
	// next run from its close.
	exec(t, r.DB, "update rotator.items set state = 'exchanged', new_token = 'x', detail = null, next_attempt_at = now() where position = 1")
	if err := r.ShredTokens(t.Context(), next, func(int64, int64) {}); err != nil {
		t.Error(err)
	}
}

// The app's table has the tokens again that live, whichever it had meanwhile; no
// reading and no delivery brings the dead ones back.
func TestALostSecretsTokensLeaveTheAppsTable(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 3)
	r.read(t)
	r.begin(t, 3)
	claims := r.claimOpen(t)
	r.prove(t, claims...)
	// Somebody has put one back already.
	r.onApp(t, `update app."Shops" set access_token = 'token-1' where "shop domain" ilike '%shop-1.%'`)
	exec(t, r.admin, "update rotator.runs set cancelled_at = now()")
	exec(t, r.admin, "update rotator.secrets set state = case version when 1 then 'retiring' else 'active' end, retiring_at = now(), activated_at = now()")
	release := r.lockRow(t, 3)
	if l, err := r.LoseSecret(t.Context(), storetest.Actor, r.app, 2, true); err != nil || l != (store.Lost{Active: 1, TakenBack: 3, Behind: 1}) {
		t.Fatal(l, err)
	}
	release()
	r.read(t)
	for i := range 3 {
		want := fmt.Sprintf("token-%d", i)
		if got := r.column(t, i, "access_token"); got != want {
			t.Errorf("shop %d has %s in the table", i, got)
		}
		domain := fmt.Sprintf("shop-%d.myharavan.com", i)
		if s := r.shop(t, domain); s.SecretVersion != 1 || r.token(t, domain) != want {
			t.Errorf("%s: %+v", domain, s)
		}
	}
}
