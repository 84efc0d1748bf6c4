package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/sethvargo/go-retry"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
)

// The short ladder: a few tries within a second, for faults that pass by
// themselves. Whatever takes longer leaves the batch and comes back as a job.
const (
	ladderBase    = 100 * time.Millisecond
	ladderRetries = 2
	// shopWaitMost is how long an attempt waits for a shop's own bucket.
	shopWaitMost = 500 * time.Millisecond
)

// ladder makes a call, again if it failed in a way that passes at once, and
// tells the pace and the shop's limiter about each. The error is a
// *haravan.Error of the last try, or why no call could be made at all.
func (a *attempt) ladder(ctx context.Context, exchange bool, call func(context.Context) (haravan.Meta, error)) error {
	if err := a.call(ctx, exchange, call); err != nil {
		return a.climb(ctx, exchange, call, err)
	}
	return nil
}

// climb is the rest of a ladder whose first try came to first.
func (a *attempt) climb(ctx context.Context, exchange bool, call func(context.Context) (haravan.Meta, error), first error) error {
	var last *haravan.Error
	acted, resting := false, false
	back := func() {
		if resting {
			resting = false
			a.engine.crew.back()
		}
	}
	defer back()
	err := retry.Do(ctx, a.cut(exchange, &resting), func(ctx context.Context) error {
		back()
		err := first
		if last != nil {
			err = a.call(ctx, exchange, call)
		}
		var he *haravan.Error
		if !errors.As(err, &he) {
			return err
		}
		// One try that may have made a token makes the whole ladder unknown,
		// whatever the tries after it said.
		if acted = acted || he.Acted; acted && !he.Acted {
			again := *he
			again.Acted = true
			he = &again
		}
		last = he
		// 429 means leave the shop alone, so it leaves the batch.
		if he.Class.Retryable() && he.Class != rotation.ClassRateLimited && he.RetryAfter == 0 {
			return retry.RetryableError(he)
		}
		return he
	})
	var he *haravan.Error
	if err != nil && !errors.As(err, &he) && last != nil {
		return last // a try was made; that the next may not be is no outcome
	}
	return err
}

// cut ends the ladder when the run is held, or when the window leaves no time
// for the pause and another call. The hand rests during a pause.
func (a *attempt) cut(exchange bool, resting *bool) retry.Backoff {
	var next retry.Backoff // few calls fail
	return retry.BackoffFunc(func() (time.Duration, bool) {
		if next == nil {
			next = retry.WithMaxRetries(ladderRetries, retry.WithJitterPercent(50, retry.NewExponential(ladderBase)))
		}
		pause, stop := next.Next()
		if stop || a.engine.mayCall(a.run, exchange, pause) != nil {
			return 0, true
		}
		*resting = true
		a.engine.crew.aside()
		return pause, false
	})
}

// call makes one call under the pace, the run's rate and the shop's limiter.
func (a *attempt) call(ctx context.Context, exchange bool, call func(context.Context) (haravan.Meta, error)) error {
	e, bucket, headroom := a.engine, a.bucket(), a.run.view().Settings.HeadroomPercent()
	if wait := e.shops.Wait(bucket, headroom); wait > 0 {
		e.waits.shop.add(wait)
		if wait > shopWaitMost {
			return a.crowded(wait)
		}
		e.crew.aside()
		time.Sleep(wait)
		e.crew.back()
	}
	if err := a.place(ctx, exchange); err != nil {
		return err
	}
	defer a.run.calls.Leave()
	// Asked last: waiting for a place may have taken a while.
	if err := e.mayCall(a.run, exchange, 0); err != nil {
		e.pace.Return()
		return err
	}
	if a.late(exchange) {
		e.pace.Return()
		return errLate
	}
	if exchange && (!e.storing() || e.flusher.doubts.about(a.run.id)) {
		e.pace.Return()
		return errStoring
	}
	// Given back, it is skipped by its next claim, which reads why.
	if exchange && !a.claim.Acted && a.run.excludes(a.claim.ShopID) {
		e.pace.Return()
		return errExcluded
	}
	if quiet := e.shops.Quiet(bucket); quiet > 0 {
		e.pace.Return()
		return a.crowded(quiet)
	}
	begin := time.Now()
	answered := false
	defer func() {
		if !answered { // a panic, which costs the shop an attempt and nobody a place
			e.pace.Return()
		}
	}()
	meta, err := call(ctx)
	answered = true
	var class rotation.Class
	var asked time.Duration
	var he *haravan.Error
	if errors.As(err, &he) {
		class, meta, asked = he.Class, he.Meta, he.RetryAfter
	}
	if until := time.Now().Add(asked); asked > 0 && until.After(a.quietUntil) {
		a.quietUntil = until
	}
	e.pace.Release(class, time.Since(begin))
	e.shops.Learn(bucket, headroom, meta, class == rotation.ClassRateLimited, asked)
	return err
}

