package storetest

import (
	"context"
	"strconv"
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
	keys, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	url, by := SkewedURL(t)
	return Open(t, url, keys), by
}

// SkewedURL is Migrated with such a database.
func SkewedURL(t testing.TB) (url string, by func(ahead time.Duration)) {
	t.Helper()
	ctx := context.Background()
	plain := Empty(t)
	if err := exec(ctx, plain, clocks); err != nil {
		t.Fatal(err)
	}
	url = plain + "&search_path=skewed,pg_catalog,public"
	pool, err := store.Connect(ctx, secret.New(url), "rotator test", 2)
	if err != nil {
		t.Fatal(err)
	}
	defer pool.Close()
	if _, err := migrations.Up(ctx, pool); err != nil {
		t.Fatal(err)
	}
	return url, func(ahead time.Duration) {
		t.Helper()
		if err := exec(ctx, plain, "update skewed.clock set off = make_interval(secs => "+strconv.FormatFloat(ahead.Seconds(), 'f', -1, 64)+")"); err != nil {
			t.Fatal(err)
		}
	}
}
