package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"os"
	"path/filepath"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

const (
	actor = "bench"
	// workerConns is the pool of a leg's process.
	workerConns = 16
)

// fleet is a platform's fleet in a database of its own.
type fleet struct {
	*store.Store
	pool *pgxpool.Pool
	app  store.App
	access
}

// access is what another process needs to open the fleet's database.
type access struct {
	URL     string `json:"url"`
	Keyring string `json:"keyring"`
}

// open connects to a fleet's database.
func (a access) open(ctx context.Context, conns int) (*store.Store, *pgxpool.Pool, error) {
	keys, err := secret.OpenKeyring(a.Keyring)
	if err != nil {
		return nil, nil, err
	}
	pool, err := store.Connect(ctx, secret.New(a.URL), "bench", conns)
	if err != nil {
		return nil, nil, err
	}
	return store.New(pool, keys), pool, nil
}

// database makes an empty, migrated database and a keyring; call remove at the
// end.
func (b *bench) database(ctx context.Context) (f *fleet, remove func(), err error) {
	b.databases++
	name := fmt.Sprintf("bench_%d", b.databases)
	if err := b.statement(ctx, "create database "+name); err != nil {
		return nil, nil, err
	}
	folder, err := os.MkdirTemp(b.cluster.Dir(), "keyring-*") // goes with the cluster, whatever happens
	if err != nil {
		return nil, nil, fmt.Errorf("make a folder for the keyring: %w", err)
	}
	f = &fleet{access: access{URL: b.cluster.ConnString(name), Keyring: filepath.Join(folder, "keyring.json")}}
	remove = func() {
		if f.pool != nil {
			f.pool.Close()
		}
		err := errors.Join(b.statement(context.WithoutCancel(ctx), "drop database "+name), os.RemoveAll(folder))
		if err != nil {
			b.notef("cannot remove database %s: %v", name, err)
		}
	}
	if _, err = secret.CreateKeyring(f.Keyring); err == nil {
		if f.Store, f.pool, err = f.open(ctx, 4); err == nil {
			if _, err = migrations.Up(ctx, f.pool); err == nil {
				err = f.CheckKeyring(ctx)
			}
		}
	}
	if err != nil {
		remove()
		return nil, nil, err
	}
	return f, remove, nil
}

// statement runs an administrator's statement.
func (b *bench) statement(ctx context.Context, sql string) error {
	pool, err := pgxpool.New(ctx, b.cluster.URL())
	if err != nil {
		return err
	}
	defer pool.Close()
	if _, err := pool.Exec(ctx, sql); err != nil {
		return fmt.Errorf("%s: %w", sql, err)
	}
	return nil
}

// fill stores the app, both secrets and the fleet, and opens a run.
func (f *fleet) fill(ctx context.Context, pl *platform, inflight int) (store.Run, error) {
	var err error
	if f.app, err = f.SetApp(ctx, actor, store.App{Name: "bench", ClientID: pl.ClientID}); err != nil {
		return store.Run{}, err
	}
	var first store.Secret
	if first, err = f.AddSecret(ctx, actor, f.app.ID, pl.oldSecret); err != nil {
		return store.Run{}, err
	}
	if _, err = f.AddSecret(ctx, actor, f.app.ID, pl.newSecret); err != nil {
		return store.Run{}, err
	}
	body, err := pl.open(ctx, http.MethodGet, "/shops?format=csv")
	if err != nil {
		return store.Run{}, err
	}
	defer body.Close()
	if _, err := importList(ctx, f.Store, f.app, first.ID, body); err != nil {
		return store.Run{}, err
	}
	return operate.Operator{Store: f.Store, Actor: actor}.Start(ctx, f.app, operate.StartOptions{
		InFlight: inflight,
		// Waves stop a run that goes wrong; what they cost is not what is measured.
		Waves: &rotation.WavePolicy{Budget: rotation.DefaultWavePolicy.Budget},
	})
}

// importList stores a shop list as `rotator shop import` does.
func importList(ctx context.Context, s *store.Store, app store.App, secretID int64, list io.Reader) (store.ImportResult, error) {
	return s.ImportShops(ctx, actor, app, secretID, rowsOf(list), func(f store.Findings) error {
		if !f.None() {
			return fmt.Errorf("%d domains came twice", len(f.Duplicates))
		}
		return nil
	})
}

func rowsOf(list io.Reader) iter.Seq2[shopfile.Row, error] {
	return func(yield func(shopfile.Row, error) bool) {
		reader := shopfile.NewReader(list, shopfile.ReadOptions{Format: shopfile.CSV})
		for {
			row, err := reader.Next()
			if errors.Is(err, io.EOF) || !yield(row, err) || err != nil {
				return
			}
		}
	}
}
