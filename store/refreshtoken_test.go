package store_test

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func (r *rig) tryArm(ctx context.Context, value string) (rt store.RefreshToken, err error) {
	return r.tryArmFor(ctx, value, 50*time.Minute)
}

func (r *rig) tryArmFor(ctx context.Context, value string, life time.Duration) (rt store.RefreshToken, err error) {
	err = r.InTx(ctx, func(tx *store.Tx) error {
		rt, err = tx.Arm(ctx, storetest.Actor, r.run.ID, secret.New(value), life)
		return err
	})
	return rt, err
}

func (r *rig) arm(t *testing.T, value string) store.RefreshToken {
	t.Helper()
	rt, err := r.tryArm(t.Context(), value)
	if err != nil {
		t.Fatal(err)
	}
	return rt
}

func TestARefreshTokenIsCountedByTheDatabasesClock(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	rt := r.arm(t, "refresh-1")
	if got := rt.ExpiresAt.Sub(rt.AcceptedAt); got != 50*time.Minute {
		t.Errorf("it lives for %s", got)
	}
	now, err := r.Now(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s := r.snapshot(t, store.Engine)
	if left := s.Window.Left(now); left > 50*time.Minute || left < 49*time.Minute {
		t.Errorf("%s left", left)
	}
	controls, err := r.Controls(t.Context())
	if err != nil || len(controls) != 1 {
		t.Fatalf("%d controls, %v", len(controls), err)
	}
	c := controls[0]
	if c.RefreshTokenID != rt.ID || c.Refused || c.WindowLeft > 50*time.Minute || c.WindowLeft < 49*time.Minute || c.Workers != 1 {
		t.Errorf("control %+v", c)
	}
	exec(t, r.DB, "update rotator.refresh_tokens set expires_at = now() - interval '1 minute'")
	if s := r.snapshot(t, store.Engine); s.Window.Left(s.Now) != 0 {
		t.Error("a dead token has life left")
	}
	if controls, err = r.Controls(t.Context()); err != nil || controls[0].WindowLeft >= 0 {
		t.Errorf("the control says %s left (%v)", controls[0].WindowLeft, err)
	}
}

func TestARefreshTokenInUseIsTakenOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	first := r.arm(t, "planted-refresh-1")
	refuse := func(value string) {
		t.Helper()
		_, err := r.tryArm(t.Context(), value)
		if !errors.Is(err, store.ErrConflict) {
			t.Errorf("the same value again: %v", err)
		}
		if err != nil && strings.Contains(err.Error(), value) {
			t.Error("the error shows the token")
		}
	}
	refuse("planted-refresh-1")
	if v, err := r.RefreshTokenValue(t.Context(), first.ID); err != nil || v.Reveal() != "planted-refresh-1" {
		t.Errorf("the refused one took the first with it: %v", err)
	}
	second := r.arm(t, "planted-refresh-2")
	if _, err := r.RefreshTokenValue(t.Context(), first.ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("the first is not shredded: %v", err)
	}
	refuse("planted-refresh-2")
	if v, err := r.RefreshTokenValue(t.Context(), second.ID); err != nil || v.Reveal() != "planted-refresh-2" {
		t.Errorf("the second: %v", err)
	}
}

