package jobs

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// prove reads the identity behind the new token and makes it the current one.
func (a *attempt) prove(ctx context.Context, token secret.String) (ended bool) {
	took, err := a.identity(ctx, token)
	proof := store.Outcome{
		State: rotation.ItemProven, New: token, Old: a.claim.Current,
		// The run's new secret may be another by now than the one that minted it.
		SecretID:    cmp.Or(a.secretID, a.claim.NewSecretID, a.run.view().NewSecretID),
		ExchangedAt: a.mintedAt,
	}
	if a.claim.SecretID != a.run.view().OldSecretID {
		proof.OldSecretID = a.claim.SecretID
	}
	if a.latency > 0 {
		proof.Latency = a.latency + took // both calls of one attempt
	}
	if lacksScope(err) {
		proof.Class, proof.Detail, err = rotation.ClassScope, saysScope, nil
	}
	if err != nil {
		a.proofFailed(err, rotation.ItemExchanged)
		return true
	}
	a.submit(proof, func(v store.Verdict) {
		if step, failed := a.notStored(rotation.ItemProven, v); failed {
			a.queue(a.engine.crew.prove, step)
			return
		}
		if v == store.Written {
			a.engine.proven.Add(1)
		}
		a.ended()
	})
	return false
}

// proveInPlace reads the identity behind a token that is of the new secret
// already; a dead one is exchanged again.
func (a *attempt) proveInPlace(ctx context.Context) (ended bool) {
	_, err := a.identity(ctx, a.claim.Current)
	var he *haravan.Error
	switch {
	case err == nil, lacksScope(err):
		if a.write(store.Outcome{State: rotation.ItemProven}) == store.Written {
			a.engine.proven.Add(1)
		}
	case errors.As(err, &he) && he.Class == rotation.ClassUnauthorized:
		if a.run.mayCall(true, a.engine.pace.P99()) == errWindow {
			// The run is held for it, and comes back with another refresh token.
			a.fail(rotation.ItemRetrying, he.Class, "its token is of the new secret, but dead: "+he.Error(), a.backoff(he))
			break
		}
		return a.exchange(ctx)
	default:
		a.proofFailed(err, rotation.ItemRetrying) // nothing was exchanged
	}
	return true
}

// identity reads the identity behind a token; took is the last try's latency.
func (a *attempt) identity(ctx context.Context, token secret.String) (took time.Duration, err error) {
	err = a.ladder(ctx, false, func(ctx context.Context) (haravan.Meta, error) {
		id, err := a.run.platform().Identity(ctx, a.claim.Domain, token)
		took = id.Meta.Latency
		return id.Meta, err
	})
	return took, err
}

// proofFailed leaves the token where it is (state) if proving can still work
// out, and otherwise says why not.
func (a *attempt) proofFailed(err error, state rotation.ItemState) {
	var he *haravan.Error
	if !errors.As(err, &he) {
		if state == rotation.ItemExchanged {
			a.fail(state, "", "", 0) // the token is stored; only its proof is due
		} else {
			a.notSent(err)
		}
		return
	}
	a.observe(he.Class, he.Error(), 0)
	switch {
	case he.Class.Retryable():
		a.failUnless(attemptsRateLimited, state, he.Class, he.Error(), a.backoff(he))
	case he.Class == rotation.ClassUnauthorized:
		a.failUnless(attemptsNetwork, rotation.ItemRetrying, he.Class, "the new token was refused: "+he.Error(), a.backoff(he))
	default:
		// A token was minted for this shop: it is kept until a person decides.
		a.fail(rotation.ItemParked, he.Class, he.Error(), 0)
	}
}

// lacksScope reports whether the platform knows the token and only refuses what
// it was used for.
func lacksScope(err error) bool {
	var he *haravan.Error
	return errors.As(err, &he) && he.Class == rotation.ClassScope
}
