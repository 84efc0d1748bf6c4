package store_test

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func (r *rig) start(ctx context.Context) error {
	return r.InTx(ctx, func(tx *store.Tx) error {
		_, err := tx.StartRun(ctx, storetest.Actor, store.NewRun{
			App: r.app, Kind: rotation.KindRotation, Mode: rotation.ModePlanned,
			OldSecretID: r.run.OldSecretID, NewSecretID: r.run.NewSecretID, Settings: r.run.Settings,
		})
		return err
	})
}

func TestAnAppHasOneOpenRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	if err := r.start(t.Context()); !errors.Is(err, store.ErrRunOpen) {
		t.Fatalf("a second run: %v", err)
	}
	if runs, err := r.Runs(t.Context(), r.app.ID); err != nil || len(runs) != 1 {
		t.Errorf("%d runs (%v)", len(runs), err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) })
	if err := r.start(t.Context()); err != nil {
		t.Errorf("after a cancel: %v", err)
	}
	// A start that was refused uses up no number: people name runs by them.
	if open, err := r.OpenRuns(t.Context()); err != nil || len(open) != 1 || open[0].ID != r.run.ID+1 {
		t.Errorf("open runs %+v (%v)", open, err)
	}
}

func TestStartedAtOnceOneRunOpens(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) })
	var all sync.WaitGroup
	errs := make(chan error, 6)
	for range cap(errs) {
		all.Go(func() { errs <- r.start(context.Background()) })
	}
	all.Wait()
	close(errs)
	started := 0
	for err := range errs {
		switch {
		case err == nil:
			started++
		case !errors.Is(err, store.ErrRunOpen):
			t.Error(err)
		}
	}
	if started != 1 {
		t.Errorf("%d runs were started", started)
	}
}

func TestARunKeepsItsSettings(t *testing.T) {
	t.Parallel()
	want := store.RunSettings{
		Waves: rotation.DefaultWavePolicy, BatchSize: 17, InFlight: 3, Wire: json.RawMessage(`{"path": "x"}`),
		CheckSample: -1, GraceSeconds: 60, AcceptWindows: true,
	}
	r := newRigWith(t, 1, want)
	if diff := cmp.Diff(want, r.reread(t).Settings); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	r.run.Settings.InFlight = 99
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.SaveSettings(ctx, storetest.Actor, r.run) })
	if got := r.reread(t).Settings.InFlight; got != 99 {
		t.Errorf("tuned to %d", got)
	}
}

func TestAPhaseIsEnteredOnlyFromTheOneThatWasSeen(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	seen := r.run
	enter := func(to rotation.Phase) error {
		return r.try(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.EnterPhase(ctx, storetest.Actor, seen, to, map[string]any{"k": "v"})
		})
	}
	if err := enter(rotation.PhaseWebhooksDual); err != nil {
		t.Fatal(err)
	}
	before := r.reread(t)
	if err := enter(rotation.PhaseWebhooksDual); !errors.Is(err, store.ErrConflict) {
		t.Errorf("entered twice: %v", err)
	}
	if diff := cmp.Diff(before, r.reread(t)); diff != "" {
		t.Errorf("the late write changed the run:\n%s", diff)
	}
	if !before.PhaseAt.After(seen.PhaseAt) {
		t.Error("the phase's time did not move")
	}
	events := ask[string](t, r.DB, "select event from rotator.journal where run_id = $1 order by seq", r.run.ID)
	if diff := cmp.Diff([]string{"run.started", "phase.webhooks_dual"}, events); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) })
	seen = r.reread(t)
	if err := enter(rotation.PhaseOAuthSwitched); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a cancelled run goes on: %v", err)
	}
}

