package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/haravan-rotator/rotator/internal/config"
	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store"
)

// commandConns is the pool of a command; a worker asks for more.
const commandConns = 4

// openStore opens what every command on data needs: the database, migrated, and
// the keyring that belongs to it. Call the function when done.
func (c *cli) openStore(ctx context.Context) (*store.Store, func(), error) {
	return c.openStoreConns(ctx, commandConns)
}

// openReader is openStore for a command that must not write. PostgreSQL refuses
// every write on its connections, so nothing is migrated and no keyring is made;
// nor is a private PostgreSQL that does not exist yet.
func (c *cli) openReader(ctx context.Context) (*store.Store, func(), error) {
	cfg, err := c.settings()
	if err != nil {
		return nil, nil, err
	}
	if cfg.DatabaseURL.IsZero() {
		// Opening it would make one.
		if at, err := pgembed.Inspect(ctx, privateDir(cfg)); err == nil && at.State == pgembed.Absent {
			return nil, nil, nothingStored()
		}
	}
	pool, err := c.connectBy(ctx, commandConns, store.ConnectReader)
	if err != nil {
		return nil, nil, err
	}
	s, err := readingStore(ctx, cfg, pool)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return s, pool.Close, nil
}

func nothingStored() error {
	return exitWith(exitFailed, errors.New("nothing is stored that could be read"), "rotator app set --name NAME --client-id ID")
}

func readingStore(ctx context.Context, cfg config.Config, pool *pgxpool.Pool) (*store.Store, error) {
	_, err := migrations.Check(ctx, pool)
	if errors.Is(err, migrations.ErrNotMigrated) && cfg.DatabaseURL.IsZero() {
		return nil, nothingStored()
	}
	if err != nil {
		return nil, err
	}
	keys, err := secret.OpenKeyring(cfg.Keyring)
	if errors.Is(err, fs.ErrNotExist) {
		bound, boundErr := store.KeyringBound(ctx, pool)
		if boundErr != nil {
			return nil, boundErr
		}
		if bound {
			err = noKeyringFile(cfg)
		}
	}
	if err != nil {
		return nil, exitWith(exitConfig, err, "")
	}
	s := store.New(pool, keys)
	if err := s.VerifyKeyring(ctx); err != nil && !errors.Is(err, pgx.ErrNoRows) {
		return nil, err
	}
	return s, nil
}

// openApp is openStore for a command on one app's data, with the app.
func (c *cli) openApp(ctx context.Context) (*store.Store, store.App, func(), error) {
	s, done, err := c.openStore(ctx)
	if err != nil {
		return nil, store.App{}, nil, err
	}
	a, err := c.app(ctx, s)
	if err == nil {
		c.words, err = c.appWords(ctx, s, a.Name)
	}
	if err != nil {
		done()
		return nil, a, nil, err
	}
	c.waiting("waiting for the database, app %s", a.Name)
	return s, a, done, nil
}

// openStoreConns is openStore with a pool of at most conns connections.
func (c *cli) openStoreConns(ctx context.Context, conns int) (*store.Store, func(), error) {
	pool, err := c.openDatabase(ctx, conns)
	if err != nil {
		return nil, nil, err
	}
	s, err := c.storeOn(ctx, pool)
	if err != nil {
		pool.Close()
		return nil, nil, err
	}
	return s, pool.Close, nil
}

// openDatabase connects, to the private PostgreSQL when there is no
// DATABASE_URL. The schema may be of any version.
func (c *cli) openDatabase(ctx context.Context, conns int) (*pgxpool.Pool, error) {
	return c.connectBy(ctx, conns, store.Connect)
}

