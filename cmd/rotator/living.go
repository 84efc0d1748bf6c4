package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Before what cannot be undone, and after what must have bitten, a few shops are asked
// which tokens live.

const unclear = "shops that were asked gave no clear answer. `rotator doctor` tells whether the platform can be reached; say it again then"

// askShops lets ask ask shops, and says what is waited for.
func (c *cli) askShops(a store.App, ask func(operate.Identifier) error) error {
	client, err := c.client(a)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	c.waiting("asking some shops which tokens live")
	defer c.came()
	return ask(client)
}

// lookIfContained warns when the leaked secret does not seem to be revoked: the
// abuse goes on, and nobody would notice before the end of the run. It refuses
// nothing, since a revoke may take a while to bite.
func (c *cli) lookIfContained(ctx context.Context, o onRun) {
	err := c.askShops(o.app, func(client operate.Identifier) error {
		seen, err := operate.AskRevoked(ctx, o.store, client, o.run)
		if err == nil && seen.Alive > 0 {
			c.notef("warning: %d of %s asked still answer under their old token: is the leaked secret revoked, and was it this one? "+
				"It can take a while to bite; repeat this command to look again", seen.Alive, plural(seen.Asked, "shop"))
		}
		return err
	})
	if err != nil {
		c.notef("warning: whether old tokens are dead could not be seen: %s", inline(err.Error()))
	}
}

// lookIfNewLive refuses to go on to the revoke when the new tokens are dead: somebody
// revoked the wrong secret, and would be told to revoke the other one, too. After it
// another look of the check is what helps.
func (c *cli) lookIfNewLive(ctx context.Context, o onRun, snap rotation.Snapshot) error {
	var refused *operate.Refused
	err := c.askShops(o.app, func(client operate.Identifier) error {
		fresh, former, err := operate.AskNew(ctx, o.store, client, o.run)
		switch words := fmt.Sprintf("not one of %s asked accepts its new token", plural(fresh.Refused, "shop")); {
		case err != nil:
			return err
		case fresh.Dead() && former.Alive > 0 && snap.Phase == rotation.PhaseRevoked:
			c.notef("warning: %s, and %d accept their former one: %s, until the check has looked anew (`rotator rotation next`)", words, former.Alive, rotation.RevokeNothingMore)
		case fresh.Dead() && former.Alive > 0:
			refused = &operate.Refused{What: "confirm revoked", Why: fmt.Sprintf(
				"%s, and %d accept their former one: it seems that the new secret was revoked instead of the old one: %s. "+
					"If it was, make the app use the old secret again, then `rotator rotation cancel --confirm %s`, and %s", words, former.Alive, rotation.RevokeNothingMore, snap.App, rotation.AfterLoss(snap))}
			return refused
		case fresh.Dead() && former.Unclear() && snap.Phase != rotation.PhaseRevoked:
			refused = &operate.Refused{What: "confirm revoked", Why: words + ", and whether former ones live cannot be seen: " + unclear}
			return refused
		case fresh.Dead() && former.Refused > 0:
			c.notef("warning: %s, nor its former one: did they remove the app, or are both secrets revoked?", words)
		case fresh.Dead():
			c.notef("warning: %s: did they remove the app, or is the new secret revoked?", words)
		case fresh.Unclear():
			return errors.New("no shop that was asked gave a clear answer")
		}
		return nil
	})
	if refused != nil {
		return refused
	}
	if err != nil {
		c.notef("warning: whether new tokens live could not be seen: %s", inline(err.Error()))
	}
	return nil
}

// livingPair are the secrets that are alive side by side after a rotation that was
// cancelled; ok is false without one of them.
func livingPair(secrets []store.Secret) (active, retiring store.Secret, ok bool) {
	for _, v := range secrets {
		switch v.State {
		case store.SecretActive:
			active = v
		case store.SecretRetiring:
			retiring = v
		}
	}
	return active, retiring, active.ID != 0 && retiring.ID != 0
}

