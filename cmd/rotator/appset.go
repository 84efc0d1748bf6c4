package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// appFlags are the flags of `app set`. Only those that were given change
// anything; changed tells which.
type appFlags struct {
	name, clientID, apiURL, redirectURI, checkSample string
	scopes                                           []string
	wire                                             haravan.Wire
	wireProbe, healthURL                             string
	inflight                                         int
	grace                                            time.Duration
	pacing                                           pacingFlags
	waves                                            waveFlags
	deliver                                          deliverFlags
	ages                                             ageFlags

	changed func(flag string) bool
}

func newAppSet(c *cli) *cobra.Command {
	var f appFlags
	cmd := &cobra.Command{
		Use: "set [--name NAME] [--client-id ID] [flags]", Short: "Make an app, or change its settings",
		Long: `Make an app, or change the settings of one: flags that are not given keep what is
stored. All flags are checked before anything is stored. An empty value, or 0 for
a number, goes back to the default.

A run keeps the policy that it was started with. Live workers take up another
--client-id or --api-url at once.

--deliver-url is told of every new token from then on, by signed HTTP requests
(see README.md); it is shown and logged, so no password belongs into it.
--deliver-key-new makes the key and writes it to a file that you alone can read,
for the app's configuration. Another URL or key makes failed deliveries due now.

JSON: as rotator app show.`,
		Example: `  rotator app set --name main --client-id CLIENT_ID
  rotator app set --scope com.read_products --scope com.read_orders --redirect-uri https://app.example.com/callback
  rotator app set --waves canary=10,1%,10%,50%,all --budget 10%,platform=5%
  rotator app set --health-url https://app.example.com/health
  rotator app set --deliver-url https://app.example.com/tokens --deliver-key-new deliver-key.txt
  rotator app set --wire-secret-param both --wire-path /admin/oauth/access_token.json`,
		Args: takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			f.changed = cmd.Flags().Changed
			return c.setApp(cmd.Context(), cmd, &f)
		},
	}
	fs := cmd.Flags()
	fs.StringVar(&f.name, "name", "", "name of the app (default: the only one)")
	fs.StringVar(&f.clientID, "client-id", "", "client id (API key) of the app")
	fs.StringVar(&f.apiURL, "api-url", "", "where this app's requests go, over ROTATOR_API_URL")
	fs.StringSliceVar(&f.scopes, "scope", nil, "scope that the app asks for, for re-install links; repeatable")
	fs.StringVar(&f.redirectURI, "redirect-uri", "", "redirect URI of the app, for re-install links")
	fs.StringVar(&f.wire.SecretParam, "wire-secret-param", "", "name of the secret's parameter: client_secret, shared_secret or both")
	fs.StringVar(&f.wire.Path, "wire-path", "", "path of the token endpoint")
	fs.StringVar(&f.wire.Body, "wire-body", "", "encoding of the request: form or json")
	fs.BoolVar(&f.wire.SendAccessToken, "wire-send-access-token", false, "send the shop's current token too")
	fs.BoolVar(&f.wire.SendGrantType, "wire-send-grant-type", false, "send grant_type=refresh_token too")
	fs.BoolVar(&f.wire.RejectSame, "wire-reject-same", false, "refuse an answer that repeats the current token")
	fs.IntVar(&f.inflight, "inflight", 0, "most calls in flight per run")
	f.pacing.add(fs)
	fs.DurationVar(&f.grace, "webhook-grace", 0, "how long webhooks signed by the old secret are accepted after its revoke")
	fs.StringVar(&f.checkSample, "check-sample", "", "shops that are looked at after the revoke: how many at least, or all")
	fs.StringVar(&f.wireProbe, "wire-probe", "", "whether the first canary shop finds the spelling that the platform takes: on, off, or empty for on unless a --wire flag was set")
	fs.StringVar(&f.healthURL, "health-url", "", "URL of the app that is polled while a run exchanges; the run is held when it fails")
	f.waves.add(fs)
	f.deliver.add(cmd)
	f.ages.add(fs)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func (c *cli) setApp(ctx context.Context, cmd *cobra.Command, f *appFlags) error {
	s, done, err := c.openStore(ctx)
	if err != nil {
		return err
	}
	defer done()
	a, err := s.App(ctx, f.name)
	switch {
	case err == nil:
	case !errors.Is(err, store.ErrNotFound):
		return err
	case f.name == "":
		return usagef(cmd, "no app is set yet: name it with --name and --client-id")
	default:
		a = store.App{Name: f.name}
	}
	key, err := f.deliver.key(ctx, c, cmd)
	if err := errors.Join(f.apply(&a), err); err != nil {
		return exitWith(exitUsage, err, "nothing was stored")
	}
	if err := f.deliver.saveKey(key); err != nil {
		return err
	}
	a.DeliverKey = key
	c.waiting("waiting for the database, app %s", a.Name) // once more: a key may have been read
	if a, err = s.SetApp(ctx, c.actor, a); err != nil {
		return f.deliver.notStored(err)
	}
	return c.printApp(a)
}