// The value that a mistyped one took the place of comes back, but its hour does
// not begin anew.
func TestAReplacedRefreshTokenMayBeEnteredAgainAndKeepsItsHour(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	first := r.arm(t, "refresh-1")
	exec(t, r.DB, "update rotator.refresh_tokens set expires_at = expires_at - interval '20 minutes'")
	r.arm(t, "mistyped")
	again := r.arm(t, "refresh-1")
	if again.ID == first.ID || !again.ExpiresAt.Equal(first.ExpiresAt.Add(-20*time.Minute)) {
		t.Errorf("entered again it ends at %s, first at %s", again.ExpiresAt, first.ExpiresAt.Add(-20*time.Minute))
	}
	if v, err := r.RefreshTokenValue(t.Context(), again.ID); err != nil || v.Reveal() != "refresh-1" {
		t.Errorf("its value: %v", err)
	}
	if s := r.snapshot(t, store.Engine); !s.Window.ExpiresAt.Equal(again.ExpiresAt) {
		t.Errorf("the window ends at %s, want %s", s.Window.ExpiresAt, again.ExpiresAt)
	}
	r.arm(t, "mistyped again")
	exec(t, r.DB, "update rotator.refresh_tokens set expires_at = now() where fingerprint = $1", first.Fingerprint)
	if _, err := r.tryArm(t.Context(), "refresh-1"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("entered again when its hour was over: %v", err)
	}
	if s := r.snapshot(t, store.Engine); s.Window.Left(s.Now) < 49*time.Minute {
		t.Error("the refused one took the place of the one in use")
	}
}

// Its age was told wrong: it may end sooner, never later.
func TestARefreshTokenInUseMayOnlyBeShortened(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	r.arm(t, "refresh-1")
	shorter, err := r.tryArmFor(t.Context(), "refresh-1", 30*time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	if got := shorter.ExpiresAt.Sub(shorter.AcceptedAt); got != 30*time.Minute {
		t.Errorf("shortened to %s", got)
	}
	for _, life := range []time.Duration{30 * time.Minute, 50 * time.Minute} {
		if _, err := r.tryArmFor(t.Context(), "refresh-1", life); !errors.Is(err, store.ErrConflict) {
			t.Errorf("entered again with %s left: %v", life, err)
		}
	}
	if s := r.snapshot(t, store.Engine); !s.Window.ExpiresAt.Equal(shorter.ExpiresAt) {
		t.Errorf("the window ends at %s, want %s", s.Window.ExpiresAt, shorter.ExpiresAt)
	}
	if v, err := r.RefreshTokenValue(t.Context(), shorter.ID); err != nil || v.Reveal() != "refresh-1" {
		t.Errorf("its value: %v", err)
	}
}

func TestEnteredTwiceAtOnceARefreshTokenIsTakenOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	var all sync.WaitGroup
	errs := make(chan error, 5)
	for range cap(errs) {
		all.Go(func() { _, err := r.tryArm(context.Background(), "refresh-1"); errs <- err })
	}
	all.Wait()
	close(errs)
	taken := 0
	for err := range errs {
		switch {
		case err == nil:
			taken++
		case !errors.Is(err, store.ErrConflict):
			t.Error(err)
		}
	}
	if taken != 1 {
		t.Errorf("taken %d times", taken)
	}
}

func TestARefusedRefreshTokenHoldsTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	rt := r.arm(t, "refresh-1")
	refuse := func(id int64, holds bool) {
		t.Helper()
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			held, err := tx.RefuseRefreshToken(ctx, r.run.ID, id, "refused")
			if held != holds {
				t.Errorf("it says that it held the run: %t", held)
			}
			return err
		})
	}
	refuse(rt.ID, true)
	s := r.snapshot(t, store.Engine)
	if s.Held != rotation.HeldWaiting || !s.Window.Refused || s.Window.Left(s.Now) != 0 {
		t.Fatalf("held %q, window %+v", s.Held, s.Window)
	}
	next := r.arm(t, "refresh-2")
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
	// A worker that still used the first is late: the second is in use now.
	refuse(rt.ID, false)
	if s := r.snapshot(t, store.Engine); s.Held != "" || s.Window.Refused {
		t.Errorf("a late refusal held the run: %q, %+v", s.Held, s.Window)
	}
	refuse(next.ID, true)
	if s := r.snapshot(t, store.Engine); s.Held != rotation.HeldWaiting || !s.Window.Refused {
		t.Errorf("the second refusal: held %q, %+v", s.Held, s.Window)
	}
}

