package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// loseSecret gives up the version in use and goes back to the one before.
func (c *cli) loseSecret(ctx context.Context, s *store.Store, a store.App, version int) error {
	back, err := c.lookIfBeforeLives(ctx, s, a, version)
	if err != nil {
		return err
	}
	active, taken, err := s.LoseSecret(ctx, c.actor, a, version, back)
	if errors.Is(err, store.ErrConflict) {
		return c.notLost(ctx, s, a, version)
	}
	if err != nil {
		return err
	}
	if taken > 0 {
		c.notef("%s: the former token is current again; see that the app uses it (`rotator shop export`), too, until the next rotation.", plural(taken, "shop"))
	}
	c.notef("Now make the app use version %d, enter another new secret with `rotator secret add` unless one is pending, and start a rotation.", active)
	return c.printFacts(fact{"version", strconv.Itoa(version)}, fact{"state", string(store.SecretRevoked)}, fact{"in use", fmt.Sprintf("version %d", active)}, fact{"former tokens", plural(taken, "shop")})
}

// notLost says why a version is kept, as things stand now.
func (c *cli) notLost(ctx context.Context, s *store.Store, a store.App, version int) error {
	refuse := func(next, format string, args ...any) error {
		return exitWith(exitRefused, fmt.Errorf("version %d of app %s is not given up: "+format, append([]any{version, a.Name}, args...)...), next)
	}
	secrets, err := s.Secrets(ctx, a.ID)
	if err != nil {
		return err
	}
	var active, before bool
	for _, v := range secrets {
		active = active || v.Version == version && v.State == store.SecretActive
		before = before || v.State == store.SecretRetiring
	}
	run, open, err := openRunOf(ctx, s, a)
	switch {
	case err != nil:
		return err
	case !active:
		return refuse("`rotator secret list` shows the versions", "--lost is for the version that is in use")
	case open && run.NewSecretID != 0 && rotation.Contained(run.Mode, run.Phase):
		return refuse(fmt.Sprintf("`rotator secret add` with another, then `rotator rotation use-secret --lost --confirm %s`", a.Name), "run %d, which is open, works with it", run.ID)
	case open && run.NewSecretID != 0:
		return refuse(fmt.Sprintf("`rotator rotation cancel --confirm %s`, and say it again; a run that cannot be cancelled must be finished first", a.Name),
			"run %d, which is open, works with it", run.ID)
	case open:
		return refuse(fmt.Sprintf("finish or cancel run %d first", run.ID), "a run is open")
	case !before:
		return refuse("`rotator secret add` with a new one, then `rotator rotation start --breach`", "no other version lives")
	}
	return refuse("`rotator secret list` shows the versions; try again", "it changed meanwhile")
}

// lookIfBeforeLives refuses to go back to a version whose tokens are dead while those
// of the one that is to be given up live. back tells that tokens live which runs
// replaced: a platform may kill them with the exchange.
func (c *cli) lookIfBeforeLives(ctx context.Context, s *store.Store, a store.App, version int) (back bool, err error) {
	secrets, err := s.Secrets(ctx, a.ID)
	if err != nil || !slices.ContainsFunc(secrets, func(v store.Secret) bool { return v.Version == version && v.State == store.SecretActive }) {
		return false, err // what cannot be given up is said then
	}
	client, err := c.client(a)
	if err != nil {
		return false, err
	}
	defer client.CloseIdle()
	c.waiting("asking some shops under their tokens")
	defer c.came()
	seen, err := operate.AskBoth(ctx, s, client, a)
	switch {
	case err != nil:
		c.notef("warning: which tokens live could not be seen: %s", inline(err.Error()))
		return false, nil
	case seen.Active.Alive > 0 && seen.BeforeDead():
		return false, exitWith(exitRefused, fmt.Errorf("version %d of app %s is not given up: %s asked accept their token of it, and none accepts one of the version before", version, a.Name, plural(seen.Active.Alive, "shop")),
			"see in the dashboard which version lives: `rotator secret identify`")
	case seen.Active.Alive > 0:
		c.notef("warning: %s asked still accept their token of version %d: revoke it in the dashboard if it has leaked", plural(seen.Active.Alive, "shop"), version)
	}
	return seen.Former.Alive > 0, nil
}

// lookIfNewestLives looks, before a run goes on to a version that is in use already,
// whether tokens of it live: if it is dead, the revoke of the other version, with which
// a breach begins, would leave no shop a token.
func (c *cli) lookIfNewestLives(ctx context.Context, o onRun, breach bool) error {
	secrets, err := o.store.Secrets(ctx, o.app.ID)
	if err != nil {
		return err
	}
	var to, from int
	for _, v := range secrets {
		switch v.State {
		case store.SecretActive:
			to = v.Version
		case store.SecretRetiring:
			from = v.Version
		case store.SecretPending:
			return nil // which the run goes to, or which it is refused for
		}
	}
	if to == 0 || from == 0 {
		return nil
	}
	client, err := c.client(o.app)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	c.waiting("asking some shops under their tokens")
	defer c.came()
	seen, err := operate.AskBoth(ctx, o.store, client, o.app)
	if err != nil {
		c.notef("warning: whether tokens of version %d live could not be seen: %s", to, inline(err.Error()))
		return nil
	}
	if seen.Active.Alive > 0 || seen.Active.Refused == 0 || !seen.BeforeLives() {
		return nil
	}
	words := fmt.Sprintf("not one of %s asked accepts its token of version %d, to which the run would go, and %d accept one of version %d. If version %[2]d has leaked or was revoked, %[5]s: `rotator secret discard %[2]d --lost --confirm %[6]s`, `rotator secret add` with another, then `rotator rotation start`",
		plural(seen.Active.Refused, "shop"), to, seen.Others.Alive+seen.Former.Alive, from, rotation.RevokeNothingMore, o.app.Name)
	if breach {
		return &operate.Refused{What: "start --breach", Why: words}
	}
	c.notef("warning: %s", words)
	return nil
}
