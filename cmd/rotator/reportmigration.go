package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// migrationReport is the part of a report that only a token migration has.
type migrationReport struct {
	rotation.Migration
	// NeededScopes are the app's, MissingScopes those that no derived token
	// carries: then the merchants of ConsentShops must authorize the app again.
	NeededScopes  []string `json:"needed_scopes"`
	MissingScopes []string `json:"missing_scopes"`
	ConsentShops  int      `json:"consent_shops"`
}

func (o onRun) migrationReport(st runStatus) *migrationReport {
	needed := o.app.Settings.Scopes
	m := &migrationReport{
		Migration: *st.Migration, NeededScopes: append([]string{}, needed...),
		MissingScopes: append([]string{}, haravan.MissingScopes(needed)...),
	}
	if len(m.MissingScopes) > 0 {
		m.ConsentShops = st.Items.Open() + st.Items.Proven + st.Items.Parked
	}
	return m
}

// consentStates are those of shops that have, or shall have, a derived token.
var consentStates = []rotation.ItemState{
	rotation.ItemPending, rotation.ItemClaimed, rotation.ItemExchanged, rotation.ItemProven,
	rotation.ItemRetrying, rotation.ItemUnknown, rotation.ItemParked,
}

func (c *cli) printMigration(r runReport) error {
	m := r.Migration
	if m == nil {
		return nil
	}
	facts := []fact{{"secret", fmt.Sprintf("version %d", m.SecretVersion)}}
	if m.CheckPlanned > 0 {
		facts = append(facts, fact{"checked", checkedWords(m.Migration)})
	}
	facts = append(facts, fact{"legacy", plural(m.LegacyLeft, "shop") + " with a legacy credential stored"},
		fact{"scopes", scopeWords(m.NeededScopes, m.MissingScopes, m.ConsentShops, r.App)})
	return c.printFacts(facts...)
}

// scopeWords say what a derived token may not do that the app needs.
func scopeWords(needed, missing []string, shops int, app string) string {
	switch {
	case len(needed) == 0:
		return fmt.Sprintf("not known: set what the app needs with `rotator app set --name %s --scope SCOPE`", app)
	case len(missing) == 0:
		return "a derived token carries all that the app needs"
	}
	return fmt.Sprintf("a derived token lacks %s: %s must be authorized again by the merchant", strings.Join(missing, ", "), plural(shops, "shop"))
}

func (c *cli) printScrubCertificate(r runReport) error {
	var cert rotation.ScrubCertificate
	if err := json.Unmarshal(r.Certificate, &cert); err != nil {
		return fmt.Errorf("read the certificate of run %d: %w", r.Run, err)
	}
	if err := c.printf("\nCertificate of %s: legacy credentials were removed by %s\n", moment(&cert.At), printable(cert.Actor)); err != nil {
		return err
	}
	for _, cond := range cert.Conditions {
		if err := c.printf("  %s: %s\n", cond.Name, printable(cond.Evidence)); err != nil {
			return err
		}
	}
	if cert.LegacyColumn != "" {
		if err := c.printf("  the app's own table: %s\n", printable(cert.LegacyColumn)); err != nil {
			return err
		}
	}
	for _, w := range cert.Waived {
		if err := c.printf("  waived %s: %s\n", w.Shop, printable(w.Reason)); err != nil {
			return err
		}
	}
	return c.printAttestations(cert.Attestations)
}

// consentLine is one line of --consent.
type consentLine struct {
	Domain        string   `json:"domain"`
	MissingScopes []string `json:"missing_scopes"`
	AuthorizeURL  string   `json:"authorize_url"`
}

// listConsent writes the shops whose merchants must authorize the app again,
// because a derived token cannot do all that the app needs.
func (c *cli) listConsent(ctx context.Context, o onRun) error {
	needed := o.app.Settings.Scopes
	if len(needed) == 0 {
		return exitWith(exitFailed, fmt.Errorf("the scopes that app %s needs are not known", o.app.Name),
			fmt.Sprintf("rotator app set --name %s --scope SCOPE, once for each", o.app.Name))
	}
	missing := haravan.MissingScopes(needed)
	out := csv.NewWriter(answer{c})
	if !c.asJSON {
		if err := out.Write([]string{"domain", "missing_scopes", "authorize_url"}); err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
	}
	err := error(nil)
	if len(missing) > 0 {
		err = o.eachItem(ctx, consentStates, func(i store.ItemInfo) (bool, error) {
			url := o.installURL(i.Domain)
			if c.asJSON {
				return true, c.printJSON(consentLine{i.Domain, missing, url})
			}
			return true, out.Write([]string{i.Domain, strings.Join(missing, " "), url})
		})
	}
	if out.Flush(); err == nil {
		err = out.Error()
	}
	return err
}
