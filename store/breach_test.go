package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// newBreach is a rig whose open run is a breach's.
func newBreach(t *testing.T, n int) *rig {
	t.Helper()
	r := newRig(t, n)
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) })
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		r.run, err = tx.StartRun(ctx, storetest.Actor, store.NewRun{
			App: r.app, Kind: rotation.KindRotation, Mode: rotation.ModeBreach,
			OldSecretID: r.run.OldSecretID, NewSecretID: r.run.NewSecretID, Settings: byPriority,
		})
		return err
	})
	return r
}

func (r *rig) secretStates(t *testing.T) []store.SecretState {
	t.Helper()
	return ask[store.SecretState](t, r.DB, "select state from rotator.secrets where app_id = $1 order by version", r.app.ID)
}

func TestContainingRevokesTheOldSecretAndActivatesTheNew(t *testing.T) {
	t.Parallel()
	r := newBreach(t, 3)
	r.walk(t)
	r.enter(t, rotation.PhaseContained)
	if diff := cmp.Diff([]store.SecretState{store.SecretRevoked, store.SecretActive}, r.secretStates(t)); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	// Nothing of the later steps revokes or switches once more.
	exec(t, r.DB, "update rotator.items set state = 'proven', proven_at = now() where run_id = $1", r.run.ID)
	r.enter(t, rotation.PhaseClosed)
	if diff := cmp.Diff([]store.SecretState{store.SecretRevoked, store.SecretActive}, r.secretStates(t)); diff != "" {
		t.Errorf("secrets at the end (-want +got):\n%s", diff)
	}
	if _, err := r.SecretValue(t.Context(), r.run.OldSecretID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the leaked secret's value after the close: %v", err)
	}
}

func TestAWrongNewSecretIsReplacedInPlace(t *testing.T) {
	t.Parallel()
	r := newBreach(t, 3)
	use := func() error {
		return r.try(t, func(ctx context.Context, tx *store.Tx) error { return tx.UseSecret(ctx, storetest.Actor, r.reread(t)) })
	}
	r.enter(t, rotation.PhaseContained)
	if err := use(); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("without another secret: %v", err)
	}
	if _, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("hush-the-right-one")); err != nil {
		t.Fatal(err)
	}
	wrong := r.run.NewSecretID
	exec(t, r.DB, "update rotator.shops set secret_id = $1 where domain = 'shop-1.myharavan.com'", wrong)
	if err := use(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("although it minted a token: %v", err)
	}
	exec(t, r.DB, "update rotator.shops set secret_id = $1 where domain = 'shop-1.myharavan.com'", r.run.OldSecretID)
	// A worker was killed with a minted token that only its group has.
	exec(t, r.DB, "insert into rotator.minted (run_id, batch, fence, positions, tokens) values ($1, 1, 1, '{1}', 'sealed')", r.run.ID)
	if minted, err := r.Minted(t.Context(), r.run.ID); err != nil || !minted {
		t.Errorf("a group is no token of the run's: %t, %v", minted, err)
	}
	if err := use(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("although a group has a token of it: %v", err)
	}
	exec(t, r.DB, "delete from rotator.minted where run_id = $1", r.run.ID)
	if minted, err := r.Minted(t.Context(), r.run.ID); err != nil || minted {
		t.Errorf("a run that made no token: %t, %v", minted, err)
	}
	if err := use(); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.SecretState{store.SecretRevoked, store.SecretRevoked, store.SecretActive}, r.secretStates(t)); diff != "" {
		t.Errorf("secrets (-want +got):\n%s", diff)
	}
	secrets, err := r.Secrets(t.Context(), r.app.ID)
	if err != nil || secrets[1].State != store.SecretDiscarded || secrets[1].RevokedAt != nil {
		t.Errorf("the wrong one was never revoked anywhere: %+v, %v", secrets[1], err)
	}
	if v, err := r.SecretValue(t.Context(), r.reread(t).NewSecretID); err != nil || v.Reveal() != "hush-the-right-one" {
		t.Errorf("the run's new secret is not the right one (%v)", err)
	}
	if _, err := r.SecretValue(t.Context(), wrong); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the wrong secret's value: %v", err)
	}
}

// Its worker was killed before it could prove the token.
func TestASecretThatMadeATokenIsNotReplaced(t *testing.T) {
	t.Parallel()
	r := newBreach(t, 3)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	c := r.claim(t, r.take(t, r.release(t, 1)[0]))
	r.write(t, store.Written, exchanged(c[0]))
	if _, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("hush-another")); err != nil {
		t.Fatal(err)
	}
	err := r.try(t, func(ctx context.Context, tx *store.Tx) error { return tx.UseSecret(ctx, storetest.Actor, r.reread(t)) })
	if !errors.Is(err, store.ErrConflict) {
		t.Errorf("replaced although a group holds its token: %v", err)
	}
}

