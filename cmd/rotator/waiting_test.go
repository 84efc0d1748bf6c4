package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/pgembed"
)

func TestAWaitIsToldOfUntilSomethingElseIsSaid(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var stdout, stderr bytes.Buffer
		c := newCLI(nil, nil, &stdout, &stderr)
		for _, say := range []func(){
			func() { c.notef("said") },
			func() { must(t, c.printf("answered\n")) },
			func() { _, err := answer{c}.Write([]byte("answered\n")); must(t, err) },
			c.came,
		} {
			c.waiting("waiting for %s", "it")
			time.Sleep(quietFor / 2)
			say()
			time.Sleep(time.Minute)
		}
		c.waiting("waiting for one")
		time.Sleep(quietFor + 1)
		c.waiting("waiting for another")
		time.Sleep(quietFor + 1)
		c.came()
		c.quiet = true
		c.waiting("waiting unheard")
		time.Sleep(time.Minute)
		c.came()
		if got, want := stderr.String(), "said\nwaiting for one, for 2s now\nwaiting for another, for 2s now\n"; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
		if got, want := stdout.String(), "answered\nanswered\n"; got != want {
			t.Errorf("answered %q, want %q", got, want)
		}
	})
}

// listener is a stream that closes said when something was said on it.
type listener struct {
	bytes.Buffer
	wanted string
	said   chan struct{}
}

// Write implements io.Writer.
func (l *listener) Write(b []byte) (int, error) {
	before := strings.Contains(l.String(), l.wanted)
	n, err := l.Buffer.Write(b)
	if !before && strings.Contains(l.String(), l.wanted) {
		close(l.said)
	}
	return n, err
}

// On a database that takes its time, with a fleet of a million or for somebody's
// lock, no command is silent; what it says of that is no part of its answer.
func TestNoCommandIsSilentWhileTheDatabaseIsSlow(t *testing.T) {
	t.Parallel()
	const shops, ofRun, ofApp = "rotator.shops", "counting the shops of run 1, for ", "counting the shops of app main, for "
	const waits, waitsMain = "waiting for the database, for ", "waiting for the database, app main, for "
	for _, tt := range []struct{ command, locked, says string }{
		{"check --sample 0 --json", "rotator.items", ofApp},
		{"check --json", "rotator.items", ofApp},
		{"rotation status --json", "rotator.items", ofRun},
		{"rotation next --json", "rotator.items", ofRun},
		{"rotation explain --json", "rotator.items", ofRun},
		{"rotation report --json", "rotator.items", ofRun},
		{"rotation report --timeline --json", "rotator.items", ofRun},
		{"rotation report --exceptions --json", "rotator.items", ofRun},
		{"rotation plan --sample 0 --assume-latency 10ms --json", shops, ofRun},
		{"rotation plan --breach --sample 0 --assume-latency 10ms --json", shops, ofRun},
		{"rotation confirm webhooks_dual --note seen --json", "rotator.items", ofRun},
		{"rotation confirm oauth_switched --note seen --json", "rotator.items", ofRun},
		{"rotation pause --json", "rotator.items", ofRun},
		{"rotation tune --inflight 10 --json", "rotator.items", ofRun},
		{"rotation retry --json", "rotator.items", ofRun},
		{"rotation cancel --confirm main --json", "rotator.items", ofRun},
		{"rotation start --json", "rotator.items", ofRun},
		{"tokenmigration plan --json", shops, ofRun},
		{"tokenmigration start --json", "rotator.items", ofRun},
		{"doctor --json", "rotator.secrets", "asking the database and the platform, for "},
		{"secret list --json", "rotator.secrets", waitsMain},
		{"shop list --json", shops, waitsMain},
		{"app list --json", "rotator.apps", waits},
		{"app remove --confirm main --json", "rotator.runs", waitsMain},
		{"db status --json", "rotator.schema_version", waits},
		{"journal list --json", "rotator.journal", waits},
		{"keyring verify DIR/copy.json --json", "rotator.keyring", waits},
		{"rotation status --json", "rotator.runs", waits},
		{"secret add --file DIR/secret.txt --json", "rotator.secrets", waitsMain},
		{"shop show a --json", shops, waits},
		{"shop export --output DIR/new.csv --json", shops, "reading the shops of app main, for "},
		{"shop import DIR/shops.csv --json", shops, "storing 1 shop, for "},
		{"worker --once --json", "rotator.keyring", waits},
	} {
		t.Run(strings.NewReplacer(" ", "_", "/", "_").Replace(tt.command), func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			sim := startSim(t, haravansim.Options{Shops: 3, Seed: 1})
			r.env = append(r.env, "ROTATOR_API_URL="+sim.PlatformURL, "ROTATOR_LOG_LEVEL=error")
			r.ok("", "app", "set", "--name", "main", "--client-id", sim.App().ClientID)
			r.ok("value-of-the-old-secret", "secret", "add", "--file", "-")
			r.ok("domain,access_token\na.myharavan.com,token-of-a\n", "shop", "import", "-")
			r.ok("value-of-the-new-secret", "secret", "add", "--file", "-")
			r.ok("", "rotation", "start")
			keyring, err := os.ReadFile(r.dir + "/keyring.json")
			must(t, err)
			r.file("copy.json", string(keyring))
			r.file("secret.txt", "value-of-another-secret")
			r.file("shops.csv", "domain,access_token\na.myharavan.com,another-token-of-a\n")
			url, _ := strings.CutPrefix(r.env[0], "DATABASE_URL=")
			holder, err := pgx.Connect(t.Context(), url)
			must(t, err)
			defer holder.Close(context.Background())
			_, err = holder.Exec(t.Context(), "begin; lock table "+tt.locked)
			must(t, err)
			var stdout bytes.Buffer
			stderr := &listener{wanted: tt.says, said: make(chan struct{})}
			ended := make(chan struct{})
			go func() {
				defer close(ended)
				run(t.Context(), strings.Fields(strings.ReplaceAll(tt.command, "DIR", r.dir)), r.env, strings.NewReader(""), &stdout, stderr)
			}()
			silent := false
			select {
			case <-stderr.said:
			case <-ended:
				t.Fatalf("it did not wait\n%s%s", stdout.String(), stderr)
			case <-time.After(20 * quietFor):
				silent = true
			}
			_, err = holder.Exec(t.Context(), "rollback")
			must(t, err)
			<-ended
			if silent {
				t.Errorf("never said %q, but %q", tt.says, stderr)
			}
			for line := range strings.Lines(stdout.String()) {
				if !json.Valid([]byte(line)) {
					t.Errorf("answered %q", line)
				}
			}
		})
	}
}

