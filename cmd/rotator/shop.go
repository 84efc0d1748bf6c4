package main

import (
	"context"
	"errors"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/shopdomain"
	"github.com/haravan-rotator/rotator/store"
)

func newShop(c *cli) *cobra.Command {
	return noun("shop", "The shops that installed the app",
		`A shop is one merchant that installed the app. Its tokens are sealed; only their
fingerprints are shown. shop export alone writes them out.

A shop may be written as name, name.myharavan.com or https://name.myharavan.com/,
in any case.`,
		newShopImport(c), newShopBind(c), newShopList(c), newShopShow(c), newShopExport(c), newShopExclude(c))
}

const shopJSON = `{domain, org_id, access_token_fingerprint, token_generation,
secret_version, legacy_kind, installed_at, excluded_reason, priority, bound_row,
updated_at}`

func newShopList(c *cli) *cobra.Command {
	var limit int
	var after string
	cmd := &cobra.Command{
		Use: "list [--limit N] [--after DOMAIN]", Short: "List the shops, in the order of their import",
		Long: `List the stored shops of an app, in the order of their import. secret_version is the
version that minted the token, where that is known.

JSON Lines: one object ` + shopJSON + ` per shop.`,
		Example: "  rotator shop list\n  rotator shop list --json | wc -l\n  rotator shop list --after some-shop",
		Args:    takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if limit < 0 {
				return usagef(cmd, "--limit %d: use 0 for all, or a number of shops", limit)
			}
			return c.listShops(cmd.Context(), cmd, c.listLimit(cmd, limit), after)
		},
	}
	cmd.Flags().IntVar(&limit, "limit", 100, limitHelp)
	cmd.Flags().StringVar(&after, "after", "", "begin after this shop")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print JSON Lines")
	return cmd
}

const limitHelp = "most shops to list; 0 for all, as --json does without it"

// listLimit is the limit of a list: a page is for people, and a script that got
// one would take it for all.
func (c *cli) listLimit(cmd *cobra.Command, limit int) int {
	if c.asJSON && !cmd.Flags().Changed("limit") {
		return 0
	}
	return limit
}

// limitGiven repeats --limit in the command for the next page.
func limitGiven(cmd *cobra.Command, limit int) string {
	if !cmd.Flags().Changed("limit") {
		return ""
	}
	return " --limit " + strconv.Itoa(limit)
}

// shopPage shops are read at a time.
const shopPage = 1000

func (c *cli) listShops(ctx context.Context, cmd *cobra.Command, limit int, after string) error {
	s, a, done, err := c.openApp(ctx)
	if err != nil {
		return err
	}
	defer done()
	from, err := c.afterShop(ctx, cmd, s, a, after)
	if err != nil {
		return err
	}
	var last store.Shop
	listed := 0
	err = pages(limit, func(size int) (int, error) {
		page, err := s.Shops(ctx, a.ID, from, size)
		if err == nil {
			err = c.printShops(page, listed == 0)
		}
		if listed += len(page); len(page) > 0 {
			last = page[len(page)-1]
			from = last.ID
		}
		return len(page), err
	})
	if err != nil || c.asJSON || limit == 0 || listed < limit {
		return err
	}
	return c.moreShops(ctx, s, a, last, limitGiven(cmd, limit))
}

// afterShop is the id to begin a list after: that of the shop, if one is named.
func (c *cli) afterShop(ctx context.Context, cmd *cobra.Command, s *store.Store, a store.App, spelling string) (int64, error) {
	if spelling == "" {
		return 0, nil
	}
	shop, err := c.shop(ctx, cmd, s, a, spelling)
	return shop.ID, err
}

// pages reads page after page of at most the asked size until there are no more,
// or limit shops were read; 0 for all.
func pages(limit int, read func(size int) (int, error)) error {
	for listed := 0; limit == 0 || listed < limit; {
		size := shopPage
		if limit > 0 {
			size = min(size, limit-listed)
		}
		n, err := read(size)
		if err != nil || n < size {
			return err
		}
		listed += n
	}
	return nil
}