func TestTiersCountShopsThatHaveATokenToLose(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10)
	r.rank(t, 10, func(i int) int { return i % 3 })
	exec(t, r.DB, "update rotator.shops set excluded_at = now(), excluded_reason = 'x' where domain = 'shop-2.myharavan.com'")
	exec(t, r.DB, "update rotator.shops set access_token = null, access_token_fingerprint = null where domain = 'shop-1.myharavan.com'")
	got, err := r.Tiers(t.Context(), r.app.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]rotation.Tier{{Priority: 2, Shops: 2}, {Priority: 1, Shops: 2}, {Priority: 0, Shops: 4}}, got); diff != "" {
		t.Errorf("tiers (-want +got):\n%s", diff)
	}
}

// What a cancelled run exchanged is of the secret that the breach goes to: it neither
// dies with the leaked one nor tells whether that is revoked.
func TestTokensOfTheNewSecretAreNotLostInABreach(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10)
	r.rank(t, 10, func(int) int { return 0 })
	exec(t, r.DB, "update rotator.secrets set state = 'retiring', retiring_at = now() where id = $1", r.run.OldSecretID)
	exec(t, r.DB, "update rotator.secrets set state = 'active', activated_at = now() where id = $1", r.run.NewSecretID)
	exec(t, r.DB, "update rotator.shops set secret_id = $1, rotated_at = now() where domain in ('shop-1.myharavan.com', 'shop-2.myharavan.com')", r.run.NewSecretID)
	got, err := r.Tiers(t.Context(), r.app.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]rotation.Tier{{Priority: 0, Shops: 8}}, got); diff != "" {
		t.Errorf("tiers (-want +got):\n%s", diff)
	}
	tokens, err := r.SampleBut(t.Context(), r.app.ID, r.run.NewSecretID, 100)
	if err != nil || len(tokens) != 8 {
		t.Errorf("%d tokens to look at, %v", len(tokens), err)
	}
	if snap, _, err := r.Snapshot(t.Context(), r.run.ID, store.Counted); err != nil || !snap.EarlierTokens {
		t.Errorf("earlier tokens are not seen (%v)", err)
	}
	exec(t, r.DB, "update rotator.shops set secret_id = null")
	if snap, _, err := r.Snapshot(t.Context(), r.run.ID, store.Counted); err != nil || snap.EarlierTokens {
		t.Errorf("earlier tokens are seen where there are none (%v)", err)
	}
}

// spared makes the tokens of some shops those of the secret that the run goes to, as a
// run leaves them that was cancelled.
func (r *rig) spared(t *testing.T, domains ...string) {
	t.Helper()
	exec(t, r.DB, "update rotator.shops set secret_id = $1, rotated_at = now() where domain = any($2)", r.run.NewSecretID, domains)
}

func TestShopsAreDownUntilTheyAreProven(t *testing.T) {
	t.Parallel()
	r := newBreach(t, 10)
	r.walk(t)
	r.enter(t, rotation.PhaseContained)
	r.enter(t, rotation.PhaseExchanging)
	for position, state := range []string{"proven", "proven", "proven", "proven", "skipped", "skipped", "parked", "waived"} {
		exec(t, r.DB, "update rotator.items set state = $2, detail = 'so', proven_at = case when $2 = 'proven' then now() end where run_id = $1 and position = $3 + 1", r.run.ID, state, position)
	}
	r.Import(t, r.app, func(yield func(string, string) bool) {
		_ = yield("late-1.myharavan.com", "late-1") && yield("late-2.myharavan.com", "late-2") && yield("late-3.myharavan.com", "late-3")
	})
	if s := r.snapshot(t, store.Counted); s.Down != 7 || s.Spared != 0 || s.LateInstalls != 3 {
		t.Errorf("%d shops down, %d spared, %d late, want 7, 0 and 3", s.Down, s.Spared, s.LateInstalls)
	}
}

