package jobs

import (
	"context"
	"time"

	"github.com/sethvargo/go-retry"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// How many attempts a shop gets before a human must look. A full bucket is the
// platform's way of saying "later", so it gets more.
const (
	attemptsNetwork     = 8
	attemptsRateLimited = 20
)

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

func (a *attempt) failUnless(most int, state rotation.ItemState, class rotation.Class, detail string, delay time.Duration) {
	if a.claim.Tries >= most {
		state, delay = rotation.ItemParked, 0
	}
	a.fail(state, class, detail, delay)
}

func (a *attempt) fail(state rotation.ItemState, class rotation.Class, detail string, delay time.Duration) {
	a.write(store.Outcome{State: state, Class: class, Detail: detail, Delay: delay, Latency: a.latency})
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
