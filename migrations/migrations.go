// Package migrations owns the numbered SQL of the rotator schema and brings a
// database to the version that this binary knows, River's tables included.
//
// Both live in the schema "rotator". One session-level advisory lock covers
// both, so that any number of processes may migrate at once: the first does the
// work, the others find it done. A database that a newer binary migrated is
// refused, never touched.
package migrations

import (
	"context"
	"embed"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/tern/v2/migrate"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/rivermigrate"
)

//go:embed *.sql
var files embed.FS

// Schema is the PostgreSQL schema that holds every table of rotator and River.
const Schema = "rotator"

const (
	versionTable = Schema + ".schema_version"
	// lockKey is "rotator" in ASCII, as a number.
	lockKey = 0x726f7461746f72
	// OldestServer is the oldest PostgreSQL that the SQL runs on (SQL-standard
	// function bodies), as in server_version_num.
	OldestServer = 140000
)

// ErrNewerSchema is returned for a database that a newer rotator has migrated.
var ErrNewerSchema = errors.New("the database was migrated by a newer rotator: run that version, or restore a backup from before the upgrade")

// ErrNotMigrated is returned by Check for a database that lacks migrations.
var ErrNotMigrated = errors.New("the database lacks migrations: run `rotator db migrate`")

// Status is where a database stands and where this binary would take it.
type Status struct {
	Version, Latest           int
	RiverVersion, RiverLatest int
}

// Current reports whether nothing is left to migrate.
func (s Status) Current() bool { return s.Version == s.Latest && s.RiverVersion == s.RiverLatest }

// Up migrates the database to the latest version and returns where it stood.
func Up(ctx context.Context, pool *pgxpool.Pool) (before Status, err error) {
	// The lock has a connection of its own: callers that waited for it on the
	// pool's would leave none for the one that migrates.
	conn, err := pgx.ConnectConfig(ctx, pool.Config().ConnConfig)
	if err != nil {
		return before, fmt.Errorf("connect to migrate: %w", err)
	}
	defer conn.Close(context.WithoutCancel(ctx))
	if _, err := conn.Exec(ctx, "select pg_advisory_lock($1)", int64(lockKey)); err != nil {
		return before, fmt.Errorf("wait for another migration: %w", err)
	}
	if err := checkServer(ctx, conn); err != nil {
		return before, err
	}
	if _, err := conn.Exec(ctx, "create schema if not exists "+Schema); err != nil {
		return before, fmt.Errorf("create schema %s: %w", Schema, err)
	}
	ours, err := migrator(ctx, conn)
	if err != nil {
		return before, err
	}
	river, err := riverMigrator(pool)
	if err != nil {
		return before, err
	}
	if before, err = status(ctx, pool, ours, river); err != nil {
		return before, err
	}
	if err := ours.Migrate(ctx); err != nil {
		return before, fmt.Errorf("migrate schema %s: %w", Schema, err)
	}
	if _, err := river.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return before, fmt.Errorf("migrate River's tables: %w", err)
	}
	return before, nil
}

// Check returns the database's status without changing anything. Its error is
// ErrNotMigrated or ErrNewerSchema when this binary cannot work on it.
func Check(ctx context.Context, pool *pgxpool.Pool) (Status, error) {
	river, err := riverMigrator(pool)
	if err != nil {
		return Status{}, err
	}
	s := Status{RiverLatest: latestRiver(river)}
	if s.Latest, err = latest(); err != nil {
		return s, err
	}
	var exists bool
	if err := pool.QueryRow(ctx, "select to_regclass($1) is not null", versionTable).Scan(&exists); err != nil {
		return s, fmt.Errorf("look for the schema: %w", err)
	}
	if !exists {
		return s, ErrNotMigrated
	}
	if err := pool.QueryRow(ctx, "select version from "+versionTable).Scan(&s.Version); err != nil {
		return s, fmt.Errorf("read the schema's version: %w", err)
	}
	if s.RiverVersion, err = riverVersion(ctx, pool); err != nil {
		return s, err
	}
	return s, s.verdict()
}

func (s Status) verdict() error {
	if s.Version > s.Latest || s.RiverVersion > s.RiverLatest {
		return fmt.Errorf("%w (schema %d, this binary knows %d; River %d, this binary knows %d)",
			ErrNewerSchema, s.Version, s.Latest, s.RiverVersion, s.RiverLatest)
	}
	if !s.Current() {
		return ErrNotMigrated
	}
	return nil
}

func status(ctx context.Context, pool *pgxpool.Pool, ours *migrate.Migrator, river *rivermigrate.Migrator[pgx.Tx]) (Status, error) {
	version, err := ours.GetCurrentVersion(ctx)
	if err != nil {
		return Status{}, fmt.Errorf("read the schema's version: %w", err)
	}
	s := Status{Version: int(version), Latest: len(ours.Migrations), RiverLatest: latestRiver(river)}
	if s.RiverVersion, err = riverVersion(ctx, pool); err != nil {
		return s, err
	}
	if err := s.verdict(); errors.Is(err, ErrNewerSchema) {
		return s, err
	}
	return s, nil
}

func migrator(ctx context.Context, conn *pgx.Conn) (*migrate.Migrator, error) {
	m, err := migrate.NewMigrator(ctx, conn, versionTable)
	if err != nil {
		return nil, fmt.Errorf("prepare migrations: %w", err)
	}
	if err := m.LoadMigrations(files); err != nil {
		return nil, fmt.Errorf("read embedded migrations: %w", err)
	}
	return m, nil
}

func latest() (int, error) {
	found, err := migrate.FindMigrations(files)
	if err != nil {
		return 0, fmt.Errorf("read embedded migrations: %w", err)
	}
	return len(found), nil
}

func riverMigrator(pool *pgxpool.Pool) (*rivermigrate.Migrator[pgx.Tx], error) {
	m, err := rivermigrate.New(riverpgxv5.New(pool), &rivermigrate.Config{Schema: Schema})
	if err != nil {
		return nil, fmt.Errorf("prepare River's migrations: %w", err)
	}
	return m, nil
}

func latestRiver(m *rivermigrate.Migrator[pgx.Tx]) int {
	all := m.AllVersions()
	return all[len(all)-1].Version
}

// riverVersion is 0 where River's tables do not exist yet. It reads the table
// itself: River's own look-up only lists versions that it knows.
func riverVersion(ctx context.Context, pool *pgxpool.Pool) (int, error) {
	var exists bool
	if err := pool.QueryRow(ctx, "select to_regclass($1) is not null", Schema+".river_migration").Scan(&exists); err != nil {
		return 0, fmt.Errorf("look for River's tables: %w", err)
	}
	if !exists {
		return 0, nil
	}
	var version int
	if err := pool.QueryRow(ctx, "select coalesce(max(version), 0) from "+Schema+".river_migration").Scan(&version); err != nil {
		return 0, fmt.Errorf("read River's version: %w", err)
	}
	return version, nil
}

func checkServer(ctx context.Context, conn *pgx.Conn) error {
	var number int
	var version string
	if err := conn.QueryRow(ctx, "select current_setting('server_version_num')::int, current_setting('server_version')").Scan(&number, &version); err != nil {
		return fmt.Errorf("ask the server's version: %w", err)
	}
	return newEnough(number, version)
}

func newEnough(number int, version string) error {
	if number < OldestServer {
		return fmt.Errorf("PostgreSQL %s is too old: rotator needs %d or newer", version, OldestServer/10000)
	}
	return nil
}
