package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
)

// newLegacyFleet is a rig whose app main began with legacy credentials.
func newLegacyFleet(t *testing.T, o haravansim.Options) (*rig, *haravansim.Server) {
	t.Helper()
	sim := startSim(t, o)
	r := newRig(t)
	r.env = append(r.env, "ROTATOR_API_URL="+sim.PlatformURL, "ROTATOR_LOG_LEVEL=debug")
	r.ok("", "app", "set", "--name", "main", "--client-id", sim.App().ClientID, "--scope", "read_shop")
	r.ok(sim.Secrets()[0].Value, "secret", "add")
	var list strings.Builder
	list.WriteString("domain,access_token,legacy_token,legacy_password\n")
	for s := range sim.Shops {
		list.WriteString(strings.Join([]string{s.Domain, s.AccessToken, s.LegacyToken, s.LegacyPassword}, ",") + "\n")
	}
	r.ok(list.String(), "shop", "import", "-")
	return r, sim
}

// TestNoStepOfATokenMigrationShowsASecret drives one with what can go wrong on
// the way, and searches all that was printed and logged for every secret, every
// legacy credential and every derived token.
func TestNoStepOfATokenMigrationShowsASecret(t *testing.T) {
	t.Parallel()
	r, sim := newLegacyFleet(t, haravansim.Options{Shops: 40, Legacy: 30, Seed: 12, Faults: haravansim.Hostile()})
	values := []string{"planted/wrong+token", sim.Secrets()[0].Value}
	for s := range sim.Shops {
		for _, v := range []string{s.AccessToken, s.LegacyToken, s.LegacyPassword} {
			if v != "" {
				values = append(values, v)
			}
		}
		if s.LegacyToken != "" {
			derived, err := haravan.DeriveToken(secret.New(sim.Secrets()[0].Value), secret.New(s.LegacyToken))
			must(t, err)
			values = append(values, derived.Reveal())
		}
	}
	var said bytes.Buffer
	ran := map[string]bool{}
	do := func(lines ...[]string) {
		for _, line := range lines {
			got := r.run("", line...)
			ran[commandOf(line)] = true
			said.WriteString(got.stdout + got.stderr)
		}
	}
	tm := func(words ...string) []string { return append([]string{"tokenmigration"}, words...) }
	must(t, sim.AnswerAs("shop-000007.myharavan.com", "shop-000008.myharavan.com"))
	do(tm("plan"), tm("plan", "--json"), tm("plan", "planted/wrong+token"), tm("start", "--sample", "planted/wrong+token"),
		tm("start", "--json"), tm("start"), []string{"worker", "--once"}, tm("next"), tm("status"), tm("explain"))
	sim.CreateTestApp()
	do(tm("resume"), []string{"worker", "--once", "--log-format", "json"}, tm("status", "--json"), tm("status", "--watch"),
		tm("report"), tm("report", "--json"), tm("report", "--exceptions"), tm("report", "--exceptions", "--json"),
		tm("report", "--consent"), tm("report", "--consent", "--json"),
		tm("explain", "shop-000007", "--json"), tm("explain", "planted/wrong+token"), tm("retry", "--class", "planted/wrong+token"),
		tm("retry"), []string{"worker", "--once"}, tm("waive", "shop-000007", "--reason", "r"), tm("pause"), tm("resume"),
		[]string{"worker", "--once"}, tm("confirm", "checked", "--note", "n"), tm("cancel"), tm("confirm", "planted/wrong+token"))
	sim.SwitchToOAuth()
	do(tm("confirm", "cutover", "--app", "main", "--note", "n"), []string{"worker", "--once"}, tm("retry"), []string{"worker", "--once"},
		tm("report"), tm("confirm", "scrubbed", "--app", "main", "--note", "n"), tm("report"),
		tm("confirm", "closed"), tm("report", "--json"), []string{"shop", "list", "--json"}, []string{"journal", "list", "--json"})
	if !strings.Contains(said.String(), "legacy credentials were removed by tester") {
		t.Fatalf("the migration did not come to its scrub:\n%s", said.String())
	}
	if found := plant(values...).in(said.String()); found != "" {
		at := strings.Index(said.String(), found)
		t.Errorf("%q was shown: …%s…", found, said.String()[max(0, at-300):min(said.Len(), at+100)])
	}
	migration, _, err := newRoot(newCLI(nil, nil, nil, nil)).Find(tm())
	must(t, err)
	unsearched := slices.DeleteFunc(migration.Commands(), func(cmd *cobra.Command) bool { return ran[cmd.CommandPath()] })
	for _, cmd := range unsearched {
		t.Errorf("%s was not searched for secrets", cmd.CommandPath())
	}
}

// TestWrongSecretVersionIsHeldAtOnce: tokens of the wrong version look like any
// other until the first shops are asked.
func TestWrongSecretVersionIsHeldAtOnce(t *testing.T) {
	t.Parallel()
	r, sim := newLegacyFleet(t, haravansim.Options{Shops: 60, Legacy: 60, Seed: 4})
	r.ok("another-secret-of-the-same-app", "secret", "add")
	sim.CreateTestApp()
	plan := r.ok("", "tokenmigration", "plan", "--secret-version", "2")
	if want := "version 2, not the oldest, version 1 is active: the derived tokens are right only if"; !strings.Contains(plan.stdout, want) {
		t.Errorf("the plan does not say %q: %s", want, plan.stdout)
	}
	r.ok("", "tokenmigration", "start", "--secret-version", "2")
	got := r.exits(exitWaiting, "", "worker", "--once")
	for _, want := range []string{"waiting_for_operator", "secret version 2", "--secret-version"} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("the worker does not say %q: %s", want, got.stdout)
		}
	}
	if asked := sim.Counts().IdentityCalls; asked == 0 || asked > 20 {
		t.Errorf("%d shops were asked with tokens of the wrong secret", asked)
	}
	r.ok("", "tokenmigration", "cancel", "--confirm", "main")
	r.ok("", "tokenmigration", "start")
	got = r.exits(exitWaiting, "", "worker", "--once")
	if !strings.Contains(got.stdout, "confirm checked") {
		t.Errorf("the right version does not come to its check: %s", got.stdout)
	}
}
