package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/rogpeppe/go-internal/testscript"

	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/migrations"
)

// server is the test binary's PostgreSQL, started on first use.
var server struct {
	once    sync.Once
	cluster *pgembed.Cluster
	err     error
	next    atomic.Int64
}

// suite removes the server after the tests.
type suite struct{ m *testing.M }

// Run implements testscript.TestingM.
func (s suite) Run() int {
	code := s.m.Run()
	if server.cluster == nil {
		return code
	}
	if err := server.cluster.Close(); err != nil {
		fmt.Fprintln(os.Stderr, "remove the test server:", err)
		return max(code, 1)
	}
	return code
}

func TestMain(m *testing.M) {
	testscript.Main(suite{m}, map[string]func(){"rotator": main})
}

const templateDatabase = "migrated"

// newDatabase makes a database, migrated or empty, and returns its URL.
func newDatabase(migrated bool) (string, error) {
	server.once.Do(func() { server.err = startServer() })
	if server.err != nil {
		return "", fmt.Errorf("start PostgreSQL for the tests: %w", server.err)
	}
	name, template := fmt.Sprintf("test_%d", server.next.Add(1)), "template0"
	if migrated {
		template = templateDatabase
	}
	return server.cluster.ConnString(name), sqlOn(server.cluster.URL(), "create database "+name+" template "+template)
}

func startServer() error {
	ctx := context.Background()
	var err error
	if server.cluster, err = pgembed.Ephemeral(ctx, pgembed.Options{}); err != nil {
		return err
	}
	if err := sqlOn(server.cluster.URL(), "create database "+templateDatabase); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, server.cluster.ConnString(templateDatabase))
	if err != nil {
		return err
	}
	defer pool.Close()
	_, err = migrations.Up(ctx, pool)
	return err
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
}

func newRig(t *testing.T) *rig {
	t.Helper()
	url, err := newDatabase(true)
	if err != nil {
		t.Fatal(err)
	}
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
	return runOnce(r.t.Context(), r.env, stdin, args...)
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
