package store_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// A group of outcomes locks items before the stored groups that it takes tokens
// from, a cancel the other way round.
func TestADecisionThatIsSacrificedIsTakenAgain(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 2)
	r.write(t, store.Written, exchanged(c[0]))
	outcomes, err := r.DB.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer outcomes.Rollback(t.Context())
	lock := func(statement string) {
		t.Helper()
		if _, err := outcomes.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	lock("set local deadlock_timeout = '5min'") // the other is the one to find out
	lock("select from rotator.items where position = 1 for update")
	cancelled := make(chan error, 1)
	go func() {
		cancelled <- r.InRun(t.Context(), r.run.ID, func(tx *store.Tx, _ rotation.Snapshot, run store.Run) error {
			return tx.Cancel(t.Context(), storetest.Actor, run)
		})
	}()
	for ask[int](t, r.DB, waiting)[0] == 0 {
	}
	lock("select from rotator.minted for update")
	if err := outcomes.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-cancelled; err != nil {
		t.Fatal(err)
	}
	if r.reread(t).Open() || r.token(t, c[0].Domain) != fresh(c[0]).Reveal() {
		t.Error("not cancelled, or the new token was dropped")
	}
}

// A late proof of a cancelled run locks the item before the shop, a start, which
// adopts its token, the other way round.
func TestAStartThatIsSacrificedIsTriedAgain(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 2)
	r.write(t, store.Written, store.Outcome{Claim: c[0], State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503"})
	late := r.again(t)
	r.cancel(t)
	r.write(t, store.Written, exchanged(late))
	proof, err := r.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer proof.Rollback(t.Context())
	lock := func(statement string) {
		t.Helper()
		if _, err := proof.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	lock("set local deadlock_timeout = '5min'") // the other is the one to find out
	lock("select from rotator.items where position = 1 for update")
	started := make(chan error, 1)
	go func() {
		var err error
		r.run, err = r.StartRun(t.Context(), storetest.Actor, store.NewRun{
			App: r.app, Kind: rotation.KindRotation, Mode: rotation.ModePlanned,
			OldSecretID: r.run.OldSecretID, NewSecretID: r.run.NewSecretID, Settings: r.run.Settings,
		})
		started <- err
	}()
	for ask[int](t, r.DB, waiting)[0] == 0 {
	}
	lock("select from rotator.shops for update")
	if err := proof.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := <-started; err != nil {
		t.Fatal(err)
	}
	if !r.reread(t).Open() || r.token(t, late.Domain) != fresh(late).Reveal() {
		t.Error("not started, or the new token was dropped")
	}
}
