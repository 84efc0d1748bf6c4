package jobs

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// pin is a variant that was found and that the database may not know yet.
type pin struct {
	wire  haravan.Wire
	text  json.RawMessage
	found map[string]any
	saved bool
}

// probing reports whether the run's wire variant is still to be found.
func (r *runState) probing() bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.control.Settings.WireProbe && r.pinned == nil
}

// noteFound wakes those who wait for the variant. The caller has locked r.
func (r *runState) noteFound() {
	select {
	case <-r.found:
	default:
		close(r.found)
	}
}

// newProbe looks for the variant with what is known of it so far. Its hints are
// its caller's alone, who has the turn.
func (r *runState) newProbe() *haravan.Probe {
	first := haravan.DefaultWire()
	if w := r.wire(); w != nil {
		first = *w
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	return haravan.NewProbe(first, r.hints)
}

// wire is how the run spells its exchanges: as pinned, else as it was started.
func (r *runState) wire() *haravan.Wire {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.pinned != nil && r.control.Settings.WireProbe {
		return &r.pinned.wire
	}
	return r.configured
}

// exchangeOnce is the exchange of one shop spelled as given.
func (a *attempt) exchangeOnce(creds credentials, wire *haravan.Wire, got *haravan.Exchanged) func(context.Context) (haravan.Meta, error) {
	return func(ctx context.Context) (meta haravan.Meta, err error) {
		*got, err = a.run.platform().Exchange(ctx, haravan.ExchangeRequest{
			Shop: a.claim.Domain, ClientID: a.run.clientID(),
			Secret: creds.secret, RefreshToken: creds.refresh, AccessToken: a.claim.Current, Wire: wire,
		})
		return got.Meta, err
	}
}

// takeProbe waits for its turn to exchange while the variant is unknown: one
// shop at a time, of all workers. leave ends the turn. probe is false when the
// variant was found meanwhile; err tells why no call may be made.
func (a *attempt) takeProbe(ctx context.Context) (leave func(), probe bool, err error) {
	e, r := a.engine, a.run
	e.crew.aside()
	defer e.crew.back()
	tick := time.NewTicker(controlEvery)
	defer tick.Stop()
	for r.probing() {
		if err := e.mayCall(r, true, 0); err != nil {
			return nil, false, err
		}
		select {
		case r.probeTurn <- struct{}{}:
		case <-tick.C:
			continue
		case <-r.found:
			continue
		}
		r.probeHeld = true // also if the answer is lost
		mine, err := e.store.TakeProbe(ctx, r.id, e.id)
		if mine && r.probing() {
			return func() { e.leaveProbe(ctx, r) }, true, nil
		}
		r.probeHeld = mine || err != nil
		<-r.probeTurn
		if err != nil {
			e.quietly(ctx, "cannot take the wire probe", err)
		}
		select {
		case <-tick.C:
		case <-r.found:
		}
	}
	return func() {}, false, nil
}

// leaveProbe ends a turn.
func (e *Engine) leaveProbe(ctx context.Context, r *runState) {
	if err := e.store.LeaveProbe(ctx, r.id, e.id); err != nil {
		e.quietly(ctx, "cannot leave the wire probe yet; the other workers wait", err)
	} else {
		r.probeHeld = false
	}
	<-r.probeTurn
}

// leaveLostProbe leaves a probe that nobody here has the turn of: the database did
// not hear that it was left, or what it said to its taking was lost.
func (e *Engine) leaveLostProbe(ctx context.Context, r *runState) {
	select {
	case r.probeTurn <- struct{}{}:
	default:
		return
	}
	if r.probeHeld {
		e.leaveProbe(ctx, r)
	} else {
		<-r.probeTurn
	}
}

// search exchanges one shop under one documented spelling after the other until
// the platform takes one, which is then pinned for the run. It is an attempt
// like any other: the shop is claimed, and a token is stored and proven. leave
// ends its turn.
func (a *attempt) search(ctx context.Context, creds credentials, leave func()) (ended bool) {
	p := a.run.newProbe()
	lives := false
	for {
		wire, ok := p.Next()
		if !ok || p.Refused() {
			a.noSpelling(ctx, creds, p)
			return true
		}
		var got haravan.Exchanged
		call := a.exchangeOnce(creds, &wire, &got)
		var err error
		if p.Tried() == 1 {
			err = a.ladder(ctx, true, call)
		} else {
			err = a.call(ctx, true, call) // a failure that passes is no reason to stay with a guess
		}
		var he *haravan.Error
		switch {
		case err == nil:
			verdict := a.write(a.exchanged(creds, got))
			a.pin(ctx, wire, p)
			leave()
			if verdict != store.Written {
				return true
			}
			a.mintedAt = time.Now()
			return a.prove(ctx, got.AccessToken)
		case !errors.As(err, &he):
			a.notSent(err)
			return true
		}
		a.engine.log.Debug("a spelling of the exchange was not taken", "run", a.run.id, "wire", wire.String(), "answer", he.Error())
		switch p.Hear(wire, he) {
		case haravan.HeardShop:
			if lives {
				continue
			}
			if class, detail := a.judge(ctx, he, creds); class != rotation.ClassOurs {
				a.settleFailure(creds, he, class, detail)
				return true
			}
			lives = true
			p.ShopLives()
		case haravan.HeardRefusal, haravan.HeardNothing:
			a.exchangeFailed(ctx, creds, he)
			return true
		}
	}
}

// noSpelling ends a search that found none. Where the shop lives, what all
// shops share is refused, and trying the next would only say the same again.
func (a *attempt) noSpelling(ctx context.Context, creds credentials, p *haravan.Probe) {
	he := p.Telling()
	if he.Class == rotation.ClassWindow || he.Class.Retryable() {
		a.exchangeFailed(ctx, creds, he)
		return
	}
	class, detail := a.judge(ctx, he, creds)
	if class != rotation.ClassOurs {
		a.settleFailure(creds, he, class, detail)
		return
	}
	why := fmt.Sprintf("the first exchange was refused under %d documented spellings of the request, so it is its credentials: compare client id and new secret with the Partners dashboard. %s", p.Tried(), detail)
	if a.run.trip(rotation.Trip{Held: rotation.HeldWaiting, Class: rotation.ClassOurs, Why: why}) {
		a.engine.saveTrip(ctx, a.run)
	}
	a.fail(rotation.ItemRetrying, rotation.ClassOurs, detail, a.backoff(he))
}

// pin makes the variant that was taken the run's, here at once.
func (a *attempt) pin(ctx context.Context, wire haravan.Wire, p *haravan.Probe) {
	text, err := json.Marshal(wire)
	if err != nil {
		a.engine.log.Error("cannot encode the wire variant", "run", a.run.id, "error", err)
		return
	}
	a.run.mu.Lock()
	a.run.pinned = &pin{wire: wire, text: text, found: map[string]any{
		"wire": wire.String(), "shop": a.claim.Domain, "spellings_tried": p.Tried(),
	}}
	a.run.noteFound()
	a.run.mu.Unlock()
	a.engine.log.Info("wire variant pinned", "run", a.run.id, "wire", wire.String(), "shop", a.claim.Domain, "tried", p.Tried())
	a.engine.savePin(ctx, a.run)
}

// savePin tells the others of a variant that was found here. Should that fail,
// the supervisor tries again.
func (e *Engine) savePin(ctx context.Context, r *runState) {
	r.mu.Lock()
	p := r.pinned
	due := p != nil && !p.saved
	r.mu.Unlock()
	if !due {
		return
	}
	if err := e.store.PinWire(ctx, r.id, p.text, p.found); err != nil && !errors.Is(err, store.ErrConflict) {
		e.quietly(ctx, "cannot pin the wire variant yet; the other workers wait", err)
		return
	}
	r.mu.Lock()
	p.saved = true
	r.mu.Unlock()
}
