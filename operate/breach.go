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
			return median, fmt.Sprintf("measured on %d of %d shops", len(latencies), total(p.Sampled)), nil
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

// StillAnswer counts how many of a few shops still answer under the token that
// the revoke was to kill.
func StillAnswer(ctx context.Context, s *store.Store, client Identifier, run store.Run, n int) (alive, asked int, err error) {
	p := Plan{Sampled: map[string]int{}}
	tokens, err := s.SampleBut(ctx, run.AppID, run.NewSecretID, n)
	if err != nil {
		return 0, 0, err
	}
	if _, err := p.ask(ctx, client, tokens); err != nil {
		return 0, 0, err
	}
	return p.Sampled["alive"] + p.Sampled[string(rotation.ClassScope)], total(p.Sampled), nil
}

// Few and many shops are asked whether the tokens of a run live: a few of which
// none does may have left by themselves.
const newAskedFew, newAskedMany = 5, 25

// NewTokens is what some shops answered under the tokens that a run gave them, and
// under those that it replaced.
type NewTokens struct {
	// Alive and Refused count those that answered clearly under their new token,
	// FormerAlive those that accept the one before, asked only where no new one lives.
	Alive, Refused, FormerAlive int
}

// Dead reports that no new token lives, and that this is not the shops' doing.
func (n NewTokens) Dead() bool { return n.Alive == 0 && n.Refused > 0 && n.FormerAlive > 0 }

// AskNew asks some shops under their new tokens, before the old ones may die.
func AskNew(ctx context.Context, s *store.Store, client Identifier, run store.Run) (seen NewTokens, err error) {
	for _, n := range []int{newAskedFew, newAskedMany} {
		tokens, err := s.SampleOf(ctx, run.AppID, run.NewSecretID, n)
		if err != nil {
			return seen, err
		}
		if seen.Alive, seen.Refused, err = living(ctx, client, tokens); err != nil {
			return seen, err
		}
		if seen.Alive > 0 || seen.Refused == 0 || len(tokens) < n {
			break
		}
	}
	if seen.Alive > 0 || seen.Refused == 0 {
		return seen, nil
	}
	former, err := s.SampleFormer(ctx, run.ID, newAskedMany)
	if err != nil {
		return seen, err
	}
	seen.FormerAlive, _, err = living(ctx, client, former)
	return seen, err
}

// Answers counts what some shops answered clearly under one kind of token.
type Answers struct{ Alive, Refused int }

// Both is what some shops answered under tokens of the app's active secret, under
// others that shops have, and under those that cancelled runs replaced by tokens of
// the active one.
type Both struct{ Active, Others, Former Answers }

// BeforeLives reports whether any token lives that is not of the active secret.
func (b Both) BeforeLives() bool { return b.Others.Alive+b.Former.Alive > 0 }

// BeforeDead reports that some were asked, and none lives.
func (b Both) BeforeDead() bool { return !b.BeforeLives() && b.Others.Refused+b.Former.Refused > 0 }

// AskBoth asks some shops under each kind of token.
func AskBoth(ctx context.Context, s *store.Store, client Identifier, app store.App) (seen Both, err error) {
	secrets, err := s.Secrets(ctx, app.ID)
	if err != nil {
		return seen, err
	}
	for _, v := range secrets {
		if v.State != store.SecretActive {
			continue
		}
		for _, kind := range []struct {
			to     *Answers
			sample func() ([]store.Token, error)
		}{
			{&seen.Active, func() ([]store.Token, error) { return s.SampleOf(ctx, app.ID, v.ID, newAskedFew) }},
			{&seen.Others, func() ([]store.Token, error) { return s.SampleBut(ctx, app.ID, v.ID, newAskedFew) }},
			{&seen.Former, func() ([]store.Token, error) { return formerOf(ctx, s, app, v) }},
		} {
			tokens, err := kind.sample()
			if err != nil {
				return seen, err
			}
			if kind.to.Alive, kind.to.Refused, err = living(ctx, client, tokens); err != nil {
				return seen, err
			}
		}
	}
	return seen, nil
}

// formerOf are some of the tokens that the newest run to a secret replaced, if any did.
func formerOf(ctx context.Context, s *store.Store, app store.App, to store.Secret) ([]store.Token, error) {
	runs, err := s.Runs(ctx, app.ID)
	if err != nil {
		return nil, err
	}
	for _, r := range runs {
		if r.NewSecretID != to.ID || r.CancelledAt == nil {
			continue
		}
		if tokens, err := s.SampleFormer(ctx, r.ID, newAskedFew); err != nil || len(tokens) > 0 {
			return tokens, err
		}
	}
	return nil, nil
}

func living(ctx context.Context, client Identifier, tokens []store.Token) (alive, refused int, err error) {
	p := Plan{Sampled: map[string]int{}}
	if _, err := p.ask(ctx, client, tokens); err != nil {
		return 0, 0, err
	}
	return p.Sampled["alive"] + p.Sampled[string(rotation.ClassScope)], p.Sampled[string(rotation.ClassUnauthorized)], nil
}

// MustFinish says why a run is past being cancelled.
func MustFinish(s rotation.Snapshot) string {
	if !s.Contained() || !s.Phase.Before(rotation.PhaseRevoked) {
		return "the old secret is revoked: the run can only be finished"
	}
	return fmt.Sprintf("the old secret is revoked: %d shops are without a working token and would stay so; the run can only be finished", s.Down)
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
			return refuse(what, fmt.Sprintf("the run is in phase %s: shops were exchanged with its new secret", run.Phase), snap)
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
		case errors.Is(err, store.ErrConflict):
			return refuse(what, fmt.Sprintf("the platform made tokens with the new secret, version %d, so it is right; if it has leaked or was revoked since, say so with --lost: what was made with it counts as dead, and every shop is exchanged again", snap.NewSecret), snap)
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
