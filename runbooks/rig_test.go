package runbooks_test

import (
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// build makes the program as it is now, for the tests under t.
func build(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	cmd := exec.CommandContext(t.Context(), "go", "build", "-o", filepath.Join(dir, "rotator"), "../cmd/rotator")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build rotator: %v\n%s", err, out)
	}
	return dir
}

// rig is an operator's desk: a shell in a folder of its own, a database, the
// simulator as the platform, and the dashboard.
type rig struct {
	t        *testing.T
	dir, url string
	env      []string
	sim      *haravansim.Server
	// receiver is the status that the app answers deliveries with.
	receiver atomic.Int32
	// planted are the secrets and tokens that no output may show.
	planted []string
	shown   strings.Builder
}

func newRig(t *testing.T, binaries string, s situation) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir(), url: storetest.Empty(t)}
	sim, err := haravansim.Start(t.Context(), s.platform, "127.0.0.1:0", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := sim.Close(); err != nil {
			t.Error(err)
		}
	})
	r.sim = sim
	programs, err := pgembed.FindBinaries() // psql is beside them, and not always on PATH
	if err != nil {
		t.Fatal(err)
	}
	r.env = append(foreign(os.Environ()),
		"PATH="+strings.Join([]string{binaries, os.Getenv("PATH"), programs.Dir}, string(os.PathListSeparator)),
		"DATABASE_URL="+r.url, "ROTATOR_KEYRING="+r.path("keyring.json"), "ROTATOR_ACTOR=operator",
		"ROTATOR_API_URL="+sim.PlatformURL, "CLIENT_ID="+sim.App().ClientID, "NO_COLOR=1")
	r.run("rotator keyring create && rotator db migrate")
	r.write("current-secret.txt", sim.Secrets()[0].Value)
	r.write("shops.csv", r.fleet())
	return r
}

// foreign is the environment without what concerns rotator or a database.
func foreign(environ []string) []string {
	return slices.DeleteFunc(environ, func(v string) bool {
		return strings.HasPrefix(v, "ROTATOR_") || strings.HasPrefix(v, "DATABASE_URL=") || strings.HasPrefix(v, "PG")
	})
}

func (r *rig) path(name string) string { return filepath.Join(r.dir, name) }

// write leaves a file that holds secrets on the desk.
func (r *rig) write(name, text string) {
	r.t.Helper()
	for _, word := range strings.FieldsFunc(text, func(c rune) bool { return c == '\n' || c == ',' }) {
		if len(word) > 20 && !strings.Contains(word, ".") {
			r.planted = append(r.planted, word)
		}
	}
	if err := os.WriteFile(r.path(name), []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
}

// fleet is the shop list that the app has.
func (r *rig) fleet() string {
	var b strings.Builder
	b.WriteString("domain,access_token\n")
	r.sim.Shops(func(s haravansim.Shop) bool {
		if s.AccessToken != "" {
			b.WriteString(s.Domain + "," + s.AccessToken + "\n")
		}
		return true
	})
	return b.String()
}

// legacyFleet is the shop list of an app that began with legacy credentials.
func (r *rig) legacyFleet() string {
	var b strings.Builder
	b.WriteString("domain,access_token,legacy_token,legacy_password\n")
	r.sim.Shops(func(s haravansim.Shop) bool {
		b.WriteString(strings.Join([]string{s.Domain, s.AccessToken, s.LegacyToken, s.LegacyPassword}, ",") + "\n")
		return true
	})
	return b.String()
}

// do carries out one step of a document.
func (r *rig) do(document string, s step) {
	r.t.Helper()
	switch {
	case s.dashboard != nil:
		r.dashboard(s.dashboard)
	case s.meanwhile != 0:
		r.pass(s.meanwhile)
	case s.terminal != "":
		r.open(s.terminal, s.command)
	case s.command == "go test ./...": // it is running
	default:
		exit, out := r.shell(s.command)
		if wrong := s.check(exit, out); wrong != "" {
			r.t.Fatalf("%s:%d: $ %s\n%s\n%s", document, s.line, s.command, wrong, out)
		}
	}
}

// run is for what a situation needs before or after the document.
func (r *rig) run(command string) string {
	r.t.Helper()
	exit, out := r.shell(command)
	if exit != 0 {
		r.t.Fatalf("$ %s\nexit code %d\n%s", command, exit, out)
	}
	return out
}

// noSecretShown searches everything that was printed for what was planted.
func (r *rig) noSecretShown() {
	r.t.Helper()
	logs, err := filepath.Glob(r.path("terminal-*.log"))
	if err != nil {
		r.t.Fatal(err)
	}
	for _, name := range logs {
		f, err := os.Open(name)
		if err != nil {
			r.t.Fatal(err)
		}
		if _, err := io.Copy(&r.shown, f); err != nil {
			r.t.Error(err)
		}
		_ = f.Close() // only read
	}
	if len(r.planted) < 3 {
		r.t.Errorf("only %d secrets were planted: the search is broken", len(r.planted))
	}
	for _, secret := range r.planted {
		if strings.Contains(r.shown.String(), secret) {
			r.t.Error("an output shows a secret or a token")
			return
		}
	}
}
