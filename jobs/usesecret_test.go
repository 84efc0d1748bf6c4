package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store/storetest"
)

const notOfThisApp = "not-a-secret-of-this-app"

// detainedBreach is a breach run that is paused while its first exchange, with the
// right secret, is under way.
func detainedBreach(t *testing.T) (*rig, *detained) {
	t.Helper()
	r := newRig(t, haravansim.Options{Shops: 10, Knobs: haravansim.Knobs{MaxLiveSecrets: 3}})
	d := r.workerDetained("")
	r.breach(operate.StartOptions{})
	r.arm()
	<-d.has
	r.must(r.op.Pause(r.ctx, r.run.ID, "is it the right secret?"))
	return r, d
}

func (r *rig) addSecret(value string) {
	r.t.Helper()
	_, err := r.db.AddSecret(r.ctx, storetest.Actor, r.app.ID, secret.New(value))
	r.must(err)
}

// useSecret must not have to wait.
func (r *rig) useSecret() {
	r.t.Helper()
	r.must(r.op.UseSecret(r.ctx, r.run.ID, r.app.Name, func(most time.Duration) { r.t.Errorf("it waits for %s", most) }))
}

// ofSecret fails unless every stored token is of that version at the platform.
func (r *rig) ofSecret(version int) {
	r.t.Helper()
	for s := range r.sim.Shops {
		token, err := r.db.ShopToken(r.ctx, r.app.ID, s.Domain)
		r.must(err)
		if v := r.sim.TokenVersion(s.Domain, token.Reveal()); v != version {
			r.t.Errorf("%s: its token is of secret %d", s.Domain, v)
		}
	}
}

// The answer shows that the secret is right, so it is waited for.
func TestAnotherSecretWaitsForACallUnderWay(t *testing.T) {
	t.Parallel()
	r, d := detainedBreach(t)
	r.addSecret(notOfThisApp)
	waited := false
	err := r.op.UseSecret(r.ctx, r.run.ID, r.app.Name, func(most time.Duration) {
		if waited = true; most <= 0 || most > 20*time.Second {
			t.Errorf("it waits for %s", most)
		}
		d.letGo()
	})
	if !waited || err == nil || !strings.Contains(err.Error(), "so it is right") {
		t.Fatalf("waited: %t, %v", waited, err)
	}
	r.must(r.op.Resume(r.ctx, r.run.ID))
	r.until("in the check", inPhase(rotation.PhaseRevoked))
	r.finishBreach()
	r.ofSecret(2)
}

// A worker may be silent for longer than anybody waits, and store a token after
// all: it is known what minted it.
func TestATokenThatCameAfterItsSecretWasReplaced(t *testing.T) {
	t.Parallel()
	late := func(t *testing.T, value func(*rig) string) *rig {
		t.Helper()
		r, d := detainedBreach(t)
		d.proofless.Store(true) // or the worker proves it, if it has not heard of the pause
		_, err := r.db.Pool.Exec(r.ctx, "update rotator.runs set held_at = held_at - interval '1 minute'")
		r.must(err)
		r.addSecret(value(r))
		r.useSecret()
		d.letGo()
		r.until("the late token", func(rotation.Snapshot) bool { return r.holdsToken(r.run.ID) })
		d.proofless.Store(false)
		r.must(r.op.Resume(r.ctx, r.run.ID))
		return r
	}
	t.Run("by another that is right", func(t *testing.T) {
		t.Parallel()
		r := late(t, func(r *rig) string {
			s, err := r.sim.CreateSecret()
			r.must(err)
			return s.Value
		})
		r.until("in the check", inPhase(rotation.PhaseRevoked))
		r.finishBreach()
		r.ofSecret(3)
	})
	t.Run("by a wrong one", func(t *testing.T) {
		t.Parallel()
		r := late(t, func(*rig) string { return notOfThisApp })
		r.until("held", isHeld(rotation.HeldWaiting))
		r.addSecret(r.sim.Secrets()[1].Value)
		r.must(r.op.UseSecret(r.ctx, r.run.ID, r.app.Name, func(time.Duration) {}))
		r.must(r.op.Resume(r.ctx, r.run.ID))
		r.until("in the check", inPhase(rotation.PhaseRevoked))
		r.finishBreach()
		r.ofSecret(2)
	})
}