func (c *cli) connectBy(ctx context.Context, conns int, connect func(context.Context, secret.String, string, int) (*pgxpool.Pool, error)) (*pgxpool.Pool, error) {
	cfg, err := c.settings()
	if err != nil {
		return nil, err
	}
	url := cfg.DatabaseURL
	if url.IsZero() {
		options := pgembed.Options{Dir: privateDir(cfg), Log: c.stderr}
		if c.quiet {
			options.Log = nil
		}
		c.came() // it tells by itself what it waits for
		cluster, err := pgembed.Open(ctx, options)
		if err != nil {
			return nil, misnamedFolder(err, privateDir(cfg))
		}
		url = secret.New(cluster.URL())
	}
	c.waiting("waiting for the database") // not over with this: somebody may lock what is read next
	pool, err := connect(ctx, url, "rotator", conns)
	if err != nil && ctx.Err() == nil && !cfg.DatabaseURL.IsZero() {
		return nil, exitWith(exitFailed, err, "check that the database of DATABASE_URL runs and can be reached: rotator doctor")
	}
	return pool, err
}

// privateDir is the folder of the private PostgreSQL.
func privateDir(cfg config.Config) string { return filepath.Join(cfg.DataDir, "postgres") }

// storeOn checks the schema and the keyring. A private database is migrated on
// the way: it has no other user whom an upgrade could surprise.
func (c *cli) storeOn(ctx context.Context, pool *pgxpool.Pool) (*store.Store, error) {
	cfg, err := c.settings()
	if err != nil {
		return nil, err
	}
	_, err = migrations.Check(ctx, pool)
	if errors.Is(err, migrations.ErrNotMigrated) && cfg.DatabaseURL.IsZero() {
		c.waiting("migrating the schema")
		var before migrations.Status
		before, err = migrations.Up(ctx, pool)
		// An older rotator refuses it from now on. A new one surprises nobody.
		if err == nil && before.Version > 0 && !before.Current() && !c.quiet {
			c.notef("Migrated the private database for this rotator: %s.", schemaSteps(before))
		}
		c.waiting("waiting for the database")
	}
	if err != nil {
		return nil, err
	}
	keys, err := openKeyring(ctx, cfg, pool)
	if err != nil {
		return nil, err
	}
	s := store.New(pool, keys)
	if err := s.CheckKeyring(ctx); err != nil {
		return nil, err
	}
	return s, nil
}

// openKeyring opens the keyring, and makes one only where nothing can have been
// sealed before: in a fresh private database. All but the database's own failures
// are the configuration's.
func openKeyring(ctx context.Context, cfg config.Config, pool *pgxpool.Pool) (*secret.Keyring, error) {
	keys, err := secret.OpenKeyring(cfg.Keyring)
	if errors.Is(err, fs.ErrNotExist) {
		bound, boundErr := store.KeyringBound(ctx, pool)
		switch {
		case boundErr != nil:
			return nil, boundErr
		case bound:
			err = noKeyringFile(cfg)
		case !cfg.DatabaseURL.IsZero():
			err = fmt.Errorf("there is no keyring at %s: create it with `rotator keyring create %s`, and back it up", cfg.Keyring, cfg.Keyring)
		default:
			keys, err = secret.CreateKeyring(cfg.Keyring)
		}
	}
	if err != nil {
		return nil, exitWith(exitConfig, err, "")
	}
	return keys, nil
}

// noKeyringFile is about a database that was sealed with a keyring. A path that
// was mistyped is likelier than a file that was lost.
func noKeyringFile(cfg config.Config) error {
	elsewhere := ""
	if usual := cfg.UsualKeyring(); usual != "" && usual != cfg.Keyring {
		if _, err := os.Stat(usual); err == nil {
			elsewhere = fmt.Sprintf(" (a keyring is at %s)", usual)
		}
	}
	return fmt.Errorf("there is no file at %s, and this database was sealed with a keyring: check --keyring and ROTATOR_KEYRING%s; "+
		"if the file is lost, restore it from a backup: no other keyring opens the tokens and secrets; "+
		"without a backup start over with another database and import the shops again", cfg.Keyring, elsewhere)
}
