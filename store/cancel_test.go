package store_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func (r *rig) cancel(t *testing.T) {
	t.Helper()
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.reread(t)) })
}

// The platform may have killed the old token with the exchange.
func TestACancelAdoptsTokensThatWereNotProven(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 6)
	r.write(t, store.Written, exchanged(c[0]), exchanged(c[1]), exchanged(c[2]), exchanged(c[3]), exchanged(c[4]))
	park := func(c store.Claim, class rotation.Class) store.Outcome {
		return store.Outcome{Claim: c, State: rotation.ItemParked, Class: class, Detail: "x"}
	}
	unproven := store.Outcome{Claim: c[4], State: rotation.ItemExchanged, Class: rotation.ClassPlatform, Detail: "x", Delay: time.Hour}
	r.write(t, store.Written, park(c[1], rotation.ClassPlatform), park(c[2], rotation.ClassWrongShop), unproven)
	r.replace(t, c[3].Domain, "imported", r.run.OldSecretID)
	exec(t, r.DB, "update rotator.items set new_token = 'not a sealed value' where position = $1", c[4].Position)
	r.cancel(t)
	for i, want := range []string{fresh(c[0]).Reveal(), fresh(c[1]).Reveal(), "token-2", "imported", "token-4", "token-5"} {
		if r.token(t, c[i].Domain) != want {
			t.Errorf("shop %d has another token", i)
		}
	}
	for i, want := range []int{2, 2, 1, 1, 1, 1} {
		if got := r.shop(t, c[i].Domain).SecretVersion; got != want {
			t.Errorf("the token of shop %d is said to be of secret %d, want %d", i, got, want)
		}
	}
	// An attempt that is under way finds its proof fenced, and what it stores
	// the next run adopts.
	r.write(t, store.Fenced, r.proven(c[0]))
	r.write(t, store.Written, exchanged(c[5]))
	cancelled := r.run
	r.run = r.Run(t, r.app, r.run.Settings)
	if r.token(t, c[5].Domain) != fresh(c[5]).Reveal() || r.shop(t, c[5].Domain).SecretVersion != 2 {
		t.Error("the next run did not adopt what came after the cancel")
	}
	if r.token(t, c[0].Domain) != fresh(c[0]).Reveal() {
		t.Error("an adopted token was lost")
	}
	if left := ask[int64](t, r.DB, "select position from rotator.items where run_id = $1 and new_token is not null order by position", cancelled.ID); !cmp.Equal(left, []int64{3, 5}) {
		t.Errorf("positions %v keep an unproven token", left)
	}
}

func TestACancelTakesTheSwitchOfSecretsBack(t *testing.T) {
	t.Parallel()
	const pending, active, retiring, revoked = store.SecretPending, store.SecretActive, store.SecretRetiring, store.SecretRevoked
	tests := map[string]struct {
		arrange func(*testing.T, *rig, []store.Claim)
		want    []store.SecretState
	}{
		"nothing exchanged":  {func(*testing.T, *rig, []store.Claim) {}, []store.SecretState{active, pending}},
		"one proven":         {func(t *testing.T, r *rig, c []store.Claim) { r.prove(t, c[0]) }, []store.SecretState{retiring, active}},
		"one not yet proven": {func(t *testing.T, r *rig, c []store.Claim) { r.write(t, store.Written, exchanged(c[0])) }, []store.SecretState{retiring, active}},
		"one installed under the new secret": {func(t *testing.T, r *rig, _ []store.Claim) {
			r.replace(t, "late.myharavan.com", "token", r.run.NewSecretID)
		}, []store.SecretState{retiring, active}},
		"after the revoke there is nothing to go back to": {func(t *testing.T, r *rig, _ []store.Claim) {
			r.enter(t, rotation.PhaseRevoked)
		}, []store.SecretState{revoked, active}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, c := claimAll(t, 2)
			tt.arrange(t, r, c)
			r.cancel(t)
			if diff := cmp.Diff(tt.want, states(t, r.DB, r.app)); diff != "" {
				t.Errorf("states (-want +got):\n%s", diff)
			}
		})
	}
}

func TestOnlyASecretThatWasNeverUsedIsDiscarded(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	discard := func(version int) error { return r.DiscardSecret(t.Context(), storetest.Actor, r.app, version) }
	if err := discard(2); !errors.Is(err, store.ErrConflict) {
		t.Errorf("discarded while a run is to put it to use: %v", err)
	}
	r.enter(t, rotation.PhaseOAuthSwitched)
	r.cancel(t)
	for _, version := range []int{1, 3} {
		if err := discard(version); !errors.Is(err, store.ErrConflict) {
			t.Errorf("version %d was discarded: %v", version, err)
		}
	}
	if err := discard(2); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.SecretState{store.SecretActive, store.SecretDiscarded}, states(t, r.DB, r.app)); diff != "" {
		t.Errorf("states (-want +got):\n%s", diff)
	}
	if _, err := r.SecretValue(t.Context(), r.run.NewSecretID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("its value is not shredded: %v", err)
	}
	if err := discard(2); !errors.Is(err, store.ErrConflict) {
		t.Errorf("discarded twice: %v", err)
	}
	// It was the right one after all, or wrong again: either way it may be entered.
	if added, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New(newSecret)); err != nil || added.Version != 3 {
		t.Errorf("the discarded value: %+v, %v", added, err)
	}
	if err := discard(3); err != nil {
		t.Fatal(err)
	}
	added, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("hush-the-right-one"))
	if err != nil || added.State != store.SecretPending || added.Version != 4 {
		t.Errorf("the right one: %+v, %v", added, err)
	}
	if told := ask[int](t, r.DB, "select count(*)::int from rotator.journal where event = 'secret.discarded'"); told[0] != 2 {
		t.Errorf("the journal tells of it %d times", told[0])
	}
}

