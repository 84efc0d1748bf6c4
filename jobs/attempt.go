package jobs

import (
	"context"
	"time"

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
