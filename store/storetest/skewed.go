package storetest

import (
	"context"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store"
)

// clocks stand before PostgreSQL's own in the search path, so that every statement
// and every column's default sees them.
const clocks = `create schema skewed;
	create table skewed.clock (off interval not null);
	insert into skewed.clock values ('0');
	create function skewed.now() returns timestamptz language sql stable as 'select pg_catalog.now() + off from skewed.clock';
	create function skewed.clock_timestamp() returns timestamptz language sql volatile as 'select pg_catalog.clock_timestamp() + off from skewed.clock'`

// Skewed is New with a database whose clock is set with by: so far ahead of this
// machine's, or behind it, at once and for all.
func Skewed(t testing.TB) (db *DB, by func(ahead time.Duration)) {
	t.Helper()
	ctx := context.Background()
	url := Empty(t)
	if err := exec(ctx, url, clocks); err != nil {
		t.Fatal(err)
	}
	url += "&search_path=skewed,pg_catalog,public"
	pool, err := store.Connect(ctx, secret.New(url), "rotator test", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := migrations.Up(ctx, pool); err != nil {
		t.Fatal(err)
	}
	keys, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	db = Open(t, url, keys)
	return db, func(ahead time.Duration) {
		t.Helper()
		if _, err := db.Pool.Exec(ctx, "update skewed.clock set off = $1", ahead); err != nil {
			t.Fatal(err)
		}
	}
}
