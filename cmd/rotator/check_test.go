package main

import (
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// checkedRig is a rig with a fleet of 30 at a simulator, and its database's URL.
func checkedRig(t *testing.T) (*rig, *haravansim.Server, string) {
	t.Helper()
	r := newRig(t)
	sim := startSim(t, haravansim.Options{Shops: 30, Seed: 9})
	url := strings.TrimPrefix(r.env[0], "DATABASE_URL=")
	r.env = append(r.env, "ROTATOR_API_URL="+sim.PlatformURL)
	list := "domain,access_token\n"
	for s := range sim.Shops {
		list += fmt.Sprintf("%s,%s\n", s.Domain, s.AccessToken)
	}
	r.ok("", "app", "set", "--name", "main", "--client-id", sim.App().ClientID)
	r.ok(sim.Secrets()[0].Value, "secret", "add", "--file", "-")
	r.ok(list, "shop", "import", "-")
	return r, sim, url
}

// finds runs a check and wants these codes and this exit code.
func (r *rig) finds(code int, want []string, args ...string) checkResult {
	r.t.Helper()
	got := r.run("", append([]string{"check", "--json"}, args...)...)
	var answer checkResult
	if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
		r.t.Fatalf("%v\n%s%s", err, got.stdout, got.stderr)
	}
	var codes []string
	for _, f := range answer.Findings {
		codes = append(codes, string(f.Severity)+" "+string(f.Code))
		if f.Next == "" || f.Words == "" {
			r.t.Errorf("%+v", f)
		}
	}
	if diff := cmp.Diff(want, codes); diff != "" || got.code != code {
		r.t.Fatalf("check %v: exit code %d, want %d\n%s%s%s", args, got.code, code, diff, got.stdout, got.stderr)
	}
	return answer
}

func alter(t *testing.T, url, statement string) {
	t.Helper()
	if err := sqlOn(url, statement); err != nil {
		t.Fatal(err)
	}
}

// readOnly makes the database refuse writes of every new connection.
func readOnly(t *testing.T, url string) {
	t.Helper()
	alter(t, url, "do $$ begin execute format('alter database %I set default_transaction_read_only = on', current_database()); end $$")
}

func TestCheckFindsWhatIsDue(t *testing.T) {
	t.Parallel()
	r, sim, url := checkedRig(t)
	if got := r.ok("", "check"); got.stdout != "ok\n" {
		t.Errorf("%q", got.stdout)
	}
	if got := r.ok("", "check", "--quiet"); got.stdout+got.stderr != "" {
		t.Errorf("quiet, and yet %q", got.stdout+got.stderr)
	}
	alter(t, url, "update rotator.secrets set created_at = now() - interval '151 days'")
	r.finds(exitExceptions, []string{"warning keyring_copy", "warning secret_age"})
	alter(t, url, "update rotator.secrets set created_at = now() - interval '181 days'")
	r.finds(exitFailed, []string{"critical secret_age", "warning keyring_copy"})
	r.ok("", "app", "set", "--secret-max-age", "400d", "--secret-warn-age", "300d")
	r.finds(exitDone, nil)

	// Whatever it finds, it writes nothing.
	readOnly(t, url)
	if err := sim.Uninstall("shop-000003.myharavan.com"); err != nil {
		t.Fatal(err)
	}
	answer := r.finds(exitExceptions, []string{"warning tokens"}, "--sample", "100")
	if want := map[string]int{"alive": 29, "unauthorized": 1}; !cmp.Equal(answer.Apps[0].Sampled, want) {
		t.Errorf("sampled %v, want %v", answer.Apps[0].Sampled, want)
	}
	r.finds(exitDone, nil, "--sample", "0")
	r.env = append(r.env, "ROTATOR_API_URL=http://127.0.0.1:1")
	r.finds(exitFailed, []string{"critical platform"})
	if got := r.run("", "check", "--quiet"); got.code != exitFailed || !strings.HasPrefix(got.stdout, "critical: platform\n") {
		t.Errorf("exit code %d: %s", got.code, got.stdout)
	}
	if n := len(sim.Misuse()); n > 0 {
		t.Errorf("%v", sim.Misuse())
	}
	if c := sim.Counts(); c.Exchanges > 0 {
		t.Errorf("%d exchanges were made", c.Exchanges)
	}
}

