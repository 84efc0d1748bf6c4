// Package storetest gives each test a migrated PostgreSQL database of its own,
// on a throw-away server that the test binary starts itself. There is no way to
// skip: without PostgreSQL's server binaries the tests fail and say what to
// install.
//
// Databases are cloned from one migrated template. They are whole databases and
// not schemas, because advisory locks and notifications are per database.
package storetest

import (
	"context"
	"flag"
	"fmt"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store"
)

const template = "rotator_template"

var server struct {
	once    sync.Once
	cluster *pgembed.Cluster
	clone   string
	err     error
	next    atomic.Int64
}

// waitAtOnce tests of a package run side by side: most wait for a slow platform,
// a lease or another process, not for the processor.
const waitAtOnce = 6

// Main runs the tests of a package and removes the server afterwards.
func Main(m *testing.M) { os.Exit(Suite{m}.Run()) }

// Suite is a package's tests with the server that they share.
type Suite struct{ M *testing.M }

// Run runs the tests, more of them at once than there are cores unless the
// command line says how many, removes the server and returns the exit code.
func (s Suite) Run() int {
	flag.Parse()
	explicit := false
	flag.Visit(func(f *flag.Flag) { explicit = explicit || f.Name == "test.parallel" })
	if !explicit {
		if err := flag.Set("test.parallel", strconv.Itoa(waitAtOnce)); err != nil {
			panic(err)
		}
	}
	code := s.M.Run()
	if server.cluster != nil {
		if err := server.cluster.Close(); err != nil {
			fmt.Fprintln(os.Stderr, "remove the test server:", err)
			code = max(code, 1)
		}
	}
	return code
}

// Cluster is the test binary's server, started on first use.
func Cluster(t testing.TB) *pgembed.Cluster {
	t.Helper()
	if err := started(); err != nil {
		t.Fatal(err)
	}
	return server.cluster
}

func started() error {
	server.once.Do(func() { server.err = start(context.Background()) })
	if server.err != nil {
		return fmt.Errorf("start PostgreSQL for the tests: %w", server.err)
	}
	return nil
}

func start(ctx context.Context) error {
	o := pgembed.Options{Dir: folder(), Settings: map[string]string{"max_connections": "300", "max_wal_size": "256MB"}}
	c, err := pgembed.Ephemeral(ctx, o)
	if err != nil && o.Dir != "" {
		o.Dir = ""
		c, err = pgembed.Ephemeral(ctx, o)
	}
	if err != nil {
		return err
	}
	server.cluster = c
	if err := exec(ctx, c.URL(), "create database "+template); err != nil {
		return err
	}
	pool, err := pgxpool.New(ctx, c.ConnString(template))
	if err != nil {
		return err
	}
	defer pool.Close()
	var version int
	if err := pool.QueryRow(ctx, "select current_setting('server_version_num')::int").Scan(&version); err != nil {
		return err
	}
	server.clone = "create database %s template " + template
	if version >= 150000 {
		server.clone += " strategy file_copy" // eight times as fast for a small template
	}
	_, err = migrations.Up(ctx, pool)
	return err
}

func exec(ctx context.Context, url, statement string) error {
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	_, err = conn.Exec(ctx, statement)
	return err
}

// DB is one test's database.
type DB struct {
	*store.Store
	Pool *pgxpool.Pool
	Keys *secret.Keyring
	URL  secret.String
}

// Database makes a database, migrated or empty, for what is no testing.TB. drop
// removes it.
func Database(migrated bool) (url string, drop func() error, err error) {
	if err := started(); err != nil {
		return "", nil, err
	}
	statement := "create database %s template template0"
	if migrated {
		statement = server.clone
	}
	ctx, name := context.Background(), fmt.Sprintf("test_%d", server.next.Add(1))
	if err := exec(ctx, server.cluster.URL(), fmt.Sprintf(statement, name)); err != nil {
		return "", nil, fmt.Errorf("make a test database: %w", err)
	}
	return server.cluster.ConnString(name), func() error {
		if err := exec(ctx, server.cluster.URL(), "drop database "+name+" with (force)"); err != nil {
			return fmt.Errorf("drop the test database: %w", err)
		}
		return nil
	}, nil
}

// Empty gives the test a database without any migration, and its URL.
func Empty(t testing.TB) string { return create(t, false) }

// Migrated gives the test a migrated database, and its URL.
func Migrated(t testing.TB) string { return create(t, true) }

func create(t testing.TB, migrated bool) string {
	t.Helper()
	url, drop, err := Database(migrated)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := drop(); err != nil {
			t.Error(err)
		}
	})
	return url
}

// New gives the test a migrated database with a keyring of its own.
func New(t testing.TB) *DB {
	t.Helper()
	url := Migrated(t)
	keys, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	return Open(t, url, keys)
}

// Open opens a migrated database under the given keyring.
func Open(t testing.TB, url string, keys *secret.Keyring) *DB {
	t.Helper()
	ctx := context.Background()
	pool, err := store.Connect(ctx, secret.New(url), "rotator test", 8)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	s := store.New(pool, keys)
	if err := s.CheckKeyring(ctx); err != nil {
		t.Fatal(err)
	}
	return &DB{Store: s, Pool: pool, Keys: keys, URL: secret.New(url)}
}
