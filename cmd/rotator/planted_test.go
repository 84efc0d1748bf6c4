package main

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/hex"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// planted are the values that must not come out, and how they could hide.
type planted []string

func plant(values ...string) planted {
	var all planted
	for _, v := range values {
		all = append(all, v, url.QueryEscape(v), hex.EncodeToString([]byte(v)), base64.StdEncoding.EncodeToString([]byte(v)))
	}
	return all
}

func (p planted) in(text string) string {
	for _, v := range p {
		if strings.Contains(text, v) {
			return v
		}
	}
	return ""
}

// plantedDeliverKey is a key as receivers have it.
const plantedDeliverKey = "whsec_cGxhbnRlZC1kZWxpdmVyLWtleS1vZi0zMi1ieXRlcyE="

// TestNoCommandShowsASecret plants tokens and secrets, runs every command in
// every way that reaches them, and searches what was printed.
func TestNoCommandShowsASecret(t *testing.T) {
	t.Parallel()
	values := []string{
		"planted/token+one", "planted/token+two", "planted/legacy+token", "planted/legacy+password",
		"planted/secret+one", "planted/secret+two", "planted/bad row+token", plantedDeliverKey, "planted-url-password",
	}
	hidden := plant(values...)
	r := newRig(t)
	sim := startSim(t, haravansim.Options{})
	r.env = append(r.env, "ROTATOR_API_URL="+sim.PlatformURL, "ROTATOR_LOG_LEVEL=debug")

	list := r.file("shops.csv", "domain,access_token,legacy_token,legacy_password\n"+
		"one,planted/token+one,planted/legacy+token,\ntwo,planted/token+two,,planted/legacy+password\n")
	bad := r.file("bad.csv", "domain,access_token\none,planted/bad row+token\nplanted/token+one,x\n\"planted/token+two,\n")
	swapped := r.file("swapped.csv", "access_token,domain\none,planted/token+one\n")
	headless := r.file("headless.csv", "one,planted/token+one\n")
	objects := r.file("shops.jsonl", `{"domain":"one","access_token":"planted/token+one","planted/token+two":1}`+"\n{planted/token+one\n")
	first, second := r.file("first", "planted/secret+one\n"), r.file("second", "planted/secret+two")
	spaced := r.file("spaced", "planted/secret+one planted/secret+two")
	deliverKey := r.file("deliver-key", plantedDeliverKey+"\n")
	journal := r.file("journal.jsonl", `{"seq":1,"actor":"planted/secret+one","detail":{}}`+"\n")
	wrong := r.dir + "/wrong-keyring.json"

	if err := sqlOn(strings.TrimPrefix(r.env[0], "DATABASE_URL="), `create table public.app (id integer primary key, shop text, token text);
		insert into public.app values (1, 'two', 'planted/token+two'), (2, 'planted/token+one', 'x'), (3, 'three', 'planted/bad row+token'), (4, 'two', 'planted/token+one')`); err != nil {
		t.Fatal(err)
	}

	// Every command line; wantOut is the one way out.
	ran := map[string]bool{}
	for _, line := range [][]string{
		{"keyring", "create", wrong, "--json"},
		{"keyring", "create", wrong},
		{"keyring", "show"},
		{"keyring", "show", list},
		{"db", "migrate"},
		{"db", "status"},
		{"db", "status", "--json"},
		{"db", "stop"},
		{"app", "set", "--name", "main", "--client-id", "client-1"},
		{"app", "set", "--deliver-url", "https://planted-url-password@h/", "--deliver-key-file", deliverKey},
		{"app", "set", "--deliver-url", "https://u:planted-url-password@h:x/", "--deliver-key-file", first},
		{"app", "set", "--deliver-url", "http://127.0.0.1:1/", "--deliver-key-file", deliverKey},
		{"app", "set", "--deliver-key-new", deliverKey},
		{"app", "show", "--json"},
		{"delivery", "list"},
		{"delivery", "list", "--json"},
		{"delivery", "list", "--state", "planted/secret+one"},
		{"delivery", "retry"},
		{"delivery", "retry", "planted/token+one"},
		{"app", "list"},
		{"app", "remove", "--confirm", "planted/secret+one"},
		{"secret", "add", "--file", first},
		{"secret", "add", "--file", second, "--json"},
		{"secret", "add", "--file", first},
		{"secret", "add", "--file", spaced},
		{"secret", "add", "--file", list},
		{"secret", "add", "planted/secret+one"},
		{"secret", "planted/secret+one"},
		{"planted/secret+one"},
		{"secret", "add", "--value=planted/secret+one"},
		{"help", "planted/secret+one"},
		{"secret", "list"},
		{"secret", "list", "--json"},
		{"secret", "identify", "--file", second},
		{"secret", "identify", "--file", first, "--json"},
		{"secret", "identify", "--file", spaced},
		{"secret", "identify", "--file", list},
		{"secret", "swap", "--old", "planted/secret+two", "--confirm", "planted/secret+one"},
		{"secret", "swap", "--old", "2", "--confirm", "planted/secret+one"},
		{"secret", "swap", "--old", "2", "--confirm", "main"},
		{"secret", "swap", "--old", "1", "--confirm", "main"},
		{"secret", "discard", "planted/secret+one", "--confirm", "planted/secret+two"},
		{"secret", "discard", "1", "--confirm", "planted/secret+two"},
		{"secret", "discard", "1", "--confirm", "main"},
		{"shop", "import", list, "--secret-version", "1"},
		{"shop", "import", list, "--json"},
		{"shop", "import", bad},
		{"shop", "import", bad, "--skip-bad", "--json"},
		{"shop", "import", bad, "--dry-run"},
		{"shop", "import", swapped},
		{"shop", "import", headless, "--json"},
		{"shop", "import", objects},
		{"shop", "import", first},
		{"shop", "list"},
		{"shop", "list", "--json"},
		{"shop", "show", "one"},
		{"shop", "show", "two", "--json"},
		{"shop", "show", "planted/token+one"},
		{"shop", "exclude", "one", "--reason", "test"},
		{"shop", "exclude", "one", "--undo", "--json"},
		{"shop", "export", "--output", r.dir + "/out.csv"},
		{"shop", "export", "--output", r.dir + "/out.csv", "--json"},
		{"shop", "export", "--columns", "planted/token+one"},
		{"shop", "export", "--changed-since", "1", "--output", r.dir + "/changed.csv"},
		{"shop", "bind", "--table", "public.app", "--key", "id", "--domain", "shop", "--access-token", "token", "--codec", "planted/secret+one"},
		{"shop", "bind", "--table", "public.app", "--key", "id", "--domain", "shop", "--access-token", "none", "--json"},
		{"shop", "bind", "--table", "public.app", "--key", "id", "--domain", "shop", "--access-token", "token", "--create-column"},
		{"shop", "bind", "--table", "public.app", "--key", "id", "--domain", "shop", "--access-token", "token", "--json"},
		{"shop", "bind"},
		{"shop", "bind", "--json"},
		{"shop", "import", "--bound"},
		{"shop", "import", "--bound", "--skip-bad", "--json"},
		{"shop", "import", "--bound", list},
		{"shop", "show", "two"},
		{"shop", "bind", "--remove"},
		{"shop", "list", "--keyring", wrong},
		{"secret", "list", "--keyring", list},
		{"journal", "list"},
		{"journal", "list", "--json"},
		{"journal", "verify"},
		{"journal", "verify", journal},
		{"journal", "verify", list},
		{"doctor"},
		{"doctor", "--json"},
		{"doctor", "--api-url", "http://127.0.0.1:1"},
		{"doctor", "--keyring", wrong},
		{"check"},
		{"check", "--json"},
		{"check", "--keyring", wrong},
		{"check", "--api-url", "http://127.0.0.1:1"},
		{"keyring", "verify", wrong},
		{"keyring", "verify", list},
		{"version"},
		{"version", "--json"},
	} {
		got := r.run("", line...)
		ran[commandOf(line)] = true
		if found := hidden.in(got.stdout + got.stderr); found != "" {
			t.Errorf("rotator %v shows %q\n%s%s", line, found, got.stdout, got.stderr)
		}
	}
	requireAllRan(t, ran)

	// The search finds what is there: an export is the one way out.
	exported, err := os.ReadFile(r.dir + "/out.csv")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.ok("", "shop", "export"); hidden.in(got.stdout) == "" || got.stdout != string(exported) {
		t.Errorf("the export lacks the tokens: %s", got.stdout)
	}
}