// moreShops says how to see the next page, if there is one.
func (c *cli) moreShops(ctx context.Context, s *store.Store, a store.App, last store.Shop, given string) error {
	next, err := s.Shops(ctx, a.ID, last.ID, 1)
	if err == nil && len(next) > 0 {
		c.notef("More: rotator shop list --app %s%s --after %s", a.Name, given, last.Domain)
	}
	return err
}

func (c *cli) printShops(page []store.Shop, first bool) error {
	if c.asJSON {
		for _, shop := range page {
			if err := c.printJSON(shop); err != nil {
				return err
			}
		}
		return nil
	}
	// Pages are printed as they come, so columns have fixed widths.
	const line = "%-48s %-16s %-7s %-8s %s\n"
	if first {
		if err := c.printf(line, "DOMAIN", "TOKEN", "SECRET", "PRIORITY", "EXCLUDED"); err != nil {
			return err
		}
	}
	for _, shop := range page {
		version, token := "?", shop.Fingerprint
		if shop.SecretVersion > 0 {
			version = strconv.Itoa(shop.SecretVersion)
		}
		if token == "" {
			token, version = "-", "-"
		}
		excluded := shop.ExcludedReason
		if excluded == "" {
			excluded = "-"
		}
		if err := c.printf(line, shop.Domain, token, version, strconv.Itoa(shop.Priority), printable(excluded)); err != nil {
			return err
		}
	}
	return nil
}

func newShopShow(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show DOMAIN", Short: "Show one shop",
		Long:    "Show one stored shop.\n\nJSON: one object " + shopJSON + ".",
		Example: "  rotator shop show some-shop\n  rotator shop show https://Some-Shop.myharavan.com/ --json",
		Args:    takes("DOMAIN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, done, err := c.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			a, err := c.app(cmd.Context(), s)
			if err != nil {
				return err
			}
			shop, err := c.shop(cmd.Context(), cmd, s, a, args[0])
			if err != nil {
				return err
			}
			return c.printShop(shop)
		},
	}
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

// shop finds a shop by any spelling of its domain.
func (c *cli) shop(ctx context.Context, cmd *cobra.Command, s *store.Store, a store.App, spelling string) (store.Shop, error) {
	domain, err := shopdomain.Parse(spelling)
	if err != nil {
		return store.Shop{}, usagef(cmd, "%w", err)
	}
	shop, err := s.Shop(ctx, a.ID, domain)
	if errors.Is(err, store.ErrNotFound) {
		return shop, exitWith(exitFailed, fmt.Errorf("app %s: %w", a.Name, err), "`rotator shop list` shows the stored shops")
	}
	return shop, err
}

func (c *cli) printShop(shop store.Shop) error {
	if c.asJSON {
		return c.printJSON(shop)
	}
	facts := []fact{{"domain", shop.Domain}}
	if shop.OrgID != 0 {
		facts = append(facts, fact{"org id", strconv.FormatInt(shop.OrgID, 10)})
	}
	token, version := "none", ""
	if shop.Fingerprint != "" {
		token = "fingerprint " + shop.Fingerprint + ", generation " + strconv.FormatInt(shop.Generation, 10)
		if version = "unknown"; shop.SecretVersion > 0 {
			version = strconv.Itoa(shop.SecretVersion)
		}
	}
	return c.printFacts(append(facts,
		fact{"access token", token},
		fact{"secret version", version},
		fact{"legacy credential", shop.LegacyKind},
		fact{"installed", moment(shop.InstalledAt)},
		fact{"excluded", shop.ExcludedReason},
		fact{"priority", strconv.Itoa(shop.Priority)},
		fact{"bound row", shop.BoundRow},
		fact{"updated", moment(&shop.UpdatedAt)},
	)...)
}
