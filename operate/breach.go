package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// BreachOptions go with the start of a breach run.
type BreachOptions struct {
	// Confirmed is the app's name, typed by whoever has seen Outage.
	Confirmed string
	// Outage is what the run is expected to cost; it is kept with the run.
	Outage rotation.Outage
}

// mayBreach refuses a breach run that nobody has confirmed.
func mayBreach(app store.App, leaked store.Secret, o BreachOptions) error {
	if o.Confirmed == app.Name {
		return nil
	}
	return &Refused{What: "start --breach", Why: fmt.Sprintf(
		"the run begins with the revoke of secret version %d, which kills every token that was made with it: %s; repeat the app's name with --confirm %s",
		leaked.Version, o.Outage.Words(), app.Name)}
}

// BreachReader is what the outage of a breach is reckoned from.
type BreachReader interface {
	Reader
	Tiers(ctx context.Context, appID int64) ([]rotation.Tier, error)
	LastLatency(ctx context.Context, appID int64) (time.Duration, error)
}

// unmeasured is reckoned with when nothing was ever measured: slower than the
// platform usually is.
const unmeasured = 500 * time.Millisecond

// BreachLatency is the latency of a call to reckon with, and where it comes from.
// A fleet whose tokens are dead, by run's own revoke or otherwise, cannot be
// asked: then what was measured last counts. run is the app's newest, zero for
// none; o.Sample and o.Latency are as for MakePlan.
func BreachLatency(ctx context.Context, r BreachReader, client Identifier, app store.App, run store.Run, o PlanOptions) (time.Duration, string, error) {
	if o.Latency > 0 {
		return o.Latency, "assumed", nil
	}
	why := "the old secret is revoked, so no token of it answers"
	if !run.Open() || !rotation.Contained(run.Mode, run.Phase) {
		p := Plan{Sampled: map[string]int{}}
		latencies, err := p.sample(ctx, r, client, app, o.Sample)
		if err != nil {
			return 0, "", err
		}
		if median := percentile(latencies, 50); median > 0 {
			return median, fmt.Sprintf("measured on %d of %s", len(latencies), rotation.Plural(total(p.Sampled), "shop")), nil
		}
		why = "no stored token answers"
		if asked := classesOf(p.Sampled); asked != "" {
			why += " (" + asked + ")"
		}
	}
	last, err := r.LastLatency(ctx, app.ID)
	if err != nil {
		return 0, "", err
	}
	if last > 0 {
		return last, "not to be measured, " + why + ": taken from the exchanges that were measured last", nil
	}
	if was := run.Settings.Outage; was != nil && was.LatencyMS > 0 {
		return time.Duration(was.LatencyMS * float64(time.Millisecond)), "not to be measured, " + why + ": taken from the run's start", nil
	}
	return unmeasured, "not to be measured, " + why + ", and nothing was measured before: give --assume-latency", nil
}

// MustFinish says why a run is past being cancelled.
func MustFinish(s rotation.Snapshot) string {
	if !s.Contained() || !s.Phase.Before(rotation.PhaseRevoked) {
		return "the old secret is revoked: the run can only be finished"
	}
	return fmt.Sprintf("the old secret is revoked: %s without a working token and would stay so; the run can only be finished", rotation.Counted(s.Down, "shop", "is", "are"))
}

// callsEnd is when, from the moment that a run is held, every call of a worker
// that lives is answered or given up, and what came of it is stored.
const callsEnd = haravan.DefaultTimeout + 5*time.Second

// UseSecret gives a breach run the app's pending secret in the place of the one
// that it was started with, which was entered wrongly: such a run cannot be
// cancelled for another. It waits for calls that are still under way, and tells
// waiting for how long at most: one of them may show that the secret is right.
func (o Operator) UseSecret(ctx context.Context, runID int64, confirmed string, waiting func(most time.Duration)) error {
	return o.useSecret(ctx, runID, confirmed, (*store.Tx).UseSecret, waiting)
}

// ReplaceLostSecret is UseSecret in the place of a secret that was right, and has
// leaked or died at the platform since: the tokens that were made with it count as
// dead, and every shop is exchanged again.
func (o Operator) ReplaceLostSecret(ctx context.Context, runID int64, confirmed string, waiting func(most time.Duration)) error {
	return o.useSecret(ctx, runID, confirmed, (*store.Tx).ReplaceLostSecret, waiting)
}

// replace gives the run the pending secret, in a transaction.
type replace func(t *store.Tx, ctx context.Context, actor string, r store.Run) error

func (o Operator) useSecret(ctx context.Context, runID int64, confirmed string, how replace, waiting func(most time.Duration)) error {
	left, err := o.tryUseSecret(ctx, runID, confirmed, how)
	if left > 0 {
		waiting(left)
	}
	for left > 0 && err == nil {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(callsLook):
		}
		if left, err = o.Store.CallsUnderWay(ctx, runID, callsEnd); left == 0 && err == nil {
			left, err = o.tryUseSecret(ctx, runID, confirmed, how)
		}
	}
	return err
}

// callsLook is how often it is looked whether calls are still under way.
const callsLook = 100 * time.Millisecond

var errUnderWay = errors.New("calls are under way")

// tryUseSecret is UseSecret, or changes nothing while calls are under way, which
// last for no longer than left.
func (o Operator) tryUseSecret(ctx context.Context, runID int64, confirmed string, how replace) (left time.Duration, err error) {
	const what = "use-secret"
	err = o.onOpen(ctx, runID, what, func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		switch {
		case !snap.Contained() && TooLateToCancel(snap) != "":
			return refuse(what, "the run is not of a leaked secret, and its old one is revoked: it can only be finished", snap)
		case !snap.Contained():
			return refuse(what, "the run can still be cancelled: do that, discard the wrong secret, enter the right one and start again", snap)
		case !run.Phase.Before(rotation.PhaseProven):
			return refuse(what, fmt.Sprintf("the run is in phase %s: shops were exchanged with its new secret. If that has leaked or is dead, finish the run, waiving shops that broke, enter another with `rotator secret add`, then `rotator rotation start --breach`", run.Phase), snap)
		case run.Phase == rotation.PhaseExchanging && run.Held == rotation.HeldNot:
			return refuse(what, "shops are being exchanged: pause the run first", snap)
		case confirmed != snap.App:
			return refuse(what, fmt.Sprintf("the run's new secret is given up for good; repeat the app's name with --confirm %s", snap.App), snap)
		}
		// Looked at first: what is not under way now has stored what it minted.
		under, err := tx.CallsUnderWay(ctx, run.ID, callsEnd)
		if err != nil {
			return err
		}
		err = how(tx, ctx, o.Actor, run)
		switch {
		case errors.Is(err, store.ErrNotFound):
			return refuse(what, "no other secret is stored: enter the right one with `rotator secret add`", snap)
		case errors.Is(err, store.ErrMinted):
			return refuse(what, fmt.Sprintf("the platform made tokens with the new secret, version %d, so it is right; if it has leaked or was revoked since, say so with --lost: what was made with it counts as dead, and every shop is exchanged again", snap.NewSecret), snap)
		case errors.Is(err, store.ErrConflict):
			return refuseConflict(what, err, snap)
		case err == nil && under > 0:
			left = under
			return errUnderWay
		}
		return err
	})
	if errors.Is(err, errUnderWay) {
		return left, nil
	}
	return 0, err
}
