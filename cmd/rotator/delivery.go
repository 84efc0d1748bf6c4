package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/store"
)

func newDelivery(c *cli) *cobra.Command {
	return noun("delivery", "What the app was told of its new tokens",
		`Workers tell the app of every new token over HTTP, once it has a deliver URL
(rotator app set --deliver-url), and try until it acknowledges. A delivery is one
shop's newest token: pending, failing, stopped (the app answered 410), or
acknowledged.`,
		newDeliveryList(c), newDeliveryRetry(c))
}

const deliveryJSON = `{domain, state, generation, run, waived, tries, swapped_at,
next_attempt_at, acknowledged_at, last_status, last_error}`

// undelivered are the states that somebody may want to look at.
var undelivered = []store.DeliveryState{store.DeliveryPending, store.DeliveryFailing, store.DeliveryStopped}

func newDeliveryList(c *cli) *cobra.Command {
	var limit int
	var after, state string
	cmd := &cobra.Command{
		Use: "list [--state STATE] [--limit N] [--after DOMAIN]", Short: "List the tokens that the app has not acknowledged",
		Long: `List the shops whose newest token the app has not acknowledged, in the order of
their import, with what the last attempt came to. With --state: those in one of
the states ` + named(store.DeliveryStates) + `.

JSON Lines: one object ` + deliveryJSON + `
per shop.`,
		Example: "  rotator delivery list\n  rotator delivery list --state failing --json\n  rotator delivery list --state acknowledged --json | wc -l",
		Args:    takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			states := undelivered
			if state != "" {
				states = []store.DeliveryState{store.DeliveryState(state)}
			}
			switch {
			case limit < 0:
				return usagef(cmd, "--limit %d: use 0 for all, or a number of shops", limit)
			case !slices.Contains(store.DeliveryStates, states[0]):
				return usagef(cmd, "--state %s: choose from %s", quoted(state), named(store.DeliveryStates))
			}
			return c.listDeliveries(cmd.Context(), cmd, states, c.listLimit(cmd, limit), after)
		},
	}
	cmd.Flags().StringVar(&state, "state", "", "only deliveries in this state")
	cmd.Flags().IntVar(&limit, "limit", 100, limitHelp)
	cmd.Flags().StringVar(&after, "after", "", "begin after this shop")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print JSON Lines")
	return cmd
}

func (c *cli) listDeliveries(ctx context.Context, cmd *cobra.Command, states []store.DeliveryState, limit int, after string) error {
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	from, err := c.afterShop(ctx, cmd, s, a, after)
	if err != nil {
		return err
	}
	if a.Settings.DeliverURL == "" {
		c.notef("App %s has no deliver URL: nothing is sent.", a.Name)
	} else if down, err := s.ReceiverDown(ctx, a.ID); err != nil {
		return err
	} else if down != nil {
		c.notef("The app has acknowledged nothing since %s: as long as it fails it is asked with one shop at a time.", moment(down))
	}
	var rows [][]string
	var last string
	err = pages(limit, func(size int) (int, error) {
		page, err := s.Deliveries(ctx, a.ID, from, states, size)
		if err != nil {
			return 0, err
		}
		for _, d := range page {
			if !c.asJSON {
				rows = append(rows, deliveryRow(d))
			} else if err := c.printJSON(d); err != nil {
				return 0, err
			}
			from, last = d.ShopID, d.Domain
		}
		return len(page), nil
	})
	if err != nil || c.asJSON {
		return err
	}
	err = c.printTable([]string{"SHOP", "STATE", "GENERATION", "TRIES", "SWAPPED", "NEXT ATTEMPT", "LAST ANSWER"}, rows)
	if err != nil || limit == 0 || len(rows) < limit {
		return err
	}
	next, err := s.Deliveries(ctx, a.ID, from, states, 1)
	if err == nil && len(next) > 0 {
		c.notef("More: rotator delivery list --app %s%s%s --after %s", a.Name, stateGiven(states), limitGiven(cmd, limit), last)
	}
	return err
}

// stateGiven repeats --state in the command for the next page.
func stateGiven(states []store.DeliveryState) string {
	if len(states) != 1 {
		return ""
	}
	return " --state " + string(states[0])
}

func deliveryRow(d store.DeliveryInfo) []string {
	return []string{d.Domain, deliveryWord(d), strconv.FormatInt(d.Generation, 10), strconv.Itoa(d.Tries), moment(&d.SwappedAt), moment(d.NextAttemptAt), d.LastError}
}

// deliveryWord is the state, and that an operator accepted it.
func deliveryWord(d store.DeliveryInfo) string {
	if d.Waived {
		return string(d.State) + ", waived"
	}
	return string(d.State)
}

func newDeliveryRetry(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "retry [DOMAIN]", Short: "Tell the app again now",
		Long: `Make the tokens that the app has not acknowledged due now, also those that it
answered 410 for: of all shops, or of one. A worker sends them.

JSON: one object {shops}.`,
		Example: "  rotator delivery retry\n  rotator delivery retry some-shop",
		Args:    mayTake("DOMAIN"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return nil, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error { return c.retryDeliveries(cmd, args) },
	}
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func (c *cli) retryDeliveries(cmd *cobra.Command, args []string) error {
	ctx := cmd.Context()
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	if a.Settings.DeliverURL == "" {
		return exitWith(exitRefused, fmt.Errorf("app %s has no deliver URL: nothing would be sent", a.Name), "rotator app set --deliver-url URL")
	}
	shop := ""
	if len(args) == 1 {
		found, err := c.shop(ctx, cmd, s, a, args[0])
		if err != nil {
			return err
		}
		shop = found.Domain
		// A shop that was never swapped must not look like success.
		if _, err := s.Delivery(ctx, a.ID, shop); errors.Is(err, store.ErrNotFound) {
			return exitWith(exitFailed, fmt.Errorf("no token of %s was ever to be delivered", shop), "`rotator delivery list` shows those that are")
		} else if err != nil {
			return err
		}
	}
	n, err := s.RetryDeliveries(ctx, c.actor, a, shop)
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(struct {
			Shops int64 `json:"shops"`
		}{n})
	}
	if n == 0 {
		return c.printf("nothing to retry: what is not acknowledged is under way\n")
	}
	return c.printf("%s due now\n", plural(int(n), "shop"))
}