func TestShopsAreDownWhoseTokenDiedInTheBreach(t *testing.T) {
	t.Parallel()
	r := newBreach(t, 10)
	down := func(down, spared int) {
		t.Helper()
		if s := r.snapshot(t, store.Counted); s.Down != down || s.Spared != spared {
			t.Errorf("%s: %d shops down, %d spared, want %d and %d", s.Phase, s.Down, s.Spared, down, spared)
		}
	}
	r.spared(t, "shop-0.myharavan.com", "shop-1.myharavan.com")
	down(0, 0) // nothing is revoked yet
	r.enter(t, rotation.PhaseContained)
	down(8, 2) // and nobody has walked
	r.walk(t)
	down(8, 2)
	r.enter(t, rotation.PhaseExchanging)
	for states, where := range map[string]string{
		"state = 'proven', proven_at = now()":                                                "position between 3 and 6",
		"state = 'skipped', detail = 'so'":                                                   "position = 7",
		"state = 'parked', class = 'network', detail = 'so'":                                 "position in (1, 8)",
		"state = 'retrying', class = 'unauthorized', detail = 'so', next_attempt_at = now()": "position = 2",
	} {
		exec(t, r.DB, "update rotator.items set "+states+" where run_id = $1 and "+where, r.run.ID)
	}
	down(4, 1) // the token of the second is of the new secret, but dead
	r.Import(t, r.app, func(yield func(string, string) bool) {
		_ = yield("late-1.myharavan.com", "late-1") && yield("late-2.myharavan.com", "late-2") && yield("late-3.myharavan.com", "late-3")
	})
	r.spared(t, "late-1.myharavan.com")
	exec(t, r.DB, "update rotator.shops set excluded_at = now(), excluded_reason = 'x' where domain = 'late-2.myharavan.com'")
	down(5, 2)
	// The new secret is lost: what it made is dead, proven or not.
	r.spared(t, "shop-2.myharavan.com", "shop-3.myharavan.com")
	if _, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New("hush-the-third")); err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.ReplaceLostSecret(ctx, storetest.Actor, r.run)
	})
	down(9, 0)
}

// A plan for the run that is under way counts what it has still to bring back.
func TestTiersOfAContainedRunAreOfTheShopsThatAreDown(t *testing.T) {
	t.Parallel()
	r := newBreach(t, 10)
	r.rank(t, 10, func(int) int { return 0 })
	r.enter(t, rotation.PhaseContained)
	r.spared(t, "shop-0.myharavan.com", "shop-1.myharavan.com")
	got, err := r.Tiers(t.Context(), r.app.ID)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]rotation.Tier{{Priority: 0, Shops: 8}}, got); diff != "" {
		t.Errorf("tiers (-want +got):\n%s", diff)
	}
}

// Who was never down does not come back.
func TestReturnsLeaveOutShopsThatKeptAToken(t *testing.T) {
	t.Parallel()
	r := newBreach(t, 4)
	r.walk(t)
	r.spared(t, "shop-0.myharavan.com", "shop-1.myharavan.com")
	exec(t, r.DB, "update rotator.items set state = 'proven', proven_at = now(), exchanged_at = case when position = 3 then now() end where run_id = $1 and position in (1, 3)", r.run.ID)
	r.spared(t, "shop-2.myharavan.com")
	returns := func() store.Returns {
		t.Helper()
		all, err := r.Returns(t.Context(), r.run.ID)
		if err != nil || len(all) == 0 {
			t.Fatal(all, err)
		}
		return all[0]
	}
	if got := returns(); got.Shops != 1 || got.Waiting != 1 || got.Kept != 2 || got.First != got.Last {
		t.Errorf("one came back, one is down, two kept a token: %+v", got)
	}
	// The rotation after it gives every shop a token of another secret.
	exec(t, r.DB, "update rotator.items set state = 'proven', proven_at = now(), exchanged_at = case when position = 4 then now() end where run_id = $1 and position in (2, 4)", r.run.ID)
	exec(t, r.DB, "update rotator.shops set secret_id = $1", r.run.OldSecretID)
	if got := returns(); got.Shops != 2 || got.Waiting != 0 || got.Kept != 2 {
		t.Errorf("after the next rotation: %+v", got)
	}
	// Nobody is down in a planned run, which counts what is proven.
	exec(t, r.DB, "update rotator.runs set mode = 'planned' where id = $1", r.run.ID)
	if got := returns(); got.Shops != 4 || got.Kept != 0 {
		t.Errorf("of a planned run: %+v", got)
	}
}