func TestCheckLooksAtTheRun(t *testing.T) {
	t.Parallel()
	r, sim, url := checkedRig(t)
	fresh, err := sim.CreateSecret()
	if err != nil {
		t.Fatal(err)
	}
	r.ok(fresh.Value, "secret", "add", "--file", "-")
	r.ok("", "rotation", "start")
	copied := r.dir + "/copy.json"
	r.finds(exitExceptions, []string{"warning keyring_copy", "warning no_worker"})
	r.ok("", "rotation", "pause")
	text, err := os.ReadFile(r.dir + "/keyring.json")
	if err != nil {
		t.Fatal(err)
	}
	if got := r.run("", "keyring", "verify", r.dir+"/keyring.json"); got.code != exitConfig {
		t.Errorf("the keyring is taken for its own copy: %+v", got)
	}
	if err := os.WriteFile(copied, text, 0o600); err != nil {
		t.Fatal(err)
	}
	other := r.dir + "/other.json"
	r.ok("", "keyring", "create", other)
	if got := r.run("", "keyring", "verify", other); got.code != exitConfig {
		t.Errorf("another keyring is taken for a copy: %+v", got)
	}
	r.ok("", "keyring", "verify", copied)
	answer := r.finds(exitExceptions, []string{"warning run_held"})
	if a := answer.Apps[0]; a.Run == 0 || a.Phase != rotation.PhasePrepared || a.Held != rotation.HeldPaused {
		t.Errorf("%+v", a)
	}
	alter(t, url, "update rotator.runs set held = 'breaker_open', held_why = 'half of them failed'")
	r.finds(exitFailed, []string{"critical run_held"})
	r.ok("", "rotation", "resume")
	r.finds(exitExceptions, []string{"warning no_worker"})
	readOnly(t, url)
	r.finds(exitFailed, []string{"critical database_writes"})
}

// A typo in a crontab is no dead database.
func TestCheckOfAnAppThatIsNotSet(t *testing.T) {
	t.Parallel()
	r, _, _ := checkedRig(t)
	got := r.run("", "check", "--app", "nope", "--sample", "0", "--quiet")
	if got.code != exitUsage || got.stdout != "" || !strings.HasPrefix(got.stderr, "rotator: check: there is no app nope\n") || !strings.Contains(got.stderr, "rotator app list") {
		t.Errorf("%+v", got)
	}
	r.finds(exitDone, nil, "--app", "main")
	r.env = append(r.env, "DATABASE_URL="+storetest.Migrated(t))
	r.finds(exitExceptions, []string{"warning nothing_to_check"}, "--app", "main")
}

// TestCheckWithoutWhatItStandsOn: what is missing is a finding, and the rest is
// still judged.
func TestCheckWithoutWhatItStandsOn(t *testing.T) {
	t.Parallel()
	r, _, url := checkedRig(t)
	alter(t, url, "update rotator.secrets set created_at = now() - interval '151 days'")
	readOnly(t, url)
	keyring := r.dir + "/keyring.json"
	if err := os.Chmod(keyring, 0o640); err != nil {
		t.Fatal(err)
	}
	r.finds(exitConfig, []string{"critical keyring", "warning secret_age"})
	if err := os.Chmod(keyring, 0o600); err != nil {
		t.Fatal(err)
	}
	other := r.dir + "/other.json"
	r.ok("", "keyring", "create", other)
	r.finds(exitConfig, []string{"critical keyring", "warning secret_age"}, "--keyring", other)
	r.finds(exitConfig, []string{"critical keyring", "warning secret_age"}, "--keyring", r.dir+"/none.json")
	r.finds(exitConfig, []string{"critical keyring", "warning secret_age"}, "--keyring", r.file("damaged.json", "{}"))

	folder := r.finds(exitConfig, []string{"critical keyring", "warning secret_age"}, "--keyring", r.dir)
	if f := folder.Findings[0]; !strings.Contains(f.Words, "is no file") || f.Next != "rotator doctor" {
		t.Errorf("a folder in the keyring's place: %+v", f)
	}

	r.env = append(r.env, "DATABASE_URL="+storetest.Migrated(t))
	r.finds(exitExceptions, []string{"warning nothing_to_check"})
	r.env = append(r.env, "DATABASE_URL="+storetest.Empty(t))
	r.finds(exitConfig, []string{"critical schema"})
	r.env = append(r.env, "DATABASE_URL=postgres://nobody@127.0.0.1:1/none")
	r.finds(exitFailed, []string{"critical database"})
}

func TestCheckHelpNamesEveryCode(t *testing.T) {
	t.Parallel()
	help := runOnce(t.Context(), nil, "", "help", "check").stdout
	var named []rotation.Code
	for line := range strings.Lines(help) {
		if word, _, _ := strings.Cut(strings.TrimSpace(line), " "); slices.Contains(rotation.Codes, rotation.Code(word)) && strings.HasPrefix(line, "  ") {
			named = append(named, rotation.Code(word))
		}
	}
	if diff := cmp.Diff(rotation.Codes, named); diff != "" {
		t.Errorf("codes (-) and those in the help (+):\n%s", diff)
	}
}

func TestCheckRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--sample", "-1"}, {"--sample", "1001"}, {"--stalled-after", "0s"}, {"now"}} {
		if got := runOnce(t.Context(), nil, "", append([]string{"check"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: exit code %d", args, got.code)
		}
	}
}

func TestAges(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]int{"": 0, "0": 0, "180d": 4320, "1d": 24, "36h": 36, "3650d": 87600} {
		if got, err := parseAge(text); err != nil || got != want {
			t.Errorf("%q is %d hours, %v", text, got, err)
		}
	}
	for _, text := range []string{"d", "-1d", "0d", "1.5d", "90m", "30m", "3651d", "99999h", "180", "abc", "1e3d"} {
		if got, err := parseAge(text); err == nil {
			t.Errorf("%q is taken for %d hours", text, got)
		}
	}
}
