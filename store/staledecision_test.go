package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// A worker sees the window end while an operator enters the token that continues it.
func TestAnArmThatIsUnderWayIsNotHeldForTheWindowBefore(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.arm(t, "refresh-1")
	if _, err := r.Pool.Exec(t.Context(), "update rotator.refresh_tokens set expires_at = now()"); err != nil {
		t.Fatal(err)
	}
	type outcome struct {
		held bool
		err  error
	}
	hold := func() (o outcome) {
		o.err = r.InTx(t.Context(), func(tx *store.Tx) (err error) {
			o.held, err = tx.Hold(t.Context(), store.ActorEngine, r.run.ID, rotation.HeldWindowExpired, "over")
			return err
		})
		return o
	}
	late := make(chan outcome, 1)
	err := r.InRun(t.Context(), r.run.ID, func(tx *store.Tx, _ rotation.Snapshot, run store.Run) error {
		go func() { late <- hold() }()
		for ask[int](t, r.DB, waiting)[0] == 0 {
		}
		_, err := tx.Arm(t.Context(), storetest.Actor, run.ID, secret.New("refresh-2"), time.Hour)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if o := <-late; o.err != nil || o.held {
		t.Errorf("held for a window that goes on: %+v", o)
	}
	if _, err := r.Pool.Exec(t.Context(), "update rotator.refresh_tokens set expires_at = now()"); err != nil {
		t.Fatal(err)
	}
	if o := hold(); o.err != nil || !o.held {
		t.Errorf("not held when it is over: %+v", o)
	}
}

// A worker saves that the platform refused the token before, while an operator
// enters another.
func TestAnArmThatIsUnderWayIsNotHeldForTheTokenBefore(t *testing.T) {
	t.Parallel()
	arm := func(tx *store.Tx, run store.Run) error {
		_, err := tx.Arm(t.Context(), storetest.Actor, run.ID, secret.New("refresh-2"), time.Hour)
		return err
	}
	for _, first := range []string{"the arm", "the refusal"} {
		t.Run(first+" begins", func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			before := r.arm(t, "refresh-1")
			refused := make(chan error, 1)
			refuse := func() {
				go func() {
					refused <- r.InTx(t.Context(), func(tx *store.Tx) error {
						_, err := tx.RefuseRefreshToken(t.Context(), r.run.ID, before.ID, "invalid_grant")
						return err
					})
				}()
				for ask[int](t, r.DB, waiting)[0] == 0 {
				}
			}
			err := r.InRun(t.Context(), r.run.ID, func(tx *store.Tx, _ rotation.Snapshot, run store.Run) error {
				if first == "the refusal" {
					refuse()
					return arm(tx, run)
				}
				err := arm(tx, run)
				refuse()
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
			if err := <-refused; err != nil {
				t.Fatal(err)
			}
			if held := r.reread(t).Held; held != rotation.HeldNot {
				t.Errorf("held (%s) for a token that another took the place of", held)
			}
			if n := ask[int](t, r.DB, "select count(*) from rotator.refresh_tokens where id = $1 and refused_at is not null", before.ID); n[0] != 1 {
				t.Error("the refusal is forgotten")
			}
		})
	}
}

// A resume is for the hold that was seen, not for one that somebody began since.
func TestAResumeEndsOnlyTheHoldThatItSaw(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	hold := func(h rotation.Held) {
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, h, "x")
			return err
		})
	}
	resume := func(as store.Run) error {
		return r.try(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, store.ActorEngine, as) })
	}
	for _, other := range []rotation.Held{rotation.HeldPaused, rotation.HeldWindowExpired} {
		hold(rotation.HeldWindowExpired)
		seen := r.reread(t)
		if err := resume(seen); err != nil {
			t.Fatal(err)
		}
		hold(other)
		if err := resume(seen); !errors.Is(err, store.ErrConflict) {
			t.Errorf("%s, held meanwhile, was ended: %v", other, err)
		}
		if err := resume(r.reread(t)); err != nil {
			t.Fatal(err)
		}
	}
}

// Of two workers one decides to certify, the other that a shop came since; the first
// writes last.
func TestACertificateOfAProofThatWasTakenBackIsNotWritten(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.enter(t, rotation.PhaseProven)
	seen := r.reread(t)
	certify := func(as store.Run) error {
		return r.try(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.Certify(ctx, store.ActorEngine, as, map[string]int{"proven": 1})
		})
	}
	for _, to := range []rotation.Phase{rotation.PhaseExchanging, rotation.PhaseProven} {
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.EnterPhase(ctx, store.ActorEngine, r.reread(t), to, nil)
		})
		if err := certify(seen); !errors.Is(err, store.ErrConflict) {
			t.Errorf("certified in %s what was proven before: %v", to, err)
		}
	}
	if err := certify(r.reread(t)); err != nil {
		t.Error(err)
	}
}

func TestACancelledRunHasNoCertificate(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.enter(t, rotation.PhaseProven)
	seen := r.reread(t)
	certify := func() error {
		return r.try(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.Certify(ctx, store.ActorEngine, seen, map[string]int{"proven": 1})
		})
	}
	if err := certify(); err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, seen) })
	if err := certify(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("certified after the cancel: %v", err)
	}
	if text, err := r.Certificate(t.Context(), r.run.ID); text != nil || err != nil {
		t.Errorf("after the cancel: %s, %v", text, err)
	}
}
