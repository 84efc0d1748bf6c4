package jobs

import (
	"cmp"
	"context"
	"errors"
	"sync"
	"time"

	"github.com/sethvargo/go-retry"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// attempt carries one claimed shop as far as it gets: exchange, commit, prove,
// commit with the swap. Whatever happens, it leaves an outcome.
//
// Its steps are worked by the crew's hands. A step returns whether the attempt
// has ended; if not, another follows when what was written is committed.
type attempt struct {
	engine *Engine
	run    *runState
	claim  store.Claim
	// ended is called once, at the attempt's end.
	ended func()
	// until is the last moment for an exchange to begin: after it the claim may
	// be another's. Zero is for ever.
	until time.Time
	// latency is the exchange's, whose token was committed at mintedAt and minted
	// under secretID, 0 before one.
	latency  time.Duration
	mintedAt time.Time
	secretID int64
	// quietUntil is the end of the longest pause that an answer asked for.
	quietUntil time.Time
}

// begin has the crew work the attempt.
func (a *attempt) begin() {
	if a.claim.New.IsZero() {
		a.run.begun.Add(1)
		a.queue(a.engine.crew.exchange, func(ctx context.Context) bool {
			a.run.begun.Add(-1)
			return a.first(ctx)
		})
	} else {
		a.queue(a.engine.crew.prove, a.first)
	}
}

// queue has a step done in its turn. It is not cancelled: a call's answer is
// always read and committed, because it may be a token.
func (a *attempt) queue(to func(place, func()), step func(context.Context) (ended bool)) {
	since := time.Now()
	to(a.at(), func() {
		a.engine.waits.place.since(since)
		if a.guard(step) {
			a.ended()
		}
	})
}

// guard does a step; if that panics, the shop is tried again a few times and then
// set aside: it must not take down one worker after the other.
func (a *attempt) guard(step func(context.Context) (ended bool)) (ended bool) {
	defer func() {
		if p := recover(); p != nil {
			a.engine.logFault(p, "run", a.run.id, "shop", a.claim.Domain)
			state := rotation.ItemUnknown
			if a.holdsToken() {
				state = rotation.ItemExchanged
			}
			a.failUnless(attemptsNetwork, state, rotation.ClassOurs, "a fault in rotator: see the worker's log", 10*time.Second)
			ended = true
		}
	}()
	return step(context.Background())
}

// holdsToken reports whether a token is stored for the shop that is not proven
// yet. It may be the only one that works.
func (a *attempt) holdsToken() bool { return !a.claim.New.IsZero() || !a.mintedAt.IsZero() }

func (a *attempt) first(ctx context.Context) (ended bool) {
	c := a.claim
	if c.IgnoreCooldown {
		a.engine.shops.Forget(a.bucket())
	}
	switch {
	case a.run.view().Kind == rotation.KindTokenMigration:
		a.migrate(ctx)
	case c.Broken != "":
		a.fail(rotation.ItemParked, rotation.ClassOurs, c.Broken, 0)
	case c.Excluded != "" && c.New.IsZero() && !c.Acted:
		a.write(store.Outcome{State: rotation.ItemSkipped, Detail: "excluded: " + c.Excluded})
	case c.Current.IsZero() && c.New.IsZero():
		a.write(store.Outcome{State: rotation.ItemSkipped, Detail: "no access token is stored"})
	case !c.New.IsZero():
		return a.prove(ctx, c.New)
	case c.SecretID == a.run.view().NewSecretID:
		return a.proveInPlace(ctx)
	default:
		return a.exchange(ctx)
	}
	return true
}

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

// prove reads the identity behind the new token and makes it the current one.
func (a *attempt) prove(ctx context.Context, token secret.String) (ended bool) {
	took, err := a.identity(ctx, token)
	proof := store.Outcome{
		State: rotation.ItemProven, New: token, Old: a.claim.Current,
		// The run's new secret may be another by now than the one that minted it.
		SecretID:    cmp.Or(a.secretID, a.claim.NewSecretID, a.run.view().NewSecretID),
		ExchangedAt: a.mintedAt,
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

// notSent puts the item back: nothing was asked of the platform. What was
// claimed with its batch goes back when that is left.
func (a *attempt) notSent(err error) {
	if a.claim.Was == rotation.ItemPending {
		return
	}
	o := store.Outcome{State: rotation.ItemRetrying, Delay: time.Second, Detail: err.Error(), Unsent: true}
	switch a.claim.Was {
	case rotation.ItemUnknown, rotation.ItemExchanged:
		o.State = a.claim.Was
	}
	a.write(o)
}

// How many attempts a shop gets before a human must look. A full bucket is the
// platform's way of saying "later", so it gets more.
const (
	attemptsNetwork     = 8
	attemptsRateLimited = 20
)

func (a *attempt) failUnless(most int, state rotation.ItemState, class rotation.Class, detail string, delay time.Duration) {
	if a.claim.Tries >= most {
		state, delay = rotation.ItemParked, 0
	}
	a.fail(state, class, detail, delay)
}

func (a *attempt) fail(state rotation.ItemState, class rotation.Class, detail string, delay time.Duration) {
	a.write(store.Outcome{State: state, Class: class, Detail: detail, Delay: delay, Latency: a.latency})
}

// submit has an outcome committed; then may not wait.
func (a *attempt) submit(o store.Outcome, then func(store.Verdict)) {
	o.Claim = a.claim
	o.Asked = max(0, time.Until(a.quietUntil))
	since := time.Now()
	a.engine.flusher.Submit(o, func(v store.Verdict) {
		a.engine.waits.commit.since(since)
		then(v)
	})
}

// write is submit for a step that has to know at once.
func (a *attempt) write(o store.Outcome) (v store.Verdict) {
	written := make(chan struct{})
	a.submit(o, func(became store.Verdict) {
		v = became
		close(written)
	})
	a.engine.crew.aside()
	defer a.engine.crew.back()
	<-written
	if step, failed := a.notStored(o.State, v); failed {
		step(context.Background())
	}
	return v
}

// backoff is how long the shop is left alone: what it asked for at least, more
// with every attempt that failed.
func (a *attempt) backoff(he *haravan.Error) time.Duration {
	// Its bucket must leak to the app's headroom besides: no use to come earlier.
	asked := max(he.RetryAfter, a.engine.shops.Left(a.bucket(), a.run.view().Settings.HeadroomPercent()))
	grown := a.run.inWindow(time.Duration(1<<min(max(a.claim.Tries-1, 0), 5)) * leastPause)
	b := retry.WithJitterPercent(20, retry.NewConstant(max(asked+100*time.Millisecond, grown)))
	d, _ := b.Next()
	return max(d, asked)
}

// why is what the store says of the shop's item.
func (a *attempt) why(ctx context.Context) string {
	item, err := a.engine.store.Item(ctx, a.claim.RunID, a.claim.Domain)
	if err != nil {
		return "the outcome could not be stored"
	}
	return item.Detail
}

// onlyRefused reports whether the shop is refused for what all shops share, again,
// and there is no other to be told by: the run has made no token yet (a canary of
// one shop, a fleet of one), or it is a refresh token's refusal, which can die at
// any time, and the shop is the last. Not knowing means no, and it is tried again.
func (a *attempt) onlyRefused(class rotation.Class) bool {
	if !class.StopsRun() || !a.run.refusedLast(a.claim.Domain) {
		return false
	}
	ctx := context.Background()
	made, err := a.engine.store.Minted(ctx, a.run.id)
	if err != nil || !made {
		return err == nil
	}
	if class != rotation.ClassWindow {
		return false
	}
	last, err := a.engine.store.OnlyOpen(ctx, a.run.id, a.claim.Position)
	return err == nil && last
}

// observe feeds the run's breaker; a trip holds the run for every worker. A
// refusal of a refresh token that was replaced meanwhile says nothing.
func (a *attempt) observe(class rotation.Class, detail string, refreshID int64) {
	if class == rotation.ClassWindow && refreshID != a.run.view().RefreshTokenID {
		return
	}
	if a.run.observe(class, a.claim.Domain, detail, refreshID, refreshID != 0 && a.onlyRefused(class)) {
		a.engine.saveTrip(context.Background(), a.run)
	}
}