func TestTheFirstReasonToHoldStands(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	hold := func(h rotation.Held, why string) (held bool) {
		r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
			held, err = tx.Hold(ctx, storetest.Actor, r.run.ID, h, why)
			return err
		})
		return held
	}
	resume := func() error {
		return r.try(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
	}
	if err := resume(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a run that is not held is resumed: %v", err)
	}
	if !hold(rotation.HeldBreakerOpen, "half failed") || hold(rotation.HeldPaused, "lunch") {
		t.Error("the second reason was taken")
	}
	if got := r.reread(t); got.Held != rotation.HeldBreakerOpen || got.HeldWhy != "half failed" || got.HeldAt == nil {
		t.Errorf("held %q: %q at %v", got.Held, got.HeldWhy, got.HeldAt)
	}
	if err := resume(); err != nil {
		t.Fatal(err)
	}
	if got := r.reread(t); got.Held != "" || got.HeldWhy != "" || got.HeldAt != nil {
		t.Errorf("after the resume: held %q", got.Held)
	}
	events := ask[string](t, r.DB, "select event from rotator.journal where run_id = $1 order by seq", r.run.ID)
	if diff := cmp.Diff([]string{"run.started", "run.held", "run.resumed"}, events); diff != "" {
		t.Errorf("journal (-want +got):\n%s", diff)
	}
}

func TestCancelLeavesSwappedTokensAndShredsTheRefreshToken(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 2)
	rt := r.arm(t, "refresh-1")
	r.prove(t, claims[0])
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) })
	if _, err := r.RefreshTokenValue(t.Context(), rt.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the refresh token is not shredded: %v", err)
	}
	if got := r.token(t, claims[0].Domain); got != fresh(claims[0]).Reveal() {
		t.Error("a swapped token was undone")
	}
	for what, fn := range map[string]func(context.Context, *store.Tx) error{
		"cancel": func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) },
		"tune":   func(ctx context.Context, tx *store.Tx) error { return tx.SaveSettings(ctx, storetest.Actor, r.run) },
		"arm": func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Arm(ctx, storetest.Actor, r.run.ID, fresh(claims[1]), 1)
			return err
		},
		"sweep": func(ctx context.Context, tx *store.Tx) error { return tx.Sweep(ctx, r.run) },
	} {
		if err := r.try(t, fn); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s after the cancel: %v", what, err)
		}
	}
	var held bool
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		held, err = tx.Hold(ctx, storetest.Actor, r.run.ID, rotation.HeldPaused, "x")
		return err
	})
	if held {
		t.Error("a cancelled run was held")
	}
}

func TestACertificateIsWrittenOnceAndVoidWhenTheProofIsTakenBack(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	certify := func() error {
		return r.try(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.Certify(ctx, store.ActorEngine, r.reread(t), map[string]int{"proven": 1})
		})
	}
	if text, err := r.Certificate(t.Context(), r.run.ID); err != nil || text != nil {
		t.Errorf("before: %s, %v", text, err)
	}
	r.enter(t, rotation.PhaseProven)
	if err := certify(); err != nil {
		t.Fatal(err)
	}
	if err := certify(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("certified twice: %v", err)
	}
	if text, err := r.Certificate(t.Context(), r.run.ID); err != nil || string(text) != `{"proven": 1}` {
		t.Errorf("certificate %s, %v", text, err)
	}
	if !r.snapshot(t, store.Engine).Certificate {
		t.Error("the snapshot does not know of it")
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.EnterPhase(ctx, store.ActorEngine, r.run, rotation.PhaseExchanging, nil)
	})
	if text, err := r.Certificate(t.Context(), r.run.ID); err != nil || text != nil {
		t.Errorf("after the proof was taken back: %s, %v", text, err)
	}
}

func TestAttestationsOfASnapshot(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	for _, note := range []string{"deployed", "deployed again"} {
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.Attest(ctx, r.run.ID, rotation.PhaseWebhooksDual, "operator", note)
		})
	}
	s := r.snapshot(t, store.Engine)
	a := s.Attested[rotation.PhaseWebhooksDual]
	if len(s.Attested) != 1 || a.Actor != "operator" || a.Note != "deployed again" || a.At.IsZero() {
		t.Errorf("attested %+v", s.Attested)
	}
	if kept := ask[int](t, r.DB, "select count(*)::int from rotator.journal where event = 'attested.webhooks_dual'"); kept[0] != 2 {
		t.Errorf("the journal kept %d of 2", kept[0])
	}
}
