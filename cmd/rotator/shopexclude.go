package main

import (
	"context"
	"errors"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newShopExclude(c *cli) *cobra.Command {
	var reason string
	var undo bool
	cmd := &cobra.Command{
		Use: "exclude DOMAIN (--reason TEXT | --undo)", Short: "Leave a shop out of runs",
		Long: `Leave a shop out of runs, or take it in again. Its token dies with the secret that
minted it. The reason goes to the journal.

An open rotation skips the shop within two seconds, unless it was called already:
a new token that was made for it is never dropped. With --undo the open rotation
takes the shop in again when it has settled the others.

JSON: one object ` + shopJSON + `.`,
		Example: "  rotator shop exclude some-shop --reason 'test shop of the agency'\n  rotator shop exclude some-shop --undo",
		Args:    takes("DOMAIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if reason = strings.TrimSpace(reason); (reason == "") == !undo {
				return usagef(cmd, "say either why with --reason, or --undo")
			}
			if isPlaceholder(reason) {
				return usagef(cmd, reasonPlaceholder, reason, "the shop", "is left out")
			}
			// What is stored can be written out as a list and read back.
			text, err := shopfile.Reason(reason)
			if err != nil {
				return usagef(cmd, "--reason %w", err)
			}
			return c.excludeShop(cmd.Context(), cmd, args[0], text)
		},
	}
	cmd.Flags().StringVar(&reason, "reason", "", "why the shop is left out")
	cmd.Flags().BoolVar(&undo, "undo", false, "take the shop in again")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func (c *cli) excludeShop(ctx context.Context, cmd *cobra.Command, spelling, reason string) error {
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	shop, err := c.shop(ctx, cmd, s, a, spelling)
	if err != nil {
		return err
	}
	if err := s.Exclude(ctx, c.actor, a.ID, shop.Domain, reason); err != nil {
		return err
	}
	if shop, err = s.Shop(ctx, a.ID, shop.Domain); err != nil {
		return err
	}
	if err := c.printShop(shop); err != nil {
		return err
	}
	return c.excludedInRun(ctx, s, a, shop)
}

// excludedInRun says what an open rotation does about it.
func (c *cli) excludedInRun(ctx context.Context, s *store.Store, a store.App, shop store.Shop) error {
	runs, err := s.Runs(ctx, a.ID)
	if err != nil || len(runs) == 0 || !runs[0].Open() || runs[0].Kind != rotation.KindRotation {
		return err
	}
	item, err := s.Item(ctx, runs[0].ID, shop.Domain)
	if errors.Is(err, store.ErrNotFound) {
		return nil // not taken into the run yet
	}
	if err != nil {
		return err
	}
	c.notef("run %d: %s", runs[0].ID, afterExclusion(item, runs[0].Phase, shop.ExcludedReason != ""))
	return nil
}

func afterExclusion(item store.ItemInfo, phase rotation.Phase, excluded bool) string {
	state := item.State
	switch {
	case !excluded && leftOut(item) && settledForGood(phase):
		return "the exchange is over; the next run takes the shop in"
	case !excluded && leftOut(item):
		return "the shop is taken in again when the others are settled"
	case !excluded && state == rotation.ItemSkipped:
		return "the shop stays skipped: " + printable(item.Detail)
	case !excluded:
		return "the run goes on with the shop (" + string(state) + ")"
	case state == rotation.ItemSkipped:
		return "the shop is skipped"
	case state == rotation.ItemPending, state == rotation.ItemRetrying, state == rotation.ItemClaimed:
		return "the shop is skipped unless its call has begun"
	case state == rotation.ItemProven, state == rotation.ItemWaived:
		return "the shop is " + string(state) + " already; its token stays"
	}
	return "a token was made for the shop, or may have been: the run goes on with it (" + string(state) + ")"
}
