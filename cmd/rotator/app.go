package main

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newApp(c *cli) *cobra.Command {
	return noun("app", "The Haravan application and its policy",
		"An app is one Haravan application: its client id, the hosts it is reached at, the\nwire variant of its token exchange, and the policy of its runs.",
		newAppSet(c), newAppShow(c), newAppList(c), newAppRemove(c))
}

func newAppShow(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "show", Short: "Show an app's settings, defaults filled in",
		Long: `Show an app's settings. What was never set is shown with the default in force.

JSON: one object {name, client_id, created_at, settings, effective}. settings
holds what was set; effective what is in force: {api_url, wire, scopes,
redirect_uri, inflight, webhook_grace_seconds, check_sample, waves, wire_probe,
health_url, secret_max_age_hours, secret_warn_age_hours}. With a key that signs
deliveries there is deliver_key_fingerprint, too; settings has the deliver_url.`,
		Example: "  rotator app show\n  rotator app show --app main --json",
		Args:    takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, done, err := c.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			a, err := c.app(cmd.Context(), s)
			if err != nil {
				return err
			}
			return c.printApp(a)
		},
	}
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func newAppList(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "list", Short: "List the apps",
		Long:    "List the apps by name.\n\nJSON Lines: one object {name, client_id, created_at, settings} per app.",
		Example: "  rotator app list\n  rotator app list --json",
		Args:    takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, done, err := c.openStore(cmd.Context())
			if err != nil {
				return err
			}
			defer done()
			apps, err := s.Apps(cmd.Context())
			if err != nil {
				return err
			}
			return c.printApps(apps)
		},
	}
	c.jsonFlag(cmd, "print JSON Lines")
	return cmd
}

func (c *cli) printApps(apps []store.App) error {
	if !c.asJSON {
		rows := make([][]string, len(apps))
		for i, a := range apps {
			rows[i] = []string{a.Name, a.ClientID, moment(&a.CreatedAt)}
		}
		return c.printTable([]string{"NAME", "CLIENT ID", "CREATED"}, rows)
	}
	for _, a := range apps {
		if err := c.printJSON(a); err != nil {
			return err
		}
	}
	return nil
}

// effective is an app's settings with the defaults filled in.
type effective struct {
	APIURL              string              `json:"api_url"`
	Wire                haravan.Wire        `json:"wire"`
	Scopes              []string            `json:"scopes,omitempty"`
	RedirectURI         string              `json:"redirect_uri,omitempty"`
	InFlight            int                 `json:"inflight"`
	Rate                float64             `json:"rate"`
	HeadroomPercent     int                 `json:"headroom_percent"`
	WebhookGraceSeconds int                 `json:"webhook_grace_seconds"`
	CheckSample         int                 `json:"check_sample"`
	Waves               rotation.WavePolicy `json:"waves"`
	SecretMaxAgeHours   int                 `json:"secret_max_age_hours"`
	SecretWarnAgeHours  int                 `json:"secret_warn_age_hours"`
	WireProbe           bool                `json:"wire_probe"`
	HealthURL           string              `json:"health_url,omitempty"`
}

// inForce fills defaults in. apiURL is the configuration's.
func inForce(a store.App, apiURL string) (effective, error) {
	client, err := clientConfig(a, apiURL)
	if err != nil {
		return effective{}, err
	}
	e := effective{
		APIURL: client.APIURL, Wire: filledWire(client.Wire),
		Scopes: a.Settings.Scopes, RedirectURI: a.Settings.RedirectURI, InFlight: a.Settings.InFlight,
		Rate: a.Settings.Rate, HeadroomPercent: a.Settings.HeadroomPercent(),
		WebhookGraceSeconds: int(a.Settings.Grace().Seconds()), CheckSample: a.Settings.CheckSample,
		Waves: rotation.DefaultWavePolicy, WireProbe: a.Settings.Probes(), HealthURL: a.Settings.HealthURL,
	}
	policy := a.Settings.Policy()
	e.SecretMaxAgeHours, e.SecretWarnAgeHours = int(policy.MaxAge.Hours()), int(policy.WarnAge.Hours())
	if e.InFlight == 0 {
		e.InFlight = haravan.DefaultInFlight
	}
	if e.CheckSample == 0 {
		e.CheckSample = store.DefaultCheckSample
	}
	if a.Settings.Waves != nil {
		e.Waves = *a.Settings.Waves
	}
	return e, nil
}

