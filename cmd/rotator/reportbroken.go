package main

import (
	"context"
	"math"

	"github.com/haravan-rotator/rotator/rotation"
)

func (c *cli) printBroken(r runReport) error {
	if r.BrokenTotal == 0 {
		return nil
	}
	if r.WrongRevoke {
		return c.printf("\nNew tokens that are dead (%d): the new secret was revoked instead of the old one; `rotator rotation next` has the way out\n", r.BrokenTotal)
	}
	if err := c.printf("\nBroken after the revoke (%d)\n", r.BrokenTotal); err != nil {
		return err
	}
	links := true
	for _, b := range r.Broken {
		if err := c.printf("  %s  %s\n", b.Domain, printable(b.words())); err != nil {
			return err
		}
		links = links && (b.InstallURL != "" || !b.OldDead)
	}
	if err := c.printMore(r.BrokenTotal - len(r.Broken)); err != nil || links {
		return err
	}
	return c.printf("  For re-install links set the app's scopes: rotator app set --name %s --scope SCOPE\n", r.App)
}

// words tell what is left of a shop whose new token is dead.
func (b brokenKey) words() string {
	if !b.OldDead {
		return "its new token is dead, its old one still answers"
	}
	words := "no working token"
	if b.InstallURL == "" {
		return words + ", and no re-install link while the app's scopes are not set"
	}
	return words + ": " + b.InstallURL
}

// printOldAlive is about a revoke that has not bitten, which may be each shop.
func (c *cli) printOldAlive(r runReport) error {
	if r.OldAliveTotal == 0 {
		return nil
	}
	asks := "is the old secret revoked?"
	if r.WrongRevoke {
		asks = rotation.RevokeNothingMore
	}
	if err := c.printf("\nOld tokens that still answer (%d): %s\n", r.OldAliveTotal, asks); err != nil {
		return err
	}
	listed := r.OldAlive[:min(len(r.OldAlive), reportOldAlive)]
	for _, b := range listed {
		if err := c.printf("  %s\n", b.Domain); err != nil {
			return err
		}
	}
	return c.printMore(r.OldAliveTotal - len(listed))
}

func (c *cli) printMore(more int) error {
	if more <= 0 {
		return nil
	}
	return c.printf("  and %d more: %s\n", more, c.words.command("rotator rotation report --exceptions"))
}

// eachBroken calls yield for every shop that broke, then for those whose old
// token alone is wrong.
func (o onRun) eachBroken(ctx context.Context, yield func(listed) error) error {
	checked, err := o.store.Checked(ctx, o.run.ID)
	if err != nil {
		return err
	}
	wrongRevoke := o.wrongRevoke(checked)
	broken, err := o.store.Broken(ctx, o.run.ID, math.MaxInt32)
	if err != nil {
		return err
	}
	for _, i := range broken {
		b := o.broken(i, wrongRevoke)
		l := listedItem(i, "its new token is dead after the revoke")
		if !b.OldDead {
			l.Words += ", and its old one still answers"
		}
		l.InstallURL = b.InstallURL
		if err := yield(l); err != nil {
			return err
		}
	}
	answers, err := o.store.OldAlive(ctx, o.run.ID, math.MaxInt32)
	if err != nil {
		return err
	}
	for _, i := range answers {
		if b := o.broken(i, wrongRevoke); !b.NewAlive {
			continue // listed
		}
		if err := yield(listedItem(i, "its old token still answers after the revoke")); err != nil {
			return err
		}
	}
	return nil
}