func TestTheLatencyMeasuredLast(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	if got, err := r.LastLatency(t.Context(), r.app.ID); err != nil || got != 0 {
		t.Errorf("of no exchange: %s, %v", got, err)
	}
	r.walk(t)
	exec(t, r.DB, "update rotator.items set latency_ms = position * 100, state = case when position = 1 then 'pending' else 'proven' end, proven_at = case when position > 1 then now() end where run_id = $1", r.run.ID)
	if got, err := r.LastLatency(t.Context(), r.app.ID); err != nil || got != 100*time.Millisecond {
		t.Errorf("of 200 and 300 ms for two calls, and 100 for one: %s, %v", got, err)
	}
	// The only call of a shop in a token migration is its proof.
	exec(t, r.DB, "update rotator.runs set kind = 'token_migration' where id = $1", r.run.ID)
	if got, err := r.LastLatency(t.Context(), r.app.ID); err != nil || got != 0 {
		t.Errorf("of a token migration: %s, %v", got, err)
	}
}

func TestCredentialsAreAcceptedOnceAShopWasExchangedWithThem(t *testing.T) {
	t.Parallel()
	r := newBreach(t, 3)
	r.walk(t)
	var rt store.RefreshToken
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		rt, err = tx.Arm(ctx, storetest.Actor, r.run.ID, secret.New("refresh"), time.Hour)
		return err
	})
	accepted := func() bool {
		t.Helper()
		ok, err := r.Accepted(t.Context(), r.run.ID, r.run.NewSecretID, rt.ID)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	exec(t, r.DB, "update rotator.items set exchanged_at = now() - interval '1 hour' where position = 1")
	if accepted() {
		t.Error("an exchange before the token was entered counts")
	}
	exec(t, r.DB, "update rotator.items set state = 'proven', proven_at = now() where position = 3")
	r.spared(t, "shop-2.myharavan.com")
	if accepted() {
		t.Error("a shop that was proven where it is counts as exchanged")
	}
	exec(t, r.DB, "update rotator.items set proven_at = now() where position = 2")
	if !accepted() {
		t.Error("a shop was exchanged, but the token is not accepted")
	}
}

func TestWhenShopsWereProvenByPriority(t *testing.T) {
	t.Parallel()
	r := newBreach(t, 10)
	r.rank(t, 10, func(i int) int { return i % 2 * 5 })
	r.walk(t)
	if all, err := r.Returns(t.Context(), r.run.ID); err != nil || len(all) != 3 || all[0].Shops != 0 || all[0].Waiting != 10 {
		t.Errorf("before any proof: %+v, %v", all, err)
	}
	// In order: five shops of priority 5, one of which is gone, then five of 0, of
	// which the last waits.
	at := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	exec(t, r.DB, "update rotator.items set state = 'proven', exchanged_at = $2, proven_at = $2::timestamptz + position * interval '1 minute' where run_id = $1 and position < 10", r.run.ID, at)
	exec(t, r.DB, "update rotator.items set state = 'skipped', detail = 'gone' where run_id = $1 and position = 1", r.run.ID)
	got, err := r.Returns(t.Context(), r.run.ID)
	if err != nil {
		t.Fatal(err)
	}
	five, none := 5, 0
	minute := func(n float64) time.Time { return at.Add(time.Duration(n * float64(time.Minute))) }
	want := []store.Returns{
		{Shops: 8, Waiting: 1, First: minute(2), P50: minute(5), P90: minute(9), P99: minute(9), Last: minute(9), Mean: minute(5.5)},
		{Priority: &five, Shops: 4, First: minute(2), P50: minute(3), P90: minute(5), P99: minute(5), Last: minute(5), Mean: minute(3.5)},
		{Priority: &none, Shops: 4, Waiting: 1, First: minute(6), P50: minute(7), P90: minute(9), P99: minute(9), Last: minute(9), Mean: minute(7.5)},
	}
	if diff := cmp.Diff(want, got, cmp.Comparer(time.Time.Equal)); diff != "" {
		t.Errorf("returns (-want +got):\n%s", diff)
	}
}

func TestTheOnlyOpenItemOfARun(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	r.walk(t)
	only := func() bool {
		t.Helper()
		alone, err := r.OnlyOpen(t.Context(), r.run.ID, 2)
		if err != nil {
			t.Fatal(err)
		}
		return alone
	}
	if only() {
		t.Error("two others are pending")
	}
	for _, state := range []string{"skipped", "parked", "waived"} {
		exec(t, r.DB, "update rotator.items set state = $1, detail = 'so', next_attempt_at = null where run_id = $2 and position <> 2", state, r.run.ID)
		if !only() {
			t.Errorf("the others are %s", state)
		}
	}
	for _, state := range []string{"claimed", "retrying", "unknown"} {
		exec(t, r.DB, "update rotator.items set state = $1 where run_id = $2 and position = 3", state, r.run.ID)
		if only() {
			t.Errorf("another is %s", state)
		}
	}
}
