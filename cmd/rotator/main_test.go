package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestMain(m *testing.M) {
	testscript.Main(storetest.Suite{M: m}, map[string]func(){"rotator": main})
}

func sqlOn(url, statement string) error {
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// rig runs commands inside the test's own process, on a database of its own.
type rig struct {
	t   *testing.T
	env []string
	dir string
	// said is all that was printed, but the lists that are to hold tokens; nil if
	// nobody asks.
	said *strings.Builder
}

func newRig(t *testing.T) *rig {
	t.Helper()
	return newRigOn(t, storetest.Migrated(t))
}

// newRigOn is a rig on a database that is migrated.
func newRigOn(t *testing.T, url string) *rig {
	t.Helper()
	r := &rig{t: t, dir: t.TempDir()}
	keyring := r.dir + "/keyring.json"
	r.env = []string{"DATABASE_URL=" + url, "ROTATOR_KEYRING=" + keyring, "ROTATOR_ACTOR=tester"}
	r.ok("", "keyring", "create", keyring)
	return r
}

// result is what a command left behind.
type result struct {
	code           int
	stdout, stderr string
}

func (r *rig) run(stdin string, args ...string) result {
	r.t.Helper()
	got := runOnce(r.t.Context(), r.env, stdin, args...)
	if r.said != nil && !slices.Contains(args, "export") {
		r.said.WriteString(got.stdout + got.stderr)
	}
	return got
}

func runOnce(ctx context.Context, env []string, stdin string, args ...string) result {
	var stdout, stderr bytes.Buffer
	code := run(ctx, args, env, strings.NewReader(stdin), &stdout, &stderr)
	return result{code, stdout.String(), stderr.String()}
}

// ok runs a command that must succeed.
func (r *rig) ok(stdin string, args ...string) result {
	r.t.Helper()
	got := r.run(stdin, args...)
	if got.code != exitDone {
		r.t.Fatalf("rotator %v: exit code %d\n%s%s", args, got.code, got.stdout, got.stderr)
	}
	return got
}

// file writes a file for its owner alone and returns its path.
func (r *rig) file(name, text string) string {
	r.t.Helper()
	path := r.dir + "/" + name
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		r.t.Fatal(err)
	}
	return path
}

func TestWhichCommandsBringTheirDatabase(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]bool{
		"demo": true, "drill --matrix": true, "--log-level error demo --keep": true,
		"": false, "worker --once": false, "--actor demo doctor": false, "help demo": false, "nonsense": false,
	} {
		if got := bringsDatabase(strings.Fields(line)); got != want {
			t.Errorf("rotator %s: %t", line, got)
		}
	}
}
