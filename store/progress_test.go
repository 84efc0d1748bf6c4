package store_test

import (
	"errors"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestProgress(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 4)
	moved, rate, err := r.Progress(t.Context(), r.run.ID, time.Minute)
	if err != nil || rate != 0 || moved.IsZero() {
		t.Fatalf("moved at %s, %g shops/s, %v", moved, rate, err)
	}
	r.prove(t, c[0])
	r.prove(t, c[1])
	// Two shops of late, in a phase that is ten seconds old; then in one that is
	// older than what is looked at.
	for since, want := range map[string]float64{"10 seconds": 0.2, "1 hour": 2.0 / 60} {
		exec(t, r.DB, "update rotator.runs set phase_at = now() - $1::text::interval", since)
		again, rate, err := r.Progress(t.Context(), r.run.ID, time.Minute)
		if err != nil || !again.After(moved) || rate < want*0.5 || rate > want*1.001 {
			t.Errorf("moved at %s, %g shops/s, want %g, %v", again, rate, want, err)
		}
	}
	exec(t, r.DB, "update rotator.items set proven_at = proven_at - interval '2 minutes' where proven_at is not null")
	if _, rate, err := r.Progress(t.Context(), r.run.ID, time.Minute); err != nil || rate != 0 {
		t.Errorf("what was long ago counts: %g, %v", rate, err)
	}
	if _, _, err := r.Progress(t.Context(), r.run.ID+1, time.Minute); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("of no run: %v", err)
	}
}

func TestProvenAt(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 3)
	if at, err := r.ProvenAt(t.Context(), r.run.ID, 0, 1); err != nil || len(at) != 0 {
		t.Errorf("before any is proven: %v, %v", at, err)
	}
	for _, claim := range c {
		r.prove(t, claim)
	}
	at, err := r.ProvenAt(t.Context(), r.run.ID, 0, 0.5, 1)
	if err != nil || len(at) != 3 || !at[0].Before(at[1]) || !at[1].Before(at[2]) {
		t.Errorf("%v, %v", at, err)
	}
}

func TestCallLatency(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 4)
	whole := rotation.Range{First: 1, Last: 4}
	if d, err := r.CallLatency(t.Context(), r.run.ID, whole); err != nil || d != 0 {
		t.Errorf("before any is proven: %s, %v", d, err)
	}
	for _, claim := range c {
		r.prove(t, claim)
	}
	exec(t, r.DB, "update rotator.items set latency_ms = position * 100")
	for last, want := range map[int64]time.Duration{3: 100 * time.Millisecond, 1: 50 * time.Millisecond} {
		if d, err := r.CallLatency(t.Context(), r.run.ID, rotation.Range{First: 1, Last: last}); err != nil || d != want {
			t.Errorf("of %d shops: %s, want %s, %v", last, d, want, err)
		}
	}
}

func TestRandomTokens(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	app := db.App(t, "shopbot", oldSecret, newSecret)
	db.Import(t, app, storetest.Fleet(40))
	exec(t, db, "update rotator.shops set access_token = (select access_token from rotator.shops order by id limit 1) where id = (select max(id) from rotator.shops)")
	all, err := db.RandomTokens(t.Context(), app.ID, 100)
	if err != nil || len(all) != 40 {
		t.Fatalf("%d drawn, %v", len(all), err)
	}
	broken := 0
	for _, s := range all {
		if s.Broken {
			broken++
		}
		if s.Broken != s.Access.IsZero() {
			t.Errorf("%s: broken %t, token %t", s.Domain, s.Broken, !s.Access.IsZero())
		}
	}
	if broken != 1 {
		t.Errorf("%d tokens do not open, one was moved", broken)
	}
	seen := map[string]bool{}
	for range 20 {
		few, err := db.RandomTokens(t.Context(), app.ID, 2)
		if err != nil || len(few) != 2 {
			t.Fatalf("%d drawn, %v", len(few), err)
		}
		seen[few[0].Domain], seen[few[1].Domain] = true, true
	}
	if len(seen) < 10 {
		t.Errorf("forty draws gave only %d shops", len(seen))
	}
}

func TestKeyringCopy(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	foreign, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	if bound, opens, err := store.New(db.Pool, foreign).OpensCanary(t.Context()); err != nil || !bound || opens {
		t.Errorf("a foreign keyring: bound %t, opens %t, %v", bound, opens, err)
	}
	if bound, opens, err := db.OpensCanary(t.Context()); err != nil || !bound || !opens {
		t.Errorf("its own keyring: bound %t, opens %t, %v", bound, opens, err)
	}
	if at, err := db.KeyringCopyAt(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("confirmed at %s by nobody, %v", at, err)
	}
	if err := db.KeyringVerified(t.Context(), "tester", "/copy"); err != nil {
		t.Fatal(err)
	}
	if at, err := db.KeyringCopyAt(t.Context()); err != nil || time.Since(at) > time.Minute {
		t.Errorf("confirmed at %s, %v", at, err)
	}
	// Another key seals now: what was confirmed lacks it.
	if at, err := store.New(db.Pool, foreign).KeyringCopyAt(t.Context()); err != nil || !at.IsZero() {
		t.Errorf("a copy without the key counts: %s, %v", at, err)
	}
	exec(t, db, "delete from rotator.keyring")
	if bound, _, err := db.OpensCanary(t.Context()); err != nil || bound {
		t.Errorf("an unused database: bound %t, %v", bound, err)
	}
	if n := ask[int](t, db, "select count(*)::int from rotator.keyring"); n[0] != 0 {
		t.Error("looking wrote a canary")
	}
}

func TestPolicyOfAnApp(t *testing.T) {
	t.Parallel()
	if got := (store.AppSettings{}).Policy(); got != rotation.DefaultPolicy {
		t.Errorf("%+v", got)
	}
	got := store.AppSettings{SecretMaxAgeHours: 48, SecretWarnAgeHours: 24}.Policy()
	if got.MaxAge != 48*time.Hour || got.WarnAge != 24*time.Hour || got.StalledAfter != rotation.DefaultPolicy.StalledAfter {
		t.Errorf("%+v", got)
	}
}