// commandOf is the noun and verb of a command line.
func commandOf(line []string) string {
	cmd, _, err := newRoot(newCLI(nil, nil, nil, nil)).Find(line)
	if err != nil {
		return ""
	}
	return cmd.CommandPath()
}

// requireAllRan fails for a command of these nouns that the search left out.
// The simulator has no secret but its own.
func requireAllRan(t *testing.T, ran map[string]bool) {
	t.Helper()
	var visit func(*cobra.Command)
	visit = func(cmd *cobra.Command) {
		if cmd.Runnable() && !cmd.HasSubCommands() && !ran[cmd.CommandPath()] {
			t.Errorf("%s was not searched for secrets", cmd.CommandPath())
		}
		for _, sub := range cmd.Commands() {
			visit(sub)
		}
	}
	for _, cmd := range newRoot(newCLI(nil, nil, nil, nil)).Commands() {
		if slices.Contains([]string{"app", "check", "db", "delivery", "doctor", "journal", "keyring", "secret", "shop", "version"}, cmd.Name()) {
			visit(cmd)
		}
	}
}

func startSim(t *testing.T, o haravansim.Options) *haravansim.Server {
	t.Helper()
	sim, err := haravansim.Start(t.Context(), o, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	return sim
}

// TestDatabasePasswordIsNotShown: the URL of a database that cannot be reached
// or read holds a password.
func TestDatabasePasswordIsNotShown(t *testing.T) {
	t.Parallel()
	for _, databaseURL := range []string{
		"postgres://user:planted-password@127.0.0.1:1/none",
		"postgres://user:planted-password/with slash@127.0.0.1:1/none",
		"host=127.0.0.1 port=1 user=u password=planted-password",
		"host=127.0.0.1 port=x password=planted-password",
		"'planted-password",
	} {
		env := []string{"DATABASE_URL=" + databaseURL, "ROTATOR_KEYRING=" + t.TempDir() + "/keyring.json", "ROTATOR_ACTOR=tester"}
		for _, line := range [][]string{{"app", "list"}, {"db", "status", "--json"}, {"db", "migrate"}, {"doctor"}, {"doctor", "--json"}, {"check"}, {"check", "--json"}, {"db", "stop"}} {
			var out bytes.Buffer
			code := run(context.WithoutCancel(t.Context()), line, env, strings.NewReader(""), &out, &out)
			if code == exitDone || strings.Contains(out.String(), "planted") {
				t.Errorf("%s, %v: exit code %d: %s", databaseURL, line, code, out.String())
			}
		}
	}
}