// A watch looks again and again, and any look may be the one that waits.
func TestAWatchSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 3})
	r.toArmed(sim)
	url, _ := strings.CutPrefix(r.env[0], "DATABASE_URL=")
	holder, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer holder.Close(context.Background())
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	stdout, stderr := newWatched("armed"), newWatched("counting the shops of run 1, for ")
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"rotation", "status", "--watch"}, r.env, strings.NewReader(""), stdout, stderr)
	}()
	<-stdout.seen
	_, err = holder.Exec(t.Context(), "begin; lock table rotator.items")
	must(t, err)
	select {
	case <-stderr.seen:
	case <-ended:
		t.Fatalf("it did not wait\n%s%s", stdout, stderr)
	case <-time.After(20 * quietFor):
		t.Errorf("never said what it waits for, but %q", stderr)
	}
	_, err = holder.Exec(t.Context(), "rollback")
	must(t, err)
	stop()
	<-ended
}

// A mail of cron's has what went wrong, and nothing of what only takes its time.
func TestAQuietWorkerIsQuietWhereItWaits(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	url, _ := strings.CutPrefix(r.env[0], "DATABASE_URL=")
	holder, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer holder.Close(context.Background())
	_, err = holder.Exec(t.Context(), "begin; lock table rotator.keyring")
	must(t, err)
	quietBeside(t, r.env, "waiting for the database, for ", func() {
		_, err := holder.Exec(t.Context(), "rollback")
		must(t, err)
	})
}

// The private PostgreSQL has words of its own while it is started.
func TestAQuietWorkerIsQuietWhileItsPostgresStarts(t *testing.T) {
	t.Parallel()
	quietBeside(t, startedElsewhere(t), otherStarts, func() {})
}

// otherStarts is said of a private PostgreSQL that another process starts.
const otherStarts = "waiting for another rotator that starts or stops PostgreSQL"

