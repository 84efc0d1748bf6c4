package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/haravan-rotator/rotator/internal/config"
	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store"
)

func (d *doctor) configuration() bool {
	cfg, err := d.c.settings()
	if err == nil {
		d.ok("configuration", "acting as "+cfg.Actor)
		return true
	}
	d.misconfigured = true
	for line := range strings.SplitSeq(err.Error(), "\n") {
		d.fail("configuration", errors.New(line), "`rotator help environment` explains each variable")
	}
	return false
}

// database checks that the database answers; nil if it does not.
func (d *doctor) database(ctx context.Context, clocks *clockReadings) *pgxpool.Pool {
	cfg, _ := d.c.settings() // loaded by now
	if cfg.DatabaseURL.IsZero() && !d.privatePostgres(ctx, privateDir(cfg)) {
		return nil
	}
	pool, err := d.c.openDatabase(ctx, commandConns)
	if err != nil {
		d.failToOpen(err, cfg)
		return nil
	}
	d.goesOn()
	before := time.Now()
	facts, err := store.Server(ctx, pool)
	if err != nil {
		d.fail("database", err, "")
		pool.Close()
		return nil
	}
	clocks.readDatabase(before, time.Now(), facts.Now)
	d.ok("database", "PostgreSQL "+facts.Version+", "+size(facts.Bytes))
	if facts.Encoding != "UTF8" {
		d.fail("encoding", fmt.Errorf("the database's encoding is %s", facts.Encoding), "make a database with encoding UTF8: createdb -E UTF8 -T template0 NAME")
	} else {
		d.ok("encoding", facts.Encoding)
	}
	return pool
}

// failToOpen tells of a database that could not be opened. A server's log knows
// nothing of what keeps it from being started.
func (d *doctor) failToOpen(err error, cfg config.Config) {
	var f *failure
	remedy := "start that PostgreSQL, or mend DATABASE_URL"
	switch misconfigured := exitCodeOf(err) == exitConfig; {
	case misconfigured && errors.As(err, &f):
		d.misconfigured, remedy = true, f.next
	case misconfigured:
		d.misconfigured, remedy = true, ""
	case cfg.DatabaseURL.IsZero():
		remedy = "look into server.log in " + privateDir(cfg)
	}
	d.fail("database", err, remedy)
}

// privatePostgres reports whether there is a private database to look at.
func (d *doctor) privatePostgres(ctx context.Context, dir string) bool {
	const name = "private PostgreSQL"
	status, err := inspectPrivate(ctx, dir)
	var f *failure
	switch {
	case errors.As(err, &f):
		d.misconfigured = true
		d.fail(name, err, f.next)
		return false
	case err != nil:
		d.misconfigured = exitCodeOf(err) == exitConfig
		d.fail(name, err, "")
		return false
	case status.State != pgembed.Absent:
		d.ok(name, fmt.Sprintf("%s, version %s, %s in %s", status.State, status.Version, size(status.SizeBytes), status.Dir))
		return true
	}
	found, err := pgembed.FindBinaries()
	if err != nil {
		d.misconfigured = true
		what, ways, _ := strings.Cut(err.Error(), "\n")
		d.fail(name, errors.New(what), strings.Join(strings.Fields(strings.ReplaceAll(ways, "\n", "; ")), " "))
		return false
	}
	if err := pgembed.Makeable(dir); err != nil {
		d.misconfigured = d.misconfigured || exitCodeOf(err) == exitConfig
		d.fail(name, err, "")
		return false
	}
	d.ok(name, fmt.Sprintf("not made yet; the first command that needs it makes it in %s with PostgreSQL %s of %s", dir, found.Version, found.Dir))
	return false
}

// sealed checks the schema and the keyring; nil if the store cannot be used.
func (d *doctor) sealed(ctx context.Context, pool *pgxpool.Pool) *store.Store {
	cfg, _ := d.c.settings() // loaded by now
	schema, err := migrations.Check(ctx, pool)
	if err != nil {
		d.misconfigured = exitCodeOf(err) == exitConfig
		d.fail("schema", err, "")
		return nil
	}
	d.ok("schema", fmt.Sprintf("version %d, River %d", schema.Version, schema.RiverVersion))
	bound, err := store.KeyringBound(ctx, pool)
	if err != nil {
		d.fail("keyring", err, "")
		return nil
	}
	keys, err := secret.OpenKeyring(cfg.Keyring)
	switch {
	case errors.Is(err, fs.ErrNotExist) && !bound && cfg.DatabaseURL.IsZero():
		d.ok("keyring", "not made yet; the first command that needs it makes "+cfg.Keyring)
		return nil
	case errors.Is(err, fs.ErrNotExist) && bound:
		d.misconfigured = true
		d.fail("keyring", err, "this database was sealed with it: restore the file from a backup")
		return nil
	case errors.Is(err, fs.ErrNotExist):
		d.misconfigured = true
		d.fail("keyring", err, "`rotator keyring create` makes one")
		return nil
	case err != nil:
		d.misconfigured = true
		d.fail("keyring", err, "")
		return nil
	case !bound:
		d.ok("keyring", fmt.Sprintf("%s, key %d, not used with this database yet", cfg.Keyring, keys.KeyID()))
		return nil
	}
	s := store.New(pool, keys)
	if err := s.VerifyKeyring(ctx); err != nil {
		d.misconfigured = exitCodeOf(err) == exitConfig
		d.fail("keyring", err, "")
		return nil
	}
	d.ok("keyring", fmt.Sprintf("%s, key %d, opens this database", cfg.Keyring, keys.KeyID()))
	return s
}
