package jobs

import (
	"context"
	"errors"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

const (
	// refusalsBelieved is how many shops must be refused, before any derived
	// token was accepted, until it is not the shops' matter.
	refusalsBelieved = 3
	// attemptsRefused is how often a shop is asked whose derived token is
	// refused while others' are accepted.
	attemptsRefused = 3
)

// migrate carries one claimed shop of a token migration as far as the phase
// allows: derived, looked at before the cutover, proven after it.
func (a *attempt) migrate(ctx context.Context) {
	c := a.claim
	switch {
	case c.Broken != "":
		a.fail(rotation.ItemParked, rotation.ClassOurs, c.Broken, 0)
	case c.Excluded != "" && (c.New.IsZero() || a.run.view().Phase != rotation.PhaseCutover):
		// After the cutover a derived token is all that the shop has: it is made
		// its own, as a minted one is in a rotation.
		a.write(store.Outcome{State: rotation.ItemSkipped, Detail: "excluded: " + c.Excluded})
	case !c.Current.IsZero():
		// An install or an import was faster: its token stays.
		a.write(store.Outcome{State: rotation.ItemSkipped, Detail: saysOAuth})
	case c.New.IsZero():
		a.derive(ctx)
	case a.run.view().Phase == rotation.PhaseCutover:
		a.proveDerived(ctx, c.New)
	default:
		a.checkDerived(ctx)
	}
}

// derive derives the shop's token by itself: one that came late, or was retried.
func (a *attempt) derive(ctx context.Context) {
	derive, err := a.engine.deriver(ctx, a.run)
	if err == nil && derive == nil {
		err = errHeld
	}
	var u store.Underived
	if err == nil {
		u, err = a.engine.store.ReadUnderivedClaim(ctx, a.claim)
	}
	if errors.Is(err, store.ErrNotFound) {
		return // superseded
	}
	if err != nil {
		a.notSent(err)
		return
	}
	d := derive(u)
	stored, err := a.engine.store.WriteDerivedClaim(ctx, d)
	switch {
	case a.engine.tableFailed(ctx, a.run, err):
		a.notSent(err)
	case err != nil:
		a.engine.holdIfUnstorable(ctx, a.run, err)
		a.engine.loops.Warn("cannot store a derived token", "run", a.run.id, "error", err)
		a.notSent(errNotStored)
	case stored && a.run.view().Phase == rotation.PhaseCutover:
		a.claim.Generation = u.Generation
		a.proveDerived(ctx, d.Token)
	}
}

// proveDerived reads the identity behind the derived token and makes it the
// shop's current one.
func (a *attempt) proveDerived(ctx context.Context, token secret.String) {
	took, err := a.identity(ctx, token)
	proof := store.Outcome{State: rotation.ItemProven, New: token, SecretID: a.run.view().OldSecretID, Latency: took}
	if lacksScope(err) {
		proof.Class, proof.Detail, err = rotation.ClassScope, saysScope, nil
	}
	var he *haravan.Error
	switch {
	case err == nil:
		a.observe("", "", 0)
		a.run.tokenAccepted()
		if a.write(proof) == store.Written {
			a.engine.proven.Add(1)
		}
	case !errors.As(err, &he):
		a.fail(rotation.ItemExchanged, "", "", 0) // only its proof is due
	case he.Class == rotation.ClassUnauthorized:
		a.refused(ctx, he)
	case he.Class.ShopIsGone():
		proof.Claim, proof.Class, proof.Detail = a.claim, he.Class, he.Error()
		if _, err := a.engine.store.SkipWithToken(ctx, proof); err != nil {
			a.fail(rotation.ItemExchanged, "", "", 0)
		}
	default:
		a.proofFailed(err, rotation.ItemExchanged)
	}
}

const saysScope = "alive; its identity cannot be read for want of a scope"

// refused judges a 401 after the cutover: as long as no derived token was
// accepted, it is the run's matter and not the shop's.
func (a *attempt) refused(ctx context.Context, he *haravan.Error) {
	alive, err := a.engine.derivedAlive(ctx, a.run)
	if err != nil {
		a.fail(rotation.ItemExchanged, "", "", 0)
		return
	}
	if !alive {
		a.failUnless(attemptsNetwork, rotation.ItemExchanged, he.Class, he.Error(), a.backoff(he))
		if a.run.refusedEnough(a.claim.Domain) {
			a.engine.hold(ctx, a.run, rotation.HeldWaiting,
				"the platform refuses the derived tokens (401): is the app's panel switched to OAuth, and was the secret that they are derived from the current one?")
		}
		return
	}
	a.failUnless(attemptsRefused, rotation.ItemExchanged, he.Class, "its derived token was refused: "+he.Error(), a.backoff(he))
}

// derivedAlive reports whether the platform has accepted a derived token of the
// run in its present phase.
func (e *Engine) derivedAlive(ctx context.Context, run *runState) (bool, error) {
	run.mu.Lock()
	known := run.acceptedIn == run.control.Phase
	run.mu.Unlock()
	if known {
		return true, nil
	}
	alive, err := e.store.AnyDerivedAlive(ctx, run.id)
	if alive {
		run.tokenAccepted()
	}
	return alive, err
}

// tokenAccepted notes that a derived token works in the present phase.
func (r *runState) tokenAccepted() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.acceptedIn, r.refusals = r.control.Phase, nil
}

// refusedEnough notes a shop whose derived token was refused and reports, once,
// that so many were that it must be believed.
func (r *runState) refusedEnough(shop string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refusals == nil {
		r.refusals = map[string]bool{}
	}
	r.refusals[shop] = true
	if len(r.refusals) < refusalsBelieved {
		return false
	}
	r.refusals = nil
	return true
}
