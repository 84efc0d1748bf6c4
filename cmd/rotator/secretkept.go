package main

import (
	"context"
	"fmt"
	"slices"

	"github.com/haravan-rotator/rotator/store"
)

// refusesVersion begins the reasons for which a version of the secret is kept.
func refusesVersion(a store.App, version int, done string) func(next, format string, args ...any) error {
	return func(next, format string, args ...any) error {
		return exitWith(exitRefused, fmt.Errorf("version %d of app %s is not %s: "+format, append([]any{version, a.Name, done}, args...)...), next)
	}
}

// notDiscarded says why a version of the secret is kept, as things stand now.
func (c *cli) notDiscarded(ctx context.Context, s *store.Store, a store.App, version int) error {
	refuse := refusesVersion(a, version, "discarded")
	const look = "`rotator secret list` shows the versions"
	secrets, err := s.Secrets(ctx, a.ID)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(secrets, func(v store.Secret) bool { return v.Version == version })
	if i < 0 {
		return exitWith(exitFailed, fmt.Errorf("app %s has no version %d of the secret", a.Name, version), look)
	}
	v := secrets[i]
	switch v.State {
	case store.SecretDiscarded:
		return refuse(look, "it was, %s", moment(v.DiscardedAt))
	case store.SecretRevoked:
		return refuse(look, "it is revoked, and the platform takes it no more")
	case store.SecretRetiring:
		return refuse(look, "it is retiring: shops may have tokens of it until a rotation revokes it")
	}
	run, open, err := openRunOf(ctx, s, a)
	if err != nil {
		return err
	}
	_, _, both := livingPair(secrets)
	switch {
	case open && (run.NewSecretID == v.ID || run.OldSecretID == v.ID && v.State == store.SecretPending):
		return refuse(fmt.Sprintf("if it was entered wrongly: `rotator %s cancel --confirm %s`, which says what it leaves behind, then discard it", run.Kind.Noun(), a.Name),
			"it is %s, and run %d, which is open, works with it", v.State, run.ID)
	case v.State == store.SecretActive && both:
		return refuse(fmt.Sprintf("`rotator rotation start` goes on with it; if it has leaked or is dead at the platform: `rotator secret discard %d --lost --confirm %s`; "+
			"if two were entered as each other, `rotator secret swap` mends that", version, a.Name), "it is active: it is the one in use")
	case v.State == store.SecretActive:
		return refuse("another takes its place by `rotator secret add` and a rotation; if two were entered as each other, `rotator secret swap` mends that", "it is active: it is the one in use")
	}
	shops, _, err := s.TokensOf(ctx, v)
	switch {
	case err != nil:
		return err
	case shops > 0:
		return refuse("`rotator rotation start` goes on with it", "%s have tokens that were made with it", plural(shops, "shop"))
	}
	return refuse(look+"; try again", "it changed meanwhile")
}
