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

// breachUnderWay is a breach run of three shops whose exchanges are under way.
func breachUnderWay(t *testing.T) (*rig, store.Lease, []store.Claim) {
	t.Helper()
	r := newBreach(t, 3)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	l := r.take(t, r.release(t, 1)[0])
	return r, l, r.claim(t, l)
}

// useSecret enters another secret for the run, and has it used.
func (r *rig) useSecret(t *testing.T, value string) error {
	t.Helper()
	if _, err := r.AddSecret(t.Context(), storetest.Actor, r.app.ID, secret.New(value)); err != nil && !errors.Is(err, store.ErrSameSecret) {
		t.Fatal(err)
	}
	err := r.try(t, func(ctx context.Context, tx *store.Tx) error { return tx.UseSecret(ctx, storetest.Actor, r.reread(t)) })
	r.reread(t)
	return err
}

// An exchange began before its secret was replaced and ended after it: wherever the
// token is stored, and whoever makes it the shop's, it is of what minted it.
func TestATokenIsOfTheSecretThatMintedIt(t *testing.T) {
	t.Parallel()
	minted := func(c store.Claim, by int64) store.Outcome {
		o := exchanged(c)
		o.SecretID = by
		return o
	}
	again := func(t *testing.T, r *rig, l store.Lease) store.Claim {
		t.Helper()
		for _, c := range r.claim(t, r.take(t, l.Grant)) {
			if !c.New.IsZero() {
				return c
			}
		}
		t.Fatal("no token is to be proven")
		return store.Claim{}
	}
	prove := func(t *testing.T, r *rig, c store.Claim) {
		t.Helper()
		p := r.proven(c)
		p.New, p.SecretID = c.New, c.NewSecretID
		r.write(t, store.Written, p)
	}
	tests := map[string]func(*testing.T, *rig, store.Lease, store.Claim, int64){
		"stored with its batch": func(t *testing.T, r *rig, l store.Lease, c store.Claim, by int64) {
			r.write(t, store.Written, minted(c, by))
			prove(t, r, again(t, r, l))
		},
		"stored by itself": func(t *testing.T, r *rig, _ store.Lease, c store.Claim, by int64) {
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503"})
			c = r.again(t)
			r.write(t, store.Written, minted(c, by))
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemExchanged, Class: rotation.ClassPlatform, Detail: "503"})
			prove(t, r, r.again(t))
		},
		"waived": func(t *testing.T, r *rig, _ store.Lease, c store.Claim, by int64) {
			r.write(t, store.Written, minted(c, by))
			r.write(t, store.Written, giveUp(c))
			r.tx(t, func(ctx context.Context, tx *store.Tx) error {
				return tx.Waive(ctx, storetest.Actor, r.run.ID, c.Domain, "x")
			})
		},
		"cancelled": func(t *testing.T, r *rig, _ store.Lease, c store.Claim, by int64) {
			r.write(t, store.Written, minted(c, by))
			r.cancel(t)
		},
	}
	for name, settle := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, l, c := breachUnderWay(t)
			former := r.run.NewSecretID
			if err := r.useSecret(t, "hush-another"); err != nil {
				t.Fatal(err)
			}
			settle(t, r, l, c[1], former)
			if s := r.shop(t, c[1].Domain); s.SecretVersion != 2 {
				t.Errorf("the token is said to be of version %d", s.SecretVersion)
			}
		})
	}
}

// A wrong secret is not taken for right by a token of the one before it.
func TestOnlyItsOwnTokensShowThatASecretIsRight(t *testing.T) {
	t.Parallel()
	r, l, c := breachUnderWay(t)
	former := r.run.NewSecretID
	if err := r.useSecret(t, "hush-a-wrong-one"); err != nil {
		t.Fatal(err)
	}
	of := func(c store.Claim, by int64) store.Outcome {
		o := exchanged(c)
		o.SecretID = by
		return o
	}
	r.write(t, store.Written, of(c[0], former), of(c[1], former))
	r.write(t, store.Written, giveUp(c[1])) // which has its token in its item
	if err := r.useSecret(t, newSecret); err != nil {
		t.Fatalf("the right one is not taken again: %v", err)
	}
	r.write(t, store.Written, of(c[2], r.run.NewSecretID))
	if err := r.useSecret(t, "hush-another"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("replaced although a group has its token: %v", err)
	}
	r.take(t, l.Grant)
	if err := r.useSecret(t, "hush-another"); !errors.Is(err, store.ErrConflict) {
		t.Errorf("replaced although an item has its token: %v", err)
	}
}

func TestCallsUnderWayOfAHeldRun(t *testing.T) {
	t.Parallel()
	hold := func(t *testing.T, r *rig, ago time.Duration) {
		t.Helper()
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, rotation.HeldPaused, "x")
			return err
		})
		exec(t, r.DB, "update rotator.runs set held_at = held_at - $2::interval where id = $1", r.run.ID, ago)
	}
	tests := map[string]struct {
		arrange func(*testing.T, *rig, store.Lease, []store.Claim)
		want    bool
	}{
		"of a batch": {func(t *testing.T, r *rig, _ store.Lease, _ []store.Claim) { hold(t, r, 0) }, true},
		"of a shop by itself": {func(t *testing.T, r *rig, l store.Lease, c []store.Claim) {
			r.write(t, store.Written, store.Outcome{Claim: c[0], State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503"})
			r.again(t)
			hold(t, r, 0)
			if err := r.LeaveBatch(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}, true},
		"answered": {func(t *testing.T, r *rig, l store.Lease, _ []store.Claim) {
			hold(t, r, 0)
			if err := r.LeaveBatch(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}, false},
		"given up by now": {func(t *testing.T, r *rig, _ store.Lease, _ []store.Claim) { hold(t, r, time.Minute) }, false},
		"of a worker that is silent": {func(t *testing.T, r *rig, _ store.Lease, _ []store.Claim) {
			hold(t, r, 0)
			exec(t, r.DB, "update rotator.workers set heartbeat_at = heartbeat_at - interval '1 minute'")
		}, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, l, c := breachUnderWay(t)
			tt.arrange(t, r, l, c)
			left, err := r.CallsUnderWay(t.Context(), r.run.ID, 20*time.Second)
			if err != nil || left < 0 || left > 20*time.Second || (left > 0) != tt.want {
				t.Errorf("%s, %v", left, err)
			}
		})
	}
}

// A refusal of the secret that took its place is not the shop's matter because the
// one before it made a token.
func TestATokenOfTheSecretBeforeAcceptsNothing(t *testing.T) {
	t.Parallel()
	r, l, c := breachUnderWay(t)
	former, rt := r.run.NewSecretID, r.arm(t, "refresh-1")
	if err := r.useSecret(t, "hush-a-wrong-one"); err != nil {
		t.Fatal(err)
	}
	accepted := func(secretID int64) bool {
		t.Helper()
		ok, err := r.Accepted(t.Context(), r.run.ID, secretID, rt.ID)
		if err != nil {
			t.Fatal(err)
		}
		return ok
	}
	late := exchanged(c[0])
	late.SecretID = former
	r.write(t, store.Written, late)
	for _, stored := range []string{"in its item", "in its shop"} {
		if stored == "in its item" {
			r.take(t, l.Grant)
		} else {
			p := r.proven(c[0])
			p.SecretID = former
			r.write(t, store.Written, p)
		}
		if !accepted(former) || accepted(r.run.NewSecretID) {
			t.Errorf("stored %s: the former secret is accepted: %t, the new one: %t", stored, accepted(former), accepted(r.run.NewSecretID))
		}
	}
}
