package jobs

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// exchange gets the new token, commits it, and goes on to prove it.
func (a *attempt) exchange(ctx context.Context) (ended bool) {
	creds, err := a.run.credentials(ctx, a.engine.store)
	if err != nil {
		a.engine.log.Error("cannot unseal the credentials of a run", "run", a.run.id, "error", err)
		a.fail(rotation.ItemRetrying, rotation.ClassOurs, "the keyring does not open the run's credentials", 10*time.Second)
		return true
	}
	if waited, err := a.storable(); err != nil {
		a.notSent(err)
		return true
	} else if waited {
		a.queue(a.engine.crew.exchange, a.exchange)
		return false
	}
	if a.run.probing() {
		leave, probe, err := a.takeProbe(ctx)
		if err != nil {
			a.notSent(err)
			return true
		}
		if probe {
			leave = sync.OnceFunc(leave)
			defer leave()
			return a.search(ctx, creds, leave)
		}
	}
	var got haravan.Exchanged
	switch err := a.ladder(ctx, true, a.exchangeOnce(creds, a.run.wire(), &got)); {
	case errors.Is(err, errStoring): // while it waited for its place
		a.queue(a.engine.crew.exchange, a.exchange)
		return false
	case err != nil:
		a.exchangeFailed(ctx, creds, err)
		return true
	}
	a.submit(a.exchanged(creds, got), func(v store.Verdict) {
		if step, failed := a.notStored(rotation.ItemExchanged, v); failed {
			a.queue(a.engine.crew.prove, step)
			return
		}
		if v != store.Written {
			a.ended()
			return
		}
		a.mintedAt = time.Now()
		a.queue(a.engine.crew.prove, func(ctx context.Context) bool { return a.prove(ctx, got.AccessToken) })
	})
	return false
}

// exchanged is the outcome of an exchange that made a token.
func (a *attempt) exchanged(creds credentials, got haravan.Exchanged) store.Outcome {
	a.observe("", "", 0)
	a.run.accept(creds)
	a.secretID = creds.secretID
	a.latency = got.Meta.Latency
	return store.Outcome{State: rotation.ItemExchanged, New: got.AccessToken, SecretID: a.secretID, Latency: a.latency}
}

func (a *attempt) exchangeFailed(ctx context.Context, creds credentials, err error) {
	var he *haravan.Error
	if !errors.As(err, &he) {
		a.notSent(err)
		return
	}
	class, detail := he.Class, he.Error()
	if refusesShop(class) {
		class, detail = a.judge(ctx, he, creds)
	}
	a.settleFailure(creds, he, class, detail)
}

// settleFailure leaves the outcome of an exchange that failed, judged as class.
func (a *attempt) settleFailure(creds credentials, he *haravan.Error, class rotation.Class, detail string) {
	a.observe(class, detail, creds.refreshID)
	switch {
	case he.Acted:
		a.failUnless(attemptsNetwork, rotation.ItemUnknown, class, detail, a.backoff(he))
	case class == rotation.ClassRateLimited:
		a.failUnless(attemptsRateLimited, rotation.ItemRetrying, class, detail, a.backoff(he))
	case class.Retryable():
		a.failUnless(attemptsNetwork, rotation.ItemRetrying, class, detail, a.backoff(he))
	case class.StopsRun():
		// Not the shop's fault: it waits for the run to be put right. Where
		// others succeed it is, and a human must look.
		a.failUnless(attemptsNetwork, rotation.ItemRetrying, class, detail, a.backoff(he))
	case class.ShopIsGone():
		a.fail(rotation.ItemSkipped, class, detail, 0)
	default:
		a.fail(rotation.ItemParked, class, detail, 0)
	}
}

// refusesShop reports whether the class could be the shop's own fate as well as
// a wrong path or a refused credential that all shops share.
func refusesShop(c rotation.Class) bool {
	return c == rotation.ClassUnauthorized || c == rotation.ClassScope || c.ShopIsGone()
}

// judge tells whose fault a refused exchange is.
func (a *attempt) judge(ctx context.Context, refusal *haravan.Error, creds credentials) (rotation.Class, string) {
	if c := a.run.view(); rotation.Contained(c.Mode, c.Phase) {
		return a.judgeContained(ctx, refusal, creds)
	}
	return a.judgeRefusal(ctx, refusal)
}

// judgeRefusal asks the shop itself, with its current token, whose fault a
// refused exchange is. A shop that answers is alive: then it is ours.
func (a *attempt) judgeRefusal(ctx context.Context, refusal *haravan.Error) (rotation.Class, string) {
	err := a.ladder(ctx, false, func(ctx context.Context) (haravan.Meta, error) {
		id, err := a.run.platform().Identity(ctx, a.claim.Domain, a.claim.Current)
		return id.Meta, err
	})
	if err == nil {
		return rotation.ClassOurs, "the shop lives under its old token, but the exchange was refused: " + refusal.Error()
	}
	var he *haravan.Error
	if !errors.As(err, &he) || he.Class.Retryable() {
		return rotation.ClassNetwork, "the exchange was refused, and the shop could not be asked why: " + refusal.Error()
	}
	if refusal.Class.ShopIsGone() {
		return refusal.Class, refusal.Error()
	}
	if he.Class == rotation.ClassUnauthorized {
		// Dead before, or killed by an exchange whose answer was lost, or an
		// outage that answers 401: a person can tell.
		return he.Class, "neither the exchange nor its stored token is accepted: " + he.Error()
	}
	return he.Class, he.Error()
}