// lookIfBeforeLives refuses to go back to a version whose tokens are dead while those
// of the one that is to be given up live, or when that cannot be seen. back tells that
// tokens live which runs replaced: a platform may kill them with the exchange.
func (c *cli) lookIfBeforeLives(ctx context.Context, s *store.Store, a store.App, version int) (back bool, err error) {
	secrets, err := s.Secrets(ctx, a.ID)
	if err != nil {
		return false, err
	}
	active, retiring, ok := livingPair(secrets)
	if !ok || active.Version != version {
		return false, nil // what cannot be given up is said then
	}
	refuse := refusesVersion(a, version, "given up")
	err = c.askShops(a, func(client operate.Identifier) error {
		seen, err := operate.AskKinds(ctx, s, client, a, active, retiring)
		switch {
		case err != nil:
			return err
		case seen.Unclear():
			return refuse("`rotator doctor` tells whether the platform can be reached; then say it again", "which tokens live cannot be seen: shops that were asked gave no clear answer")
		case seen.Active.Alive > 0 && seen.Before().Dead():
			return refuse("see in the dashboard which version lives: `rotator secret identify`", "%s asked accept their token of it, and none accepts one of the version before", plural(seen.Active.Alive, "shop"))
		case seen.Active.Alive > 0:
			c.notef("warning: %s asked still accept their token of version %d: revoke it in the dashboard if it has leaked", plural(seen.Active.Alive, "shop"), version)
		case seen.Before().Alive+seen.Before().Refused == 0:
			c.notef("warning: no shop that was asked can tell whether tokens of version %d live: they are frozen or gone", retiring.Version)
		}
		back = seen.Former.Alive > 0
		return nil
	})
	return back, err
}

// lookIfNewestLives looks, before a run goes on to a version that is in use already,
// whether tokens of it live: if it is dead, the revoke of the other version, with which
// a breach begins, would leave no shop a token. A breach is refused then, and where it
// cannot be seen. lives tells that tokens of it are seen to live.
func (c *cli) lookIfNewestLives(ctx context.Context, o onRun, breach bool) (lives bool, err error) {
	secrets, err := o.store.Secrets(ctx, o.app.ID)
	if err != nil {
		return false, err
	}
	to, from, ok := livingPair(secrets)
	if !ok || o.run.Open() {
		return false, nil
	}
	var seen operate.Kinds
	err = c.askShops(o.app, func(client operate.Identifier) (err error) {
		seen, err = operate.AskKinds(ctx, o.store, client, o.app, to, from)
		return err
	})
	var words string
	switch {
	case err != nil:
		words = fmt.Sprintf("whether tokens of version %d, to which the run would go, live cannot be seen: %s", to.Version, inline(err.Error()))
	case seen.Active.Alive > 0:
	case seen.Active.Unclear(), seen.Active.Dead() && seen.Before().Unclear():
		words = fmt.Sprintf("whether tokens of version %d, to which the run would go, live cannot be seen: %s", to.Version, unclear)
		if seen.Before().Alive > 0 {
			words += fmt.Sprintf(". Or go to another version: `rotator secret discard %d --lost --confirm %s`, `rotator secret add`, and start again", to.Version, o.app.Name)
		}
	case seen.Active.Dead() && seen.Before().Alive > 0:
		words = fmt.Sprintf("not one of %[1]s asked accepts its token of version %[2]d, to which the run would go, and %[3]d accept one of version %[4]d. If version %[2]d has leaked or was revoked, %[5]s: "+
			"`rotator secret discard %[2]d --lost --confirm %[6]s`, `rotator secret add` with another, then `rotator rotation start`",
			plural(seen.Active.Refused, "shop"), to.Version, seen.Before().Alive, from.Version, rotation.RevokeNothingMore, o.app.Name)
	}
	switch {
	case words == "":
	case breach:
		return false, &operate.Refused{What: "start --breach", Why: words}
	default:
		c.notef("warning: %s", words)
	}
	return seen.Active.Alive > 0, nil
}

// lookIfNewDead refuses to cancel for a wrong revoke while new tokens live: the old
// secret, which would count as alive again, may be the one that is dying.
func (c *cli) lookIfNewDead(ctx context.Context, o onRun) error {
	var fresh operate.Answers
	err := c.askShops(o.app, func(client operate.Identifier) (err error) {
		fresh, err = operate.AskMany(ctx, o.store, client, o.run)
		return err
	})
	const again = "Look anew with `rotator rotation confirm revoked`, said again"
	switch {
	case err != nil:
		return &operate.Refused{What: "cancel", Why: fmt.Sprintf("whether the new tokens are dead cannot be seen: %s. %s, when the platform answers", inline(err.Error()), again)}
	case fresh.Alive > 0 && fresh.Alive >= fresh.Refused: // single ones may be of another secret than is known
		return &operate.Refused{What: "cancel", Why: fmt.Sprintf("%s asked accept their new token: the new secret was not revoked. %s", plural(fresh.Alive, "shop"), again)}
	case fresh.Unclear():
		return &operate.Refused{What: "cancel", Why: "whether the new tokens are dead cannot be seen: shops that were asked gave no clear answer. " + again + ", when the platform answers"}
	}
	return nil
}
