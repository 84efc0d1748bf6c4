package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// loseSecret gives up the version in use and goes back to the one before.
func (c *cli) loseSecret(ctx context.Context, s *store.Store, a store.App, version int) error {
	back, err := c.lookIfBeforeLives(ctx, s, a, version)
	if err != nil {
		return err
	}
	c.waiting("waiting for the database, app %s", a.Name)
	lost, err := s.LoseSecret(ctx, c.actor, a, version, back)
	c.came()
	if errors.Is(err, store.ErrConflict) {
		return c.notLost(ctx, s, a, version)
	}
	if err != nil {
		return err
	}
	if lost.TakenBack > 0 {
		way := "`rotator shop export`"
		if a.Settings.DeliverURL != "" {
			way = "a `rotator worker` delivers it"
		}
		c.notef("%s: the former token is current again; see that the app uses it (%s), too, until the next rotation.", plural(lost.TakenBack, "shop"), way)
	}
	if lost.Behind > 0 {
		c.notef("warning: %s of the app's table could not be written and may hold a token of version %d: `rotator shop import --bound` writes them", plural(lost.Behind, "row"), version)
	}
	if lost.Left > 0 {
		c.notef("%s a token of version %d, which counts as dead: no former one is known. The next rotation exchanges it.", counted(lost.Left, "shop", "keeps", "keep"), version)
	}
	c.notef("Now make the app use version %d, enter another new secret with `rotator secret add` unless one is pending, and start a rotation.", lost.Active)
	return c.printFacts(fact{"version", strconv.Itoa(version)}, fact{"state", string(store.SecretRevoked)}, fact{"in use", fmt.Sprintf("version %d", lost.Active)},
		fact{"former tokens", plural(lost.TakenBack, "shop")}, fact{"tokens left", plural(lost.Left, "shop")})
}

// notLost says why a version is kept, as things stand now.
func (c *cli) notLost(ctx context.Context, s *store.Store, a store.App, version int) error {
	refuse := refusesVersion(a, version, "given up")
	secrets, err := s.Secrets(ctx, a.ID)
	if err != nil {
		return err
	}
	isActive := slices.ContainsFunc(secrets, func(v store.Secret) bool { return v.Version == version && v.State == store.SecretActive })
	_, _, both := livingPair(secrets)
	run, open, err := openRunOf(ctx, s, a)
	switch {
	case err != nil:
		return err
	case !isActive:
		return refuse("`rotator secret list` shows the versions", "--lost is for the version that is in use")
	case open && run.NewSecretID != 0 && rotation.Contained(run.Mode, run.Phase) && !run.Phase.Before(rotation.PhaseProven):
		return refuse("finish it (`rotator rotation next`), waiving shops that broke; then `rotator secret add` with another and `rotator rotation start --breach`",
			"run %d, which is open, has made every shop's token with it", run.ID)
	case open && run.NewSecretID != 0 && rotation.Contained(run.Mode, run.Phase):
		return refuse(fmt.Sprintf("`rotator secret add` with another, then `rotator rotation use-secret --lost --confirm %s`", a.Name), "run %d, which is open, works with it", run.ID)
	case open && run.NewSecretID != 0:
		return refuse(fmt.Sprintf("`rotator rotation cancel --confirm %s`, and say it again; a run that cannot be cancelled must be finished first", a.Name),
			"run %d, which is open, works with it", run.ID)
	case open:
		return refuse(fmt.Sprintf("finish or cancel run %d first", run.ID), "a run is open")
	case !both:
		return refuse("`rotator secret add` with a new one, then `rotator rotation start --breach`", "no other version lives")
	}
	return refuse("`rotator secret list` shows the versions; try again", "it changed meanwhile")
}