// Both would be pending after a cancel.
func TestNoSecretIsAddedBesideOneThatMayBePendingAgain(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 2)
	add := func() error {
		_, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("hush-another"))
		return err
	}
	var switched *store.SwitchedError
	if err := add(); !errors.As(err, &switched) || switched.Version != 2 {
		t.Errorf("added: %v", err)
	}
	// Another process that is older may have stored one.
	exec(t, r.DB, `insert into rotator.secrets (app_id, version, state, value, fingerprint) select app_id, 3, 'pending', value, 'f' from rotator.secrets where version = 1`)
	var pending *store.PendingError
	err := r.InTx(t.Context(), func(tx *store.Tx) error { return tx.Cancel(t.Context(), storetest.Actor, r.reread(t)) })
	if !errors.As(err, &pending) || pending.Version != 3 {
		t.Errorf("cancelled: %v", err)
	}
	if err := r.DiscardSecret(t.Context(), storetest.Actor, r.app, 3); err != nil {
		t.Fatal(err)
	}
	r.prove(t, c[0])
	if err := add(); err != nil {
		t.Errorf("not added although the new secret stays active: %v", err)
	}
	r.cancel(t)
}

// An attempt that was under way at the cancel ends after it.
func TestASecretThatMadeATokenIsNotDiscarded(t *testing.T) {
	t.Parallel()
	tests := map[string]func(*testing.T, *rig, store.Claim){
		"not yet proven": func(t *testing.T, r *rig, c store.Claim) { r.write(t, store.Written, exchanged(c)) },
		"proven":         func(t *testing.T, r *rig, c store.Claim) { r.prove(t, c) },
	}
	for name, end := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, c := claimAll(t, 2)
			r.cancel(t)
			discard := func() error { return r.DiscardSecret(t.Context(), storetest.Actor, r.app, 2) }
			end(t, r, c[0])
			if err := discard(); !errors.Is(err, store.ErrConflict) {
				t.Fatalf("discarded although it made a token: %v", err)
			}
			r.run = r.Run(t, r.app, r.run.Settings)
			if r.token(t, c[0].Domain) != fresh(c[0]).Reveal() {
				t.Error("the next run has another token")
			}
		})
	}
}

// A call of the first run outlived it and its token was stored beside the second
// run, which comes to another: whichever is stored last may be the only one that
// works.
func TestACancelAdoptsTheLastOfTwoTokensOfAShop(t *testing.T) {
	t.Parallel()
	for to, url := range map[string]string{"nobody": "", "the app": "https://app.example.com/tokens"} {
		for _, last := range []string{"the first run's", "the second run's"} {
			t.Run(last+", delivered to "+to, func(t *testing.T) {
				t.Parallel()
				r, _, older := claimAll(t, 2)
				if url != "" {
					r.deliverTo(t, url)
				}
				_, newer := r.next(t, r.run.Settings)
				stored := []store.Outcome{newest(older[0]), exchanged(newer[0])}
				if last == "the first run's" {
					slices.Reverse(stored)
				}
				for _, o := range stored {
					r.write(t, store.Written, o)
				}
				r.cancel(t)
				if want := stored[1].New.Reveal(); r.token(t, older[0].Domain) != want {
					t.Errorf("the shop has %s, want %s", r.token(t, older[0].Domain), want)
				}
			})
		}
	}
}

// The token that was stored last was made for a token that the shop had before.
func TestACancelAdoptsTheTokenThatReplacesTheShops(t *testing.T) {
	t.Parallel()
	r, _, older := claimAll(t, 1)
	r.cancel(t)
	r.replace(t, older[0].Domain, "installed", r.run.OldSecretID)
	_, newer := r.nextOpen(t, r.run.Settings)
	r.write(t, store.Written, exchanged(newer[0]))
	r.write(t, store.Written, newest(older[0]))
	r.cancel(t)
	if want := fresh(newer[0]).Reveal(); r.token(t, older[0].Domain) != want {
		t.Errorf("the shop has %s, want %s", r.token(t, older[0].Domain), want)
	}
}

func TestACancelledRunKnowsOfTheOneAfterIt(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	first := r.run
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.reread(t)) })
	if s := r.snapshot(t, store.Counted); s.LaterRun != 0 {
		t.Errorf("the newest run knows of run %d", s.LaterRun)
	}
	second := r.Run(t, r.app, oneWave)
	r.run = first
	if s := r.snapshot(t, store.Counted); s.LaterRun != second.ID {
		t.Errorf("run %d was begun since, want %d", s.LaterRun, second.ID)
	}
}