// clientConfig is the client's configuration for an app.
func clientConfig(a store.App, apiURL string) (haravan.Config, error) {
	hc := haravan.Config{APIURL: apiURL, InFlight: a.Settings.InFlight, UserAgent: "rotator/" + buildVersion()}
	if a.Settings.APIURL != "" {
		hc.APIURL = a.Settings.APIURL
	}
	if len(a.Settings.Wire) > 0 {
		if err := json.Unmarshal(a.Settings.Wire, &hc.Wire); err != nil {
			return hc, exitWith(exitConfig, fmt.Errorf("read the wire variant of app %s: %w", a.Name, err), "set it again: rotator app set --wire-path …")
		}
	}
	return hc, nil
}

func filledWire(w haravan.Wire) haravan.Wire {
	d := haravan.DefaultWire()
	if w.SecretParam == "" {
		w.SecretParam = d.SecretParam
	}
	if w.Path == "" {
		w.Path = d.Path
	}
	if w.Body == "" {
		w.Body = d.Body
	}
	return w
}

func (c *cli) printApp(a store.App) error {
	cfg, err := c.settings()
	if err != nil {
		return err
	}
	e, err := inForce(a, cfg.APIURL)
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(struct {
			store.App
			Effective effective `json:"effective"`
		}{a, e})
	}
	sample := plural(e.CheckSample, "shop") + " at least"
	if e.CheckSample < 0 {
		sample = "all shops"
	}
	return c.printFacts(
		fact{"name", a.Name},
		fact{"client id", a.ClientID},
		fact{"api url", e.APIURL},
		fact{"wire", describeWire(e)},
		fact{"scopes", strings.Join(e.Scopes, ", ")},
		fact{"redirect uri", e.RedirectURI},
		fact{"in flight", strconv.Itoa(e.InFlight)},
		fact{"rate", describeRate(e.Rate)},
		fact{"headroom", fmt.Sprintf("%d%% of each shop's bucket", e.HeadroomPercent)},
		fact{"webhook grace", a.Settings.Grace().String()},
		fact{"check sample", sample},
		fact{"waves", describeWaves(e.Waves)},
		fact{"deliver url", a.Settings.DeliverURL},
		fact{"deliver key", fingerprinted(a.DeliverKeyFingerprint)},
		fact{"secret's age", fmt.Sprintf("at most %s, said from %s on", age(e.SecretMaxAgeHours), age(e.SecretWarnAgeHours))},
		fact{"health url", e.HealthURL},
		fact{"created", moment(&a.CreatedAt)},
	)
}

// fingerprinted names a value by its fingerprint; "" for none.
func fingerprinted(fingerprint string) string {
	if fingerprint == "" {
		return ""
	}
	return "fingerprint " + fingerprint
}

func describeWire(e effective) string {
	if e.WireProbe {
		return e.Wire.String() + "; the first canary shop finds what the platform takes"
	}
	return e.Wire.String()
}

func describeWaves(p rotation.WavePolicy) string {
	var parts []string
	if p.Canary > 0 {
		parts = append(parts, "canary of "+plural(p.Canary, "shop"))
	}
	for _, share := range p.Shares {
		parts = append(parts, percent(share))
	}
	text := strings.Join(append(parts, "all"), ", ") + "; error budget " + percent(p.Budget)
	for _, c := range slices.Sorted(maps.Keys(p.Budgets)) {
		text += fmt.Sprintf(", %s %s", c, percent(p.Budgets[c]))
	}
	return text
}

func percent(share float64) string { return strconv.FormatFloat(share*100, 'g', 4, 64) + "%" }
