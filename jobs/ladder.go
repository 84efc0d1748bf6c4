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
	var last *haravan.Error
	acted := false
	err := retry.Do(ctx, a.cut(exchange), func(ctx context.Context) error {
		err := a.call(ctx, exchange, call)
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
// for the pause and another call.
func (a *attempt) cut(exchange bool) retry.Backoff {
	var next retry.Backoff // few calls fail
	return retry.BackoffFunc(func() (time.Duration, bool) {
		if next == nil {
			next = retry.WithMaxRetries(ladderRetries, retry.WithJitterPercent(50, retry.NewExponential(ladderBase)))
		}
		pause, stop := next.Next()
		if stop || a.engine.mayCall(a.run, exchange, pause) != nil {
			return 0, true
		}
		return pause, false
	})
}

// call makes one call under the pace and the shop's limiter.
func (a *attempt) call(ctx context.Context, exchange bool, call func(context.Context) (haravan.Meta, error)) error {
	if wait := a.engine.shops.Wait(a.claim.Domain); wait > shopWaitMost {
		return a.crowded(wait)
	} else if wait > 0 {
		time.Sleep(wait)
	}
	if err := a.engine.pace.Acquire(ctx); err != nil {
		return err
	}
	// Asked last: waiting for a place may have taken a while.
	if err := a.engine.mayCall(a.run, exchange, 0); err != nil {
		a.engine.pace.Return()
		return err
	}
	if quiet := a.engine.shops.Quiet(a.claim.Domain); quiet > 0 {
		a.engine.pace.Return()
		return a.crowded(quiet)
	}
	begin := time.Now()
	meta, err := call(ctx)
	var class rotation.Class
	var asked time.Duration
	var he *haravan.Error
	if errors.As(err, &he) {
		class, meta, asked = he.Class, he.Meta, he.RetryAfter
	}
	a.engine.pace.Release(class, time.Since(begin))
	a.engine.shops.Learn(a.claim.Domain, meta, class == rotation.ClassRateLimited, asked)
	return err
}

// crowded is the outcome of a call that was not made, to leave the shop alone.
func (a *attempt) crowded(wait time.Duration) error {
	return &haravan.Error{
		Op: "wait", Shop: a.claim.Domain, Class: rotation.ClassRateLimited, RetryAfter: wait,
		Detail: "its bucket is full of other calls or it asked to be left alone",
	}
}

// mayCall tells why no call of the run may begin, after a pause; nil if it may.
func (e *Engine) mayCall(r *runState, exchange bool, pause time.Duration) error {
	switch {
	case e.draining.Load():
		return errDraining
	case !e.leased():
		return errLease
	}
	return r.mayCall(exchange, e.pace.P99()+pause)
}

// mayCallNow is mayCall for the beginning of a job: a no is believed only after
// another look at the database, because the job may have been sent by a change
// that this process has not seen yet. err is that of the look: the job failed
// and is to be tried again, which is not the same as a no.
func (e *Engine) mayCallNow(ctx context.Context, r *runState, exchange bool) (stopped, err error) {
	if e.mayCall(r, exchange, 0) == nil {
		return nil, nil
	}
	if err := e.refreshControls(ctx); err != nil {
		return nil, err
	}
	return e.mayCall(r, exchange, 0), nil
}
