package main

import (
	"bytes"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
)

// TestAMigrationOfABoundTableShowsNoSecret takes a fleet that is in the app's own
// table from legacy tokens to a dropped column, and searches all that was said.
func TestAMigrationOfABoundTableShowsNoSecret(t *testing.T) {
	t.Parallel()
	sim := startSim(t, haravansim.Options{Shops: 30, Legacy: 30, Seed: 5})
	r := newRig(t)
	r.env = append(r.env, "ROTATOR_API_URL="+sim.PlatformURL, "ROTATOR_LOG_LEVEL=debug")
	r.ok("", "app", "set", "--name", "main", "--client-id", sim.App().ClientID, "--scope", "read_products")
	r.ok(sim.Secrets()[0].Value, "secret", "add")
	values := []string{sim.Secrets()[0].Value}
	var fill strings.Builder
	fill.WriteString(`create table public.app (id integer generated always as identity primary key, shop text, old text not null default '');`)
	for s := range sim.Shops {
		if s.LegacyToken == "" {
			continue
		}
		derived, err := haravan.DeriveToken(secret.New(sim.Secrets()[0].Value), secret.New(s.LegacyToken))
		must(t, err)
		values = append(values, s.LegacyToken, derived.Reveal())
		fill.WriteString(`insert into public.app (shop, old) values ('` + s.Domain + `', '` + s.LegacyToken + `');`)
	}
	on := strings.TrimPrefix(r.env[0], "DATABASE_URL=")
	must(t, sqlOn(on, fill.String()))
	var said bytes.Buffer
	do := func(exit int, want string, args ...string) {
		t.Helper()
		got := r.run("", args...)
		said.WriteString(got.stdout + got.stderr)
		if got.code != exit || !strings.Contains(got.stdout+got.stderr, want) {
			t.Fatalf("%v: exit %d, want %d and %q:\n%s%s", args, got.code, exit, want, got.stdout, got.stderr)
		}
	}
	bind := []string{"shop", "bind", "--table", "public.app", "--key", "id", "--domain", "shop", "--legacy-token", "old", "--oauth-token", "oauth_token"}
	do(0, "", append(bind, "--create-column")...)
	do(0, "", "shop", "import", "--bound")
	sim.CreateTestApp()
	do(0, "", "tokenmigration", "plan")
	do(0, "", "tokenmigration", "start")
	do(exitWaiting, "confirm checked", "worker", "--once")
	do(0, "cancelled", "tokenmigration", "cancel", "--confirm", "main")
	must(t, sqlOn(on, `do $$ begin if exists (select from public.app where oauth_token <> '') then raise 'derived tokens are left'; end if; end $$`))
	do(0, "", "tokenmigration", "start")
	do(exitWaiting, "confirm checked", "worker", "--once")
	// Without the table, and with it again: each time with what the app needs before the cutover.
	do(0, "give the app its new tokens with `rotator shop export --derived`", "shop", "bind", "--remove")
	do(0, "fill the column from `rotator shop export --derived` before, or cancel the run", bind...)
	do(exitWaiting, "confirm checked", "worker", "--once")
	do(0, "", "tokenmigration", "confirm", "checked", "--note", "n")
	sim.SwitchToOAuth()
	do(0, "", "tokenmigration", "confirm", "cutover", "--app", "main", "--note", "n")
	do(exitWaiting, "confirm scrubbed", "worker", "--once")
	do(exitUsage, "--drop-column goes with", "tokenmigration", "confirm", "closed", "--drop-column")
	do(0, `cannot be undone: alter table "public"."app" drop column "old"`,
		"tokenmigration", "confirm", "scrubbed", "--app", "main", "--note", "n", "--drop-column")
	do(0, `the app's own table: dropped: alter table "public"."app" drop column "old"`, "tokenmigration", "report")
	do(0, "", "tokenmigration", "confirm", "closed")
	do(0, "", "journal", "list", "--json")
	must(t, sqlOn(on, `do $$ begin if exists (select from public.app where oauth_token is null) then raise 'no token'; end if; end $$`))
	if found := plant(values...).in(said.String()); found != "" {
		t.Errorf("%q was shown", found)
	}
}