// appName is the rule that the database keeps, too.
var appName = regexp.MustCompile(`^[a-z0-9][a-z0-9_-]{0,62}$`)

// apply changes a by the flags that were given and reports every mistake.
func (f *appFlags) apply(a *store.App) error {
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !appName.MatchString(a.Name) {
		fail("--name: use lower-case letters, digits, _ and -, at most 63, beginning with a letter or digit")
	}
	if f.changed("client-id") {
		a.ClientID = f.clientID
	}
	if a.ClientID == "" || strings.ContainsFunc(a.ClientID, func(r rune) bool { return r <= ' ' || r > '~' }) {
		fail("--client-id: give the app's client id, without white space")
	}
	set := &a.Settings
	if f.changed("api-url") {
		set.APIURL = f.apiURL
	}
	if f.changed("redirect-uri") {
		set.RedirectURI = f.redirectURI
	}
	if f.changed("scope") {
		set.Scopes = slices.DeleteFunc(f.scopes, func(s string) bool { return s == "" })
	}
	if f.changed("inflight") {
		set.InFlight = f.inflight
	}
	if f.changed("webhook-grace") {
		seconds := int(f.grace.Seconds())
		if set.GraceSeconds = &seconds; f.grace < 0 || f.grace > 7*24*time.Hour {
			fail("--webhook-grace %s: use 0 to 168h", f.grace)
		}
	}
	if f.changed("wire-probe") {
		if set.WireProbe = f.wireProbe; !slices.Contains([]string{"", "on", "off"}, f.wireProbe) {
			fail("--wire-probe %s: use on or off", quoted(f.wireProbe))
		}
	}
	if f.changed("health-url") {
		set.HealthURL = f.healthURL
		errs = append(errs, checkHealthURL(f.healthURL))
	}
	errs = append(errs, f.pacing.apply(f.changed, &set.Pacing), f.applySample(set), f.applyWire(set), f.applyWaves(set), f.deliver.apply(f.changed, a), f.ages.apply(f.changed, set))
	errs = append(errs, checkApp(*a))
	return errors.Join(errs...)
}

func (f *appFlags) applySample(set *store.AppSettings) error {
	switch {
	case !f.changed("check-sample"):
		return nil
	case f.checkSample == "all":
		set.CheckSample = -1
		return nil
	case f.checkSample == "":
		set.CheckSample = 0
		return nil
	}
	n, err := strconv.Atoi(f.checkSample)
	if err != nil || n < 0 {
		return fmt.Errorf("--check-sample %s: write a number of shops, or all", quoted(f.checkSample))
	}
	set.CheckSample = n
	return nil
}

func (f *appFlags) applyWire(set *store.AppSettings) error {
	var w haravan.Wire
	if len(set.Wire) > 0 {
		if err := json.Unmarshal(set.Wire, &w); err != nil {
			return fmt.Errorf("read the stored wire variant: %w", err)
		}
	}
	for flag, assign := range map[string]func(){
		"wire-secret-param":      func() { w.SecretParam = f.wire.SecretParam },
		"wire-path":              func() { w.Path = f.wire.Path },
		"wire-body":              func() { w.Body = f.wire.Body },
		"wire-send-access-token": func() { w.SendAccessToken = f.wire.SendAccessToken },
		"wire-send-grant-type":   func() { w.SendGrantType = f.wire.SendGrantType },
		"wire-reject-same":       func() { w.RejectSame = f.wire.RejectSame },
	} {
		if f.changed(flag) {
			assign()
		}
	}
	set.Wire = nil
	if w == (haravan.Wire{}) {
		return nil
	}
	text, err := json.Marshal(w)
	if err != nil {
		return fmt.Errorf("encode the wire variant: %w", err)
	}
	set.Wire = text
	return nil
}

func (f *appFlags) applyWaves(set *store.AppSettings) error {
	p := rotation.DefaultWavePolicy
	if set.Waves != nil {
		p = *set.Waves
	}
	p, none, err := f.waves.apply(p, f.changed)
	if !none {
		set.Waves = &p
	}
	return err
}

// checkApp asks package haravan, which will use the settings, about each alone: it
// does not know what its flag is called.
func checkApp(a store.App) error {
	client, err := clientConfig(a, "")
	if err != nil {
		return err
	}
	if _, err := haravan.New(haravan.Config{UserAgent: client.UserAgent}); err != nil {
		return err // the environment's
	}
	var errs []error
	about := func(flag string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("--%s: %s", flag, strings.TrimPrefix(err.Error(), "build install url: ")))
		}
	}
	_, err = haravan.New(haravan.Config{APIURL: client.APIURL})
	about("api-url", err)
	_, err = haravan.New(haravan.Config{InFlight: client.InFlight})
	about("inflight", err)
	errs = append(errs, client.Wire.Validate())
	if scopes := a.Settings.Scopes; len(scopes) > 0 {
		_, err = haravan.InstallURL("any", "any", scopes, "")
		about("scope", err)
	}
	_, err = haravan.InstallURL("any", "any", []string{"any"}, a.Settings.RedirectURI)
	about("redirect-uri", err)
	return errors.Join(errs...)
}