// place waits for the run's rate and then for a place among the calls in flight,
// the run's own and those of all.
func (a *attempt) place(ctx context.Context, exchange bool) error {
	e := a.engine
	if err := a.turn(exchange); err != nil {
		return err
	}
	defer a.run.rate.Begun()
	a.inRun(exchange)
	if e.pace.Free() {
		return nil
	}
	// The limit is lower than the hands are many: then all wait in its own order.
	e.crew.aside()
	defer e.crew.back()
	defer e.waits.place.since(time.Now())
	err := e.pace.Acquire(ctx, exchange, a.at())
	if err != nil {
		a.run.calls.Leave()
	}
	return err
}

// inRun waits for a place among the run's calls in flight.
func (a *attempt) inRun(exchange bool) {
	e := a.engine
	if a.run.calls.Free() {
		return
	}
	e.crew.aside()
	defer e.crew.back()
	defer e.waits.place.since(time.Now())
	a.run.calls.Wait(exchange, a.at())
}

// may tells why the call cannot be made any more, nil if it can.
func (a *attempt) may(exchange bool) error {
	if a.late(exchange) {
		return errLate
	}
	return a.engine.mayCall(a.run, exchange, 0)
}

// storable waits for the database while it takes no writes, or maybe none of the
// run: a token that is made then exists nowhere else. waited tells that others should
// have their turn first.
func (a *attempt) storable() (waited bool, err error) {
	for ; ; waited = true {
		storing := a.engine.storing()
		if storing && !a.engine.flusher.doubts.about(a.run.id) {
			return waited, nil
		}
		if err := a.may(true); err != nil {
			return waited, err
		}
		if !storing {
			time.Sleep(controlEvery) // the hand stays: whatever it could do wants to be written
			continue
		}
		a.engine.crew.aside()
		time.Sleep(roomLook)
		a.engine.crew.back()
	}
}

// turn waits for the run's rate.
func (a *attempt) turn(exchange bool) error {
	if a.run.rate.Free() {
		return nil
	}
	a.engine.crew.aside()
	defer a.engine.crew.back()
	return a.run.rate.Wait(exchange, a.at(), func() error { return a.may(exchange) })
}

// late reports whether an exchange may not begin any more.
func (a *attempt) late(exchange bool) bool {
	return exchange && !a.until.IsZero() && time.Now().After(a.until)
}

func (a *attempt) at() place { return place{a.run.id, a.claim.Position} }

func (a *attempt) bucket() bucket { return bucket{a.run.appID, a.claim.Domain} }

// crowded is the outcome of a call that was not made, to leave the shop alone.
func (a *attempt) crowded(wait time.Duration) error {
	return &haravan.Error{
		Op: "wait", Shop: a.claim.Domain, Class: rotation.ClassRateLimited, RetryAfter: wait,
		Detail: "its bucket is full of other calls or it asked to be left alone",
	}
}