// startedElsewhere is the environment of a private PostgreSQL that exists and that
// another process starts for as long as the test lasts.
func startedElsewhere(t *testing.T) (env []string) {
	t.Helper()
	bin, err := pgembed.FindBinaries()
	must(t, err)
	data, err := os.MkdirTemp("/tmp", "rotator-start-")
	must(t, err)
	t.Cleanup(func() { must(t, os.RemoveAll(data)) })
	must(t, os.Chmod(data, 0o711)) // for the server's account
	postgres := filepath.Join(data, "postgres")
	must(t, os.MkdirAll(filepath.Join(postgres, "data"), 0o700))
	must(t, os.WriteFile(filepath.Join(postgres, "data", "PG_VERSION"), fmt.Appendf(nil, "%d\n", bin.Major), 0o600))
	if os.Geteuid() == 0 {
		must(t, exec.Command("chown", "-R", "nobody", postgres).Run())
	}
	folder, err := os.Open(postgres)
	must(t, err)
	t.Cleanup(func() { must(t, folder.Close()) })
	must(t, syscall.Flock(int(folder.Fd()), syscall.LOCK_EX))
	return []string{"ROTATOR_DATA_DIR=" + data, "ROTATOR_ACTOR=tester"}
}

// Two lines would tell of one wait in two ways.
func TestTheDoctorTellsOfOneWaitAtATime(t *testing.T) {
	t.Parallel()
	env := startedElsewhere(t)
	ctx, cancel := context.WithCancel(t.Context())
	said := newWatched(otherStarts)
	var doctor sync.WaitGroup
	doctor.Go(func() { run(ctx, []string{"doctor", "--json"}, env, strings.NewReader(""), io.Discard, said) })
	<-said.seen
	later := newWatched("so long")
	c := newCLI(nil, nil, io.Discard, later)
	c.waiting("so long")
	<-later.seen
	c.came()
	cancel()
	doctor.Wait()
	if strings.Contains(said.String(), "asking") {
		t.Errorf("it said %q", said)
	}
}

// quietBeside runs a quiet worker and then a loud one, both of which wait, until the
// loud one has said so and they are released; the other must not have said it.
func quietBeside(t *testing.T, env []string, says string, release func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var both sync.WaitGroup
	var unheard bytes.Buffer
	both.Go(func() {
		run(ctx, []string{"worker", "--once", "--quiet"}, env, strings.NewReader(""), io.Discard, &unheard)
	})
	heard := newWatched(says)
	both.Go(func() { run(ctx, []string{"worker", "--once"}, env, strings.NewReader(""), io.Discard, heard) })
	select {
	case <-heard.seen:
	case <-time.After(20 * quietFor):
		t.Errorf("the loud one said %q", heard)
	}
	release()
	cancel()
	both.Wait()
	if strings.Contains(unheard.String(), "waiting") {
		t.Errorf("the quiet one said %q", unheard.String())
	}
}

// Before an outage is accepted the platform is asked, and then the shops are counted.
func TestTheStartOfABreachSaysWhatItWaitsFor(t *testing.T) {
	t.Parallel()
	r, _ := newFleet(t, haravansim.Options{Shops: 3})
	answer := make(chan struct{})
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		<-answer
		w.WriteHeader(http.StatusNotFound)
	}))
	defer slow.Close()
	url, _ := strings.CutPrefix(r.env[0], "DATABASE_URL=")
	holder, err := pgx.Connect(t.Context(), url)
	must(t, err)
	defer holder.Close(context.Background())
	asks, counts := newWatched("asking 3 shops of app main, for "), newWatched("counting the shops of app main, for ")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		run(t.Context(), []string{"rotation", "start", "--breach", "--sample", "3", "--json"}, append(slices.Clone(r.env), "ROTATOR_API_URL="+slow.URL), strings.NewReader(""), io.Discard, io.MultiWriter(asks, counts))
	}()
	for _, step := range []struct {
		said *watched
		then func() error
	}{
		{asks, func() error {
			_, err := holder.Exec(t.Context(), "begin; lock table rotator.shops")
			close(answer)
			return err
		}},
		{counts, func() error {
			_, err := holder.Exec(t.Context(), "rollback")
			return err
		}},
	} {
		select {
		case <-step.said.seen:
		case <-ended:
		case <-time.After(20 * quietFor):
		}
		must(t, step.then())
	}
	<-ended
	if a, c := strings.Index(asks.String(), "asking"), strings.Index(asks.String(), "counting"); a < 0 || c < a {
		t.Errorf("it said %q", asks)
	}
}