// nextRun cancels the rig's run and starts another of the same app.
func (r *rig) nextRun(t *testing.T) {
	t.Helper()
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.reread(t)) })
	r.run = r.Run(t, r.app, oneWave)
}

// A cancel shreds the value, and its hour goes on at the platform.
func TestARefreshTokenKeepsItsHourInAnotherRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	first, run := r.arm(t, "refresh-1"), r.run.ID
	exec(t, r.DB, "update rotator.refresh_tokens set accepted_at = accepted_at - interval '20 minutes', expires_at = expires_at - interval '20 minutes'")
	ends := first.ExpiresAt.Add(-20 * time.Minute)
	r.nextRun(t)
	life, err := r.RefreshTokenLife(t.Context(), r.run.ID, secret.New("refresh-1"), 50*time.Minute)
	if err != nil || life > 30*time.Minute || life < 29*time.Minute {
		t.Errorf("before it is entered: %s left, %v", life, err)
	}
	again := r.arm(t, "refresh-1")
	if !again.ExpiresAt.Equal(ends) {
		t.Errorf("it ends at %s, in the run before at %s", again.ExpiresAt, ends)
	}
	if b := again.Before; b == nil || b.Run != run || !b.At.Equal(first.AcceptedAt.Add(-20*time.Minute)) {
		t.Errorf("first entered %v, want in run %d at %s", b, run, first.AcceptedAt.Add(-20*time.Minute))
	}
	if s := r.snapshot(t, store.Engine); !s.Window.ExpiresAt.Equal(ends) {
		t.Errorf("the window ends at %s", s.Window.ExpiresAt)
	}
	if _, err := r.tryArm(t.Context(), "refresh-1"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("twice in the second run: %v", err)
	}

	// An age that is told there may only shorten it, for the runs to come, too.
	r.nextRun(t)
	shorter, err := r.tryArmFor(t.Context(), "refresh-1", 10*time.Minute)
	if err != nil || !shorter.ExpiresAt.Equal(shorter.AcceptedAt.Add(10*time.Minute)) {
		t.Errorf("shortened to %s: %v", shorter.ExpiresAt.Sub(shorter.AcceptedAt), err)
	}
	r.nextRun(t)
	if last := r.arm(t, "refresh-1"); !last.ExpiresAt.Equal(shorter.ExpiresAt) {
		t.Errorf("lengthened again to %s, want %s", last.ExpiresAt, shorter.ExpiresAt)
	}

	// Another app's values are its own.
	other := newRigIn(t, r.DB, "other", 1, oneWave)
	if rt := other.arm(t, "refresh-1"); rt.Before != nil || rt.ExpiresAt.Sub(rt.AcceptedAt) != 50*time.Minute {
		t.Errorf("in another app: %+v", rt)
	}
}

func TestADeadRefreshTokenIsNotTakenByAnotherRun(t *testing.T) {
	t.Parallel()
	for what, tt := range map[string]struct{ died, want string }{
		"over":    {"expires_at = now()", "and its hour is over"},
		"refused": {"refused_at = now()", "the platform refused this refresh token"},
	} {
		t.Run(what, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, 1)
			first := store.Entered{Run: r.run.ID, At: r.arm(t, "refresh-1").AcceptedAt}
			exec(t, r.DB, "update rotator.refresh_tokens set "+tt.died)
			r.nextRun(t)
			_, early := r.RefreshTokenLife(t.Context(), r.run.ID, secret.New("refresh-1"), 50*time.Minute)
			_, err := r.tryArm(t.Context(), "refresh-1")
			for _, err := range []error{early, err} {
				if !errors.Is(err, store.ErrConflict) || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), "first entered "+first.String()) {
					t.Errorf("%v, want %q and %q", err, tt.want, first)
				}
			}
			if rt := r.arm(t, "refresh-2"); rt.Before != nil {
				t.Errorf("another value was entered before: %v", rt.Before)
			}
		})
	}
}
