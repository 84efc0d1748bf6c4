package migrations_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }

// open returns a pool of at most conns connections.
func open(t *testing.T, url string, conns int32) *pgxpool.Pool {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	cfg.MaxConns = conns
	pool, err := pgxpool.NewWithConfig(context.Background(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

// shape describes every column, constraint, index, trigger and function of the
// schema, and the versions, one per line.
func shape(t *testing.T, pool *pgxpool.Pool) []string {
	t.Helper()
	rows, err := pool.Query(context.Background(), `
		select 'column ' || table_name || '.' || column_name || ' ' || data_type || ' ' || is_nullable from information_schema.columns where table_schema = 'rotator'
		union all select 'index ' || indexdef from pg_indexes where schemaname = 'rotator'
		union all select 'constraint ' || conrelid::regclass || ' ' || pg_get_constraintdef(oid) from pg_constraint where connamespace = 'rotator'::regnamespace
		union all select 'function ' || proname from pg_proc where pronamespace = 'rotator'::regnamespace
		union all select 'trigger ' || tgname from pg_trigger where not tgisinternal
		union all select 'version ' || version from rotator.schema_version
		union all select 'river ' || version from rotator.river_migration order by 1`)
	if err != nil {
		t.Fatal(err)
	}
	lines, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func TestCheckOfAnEmptyDatabase(t *testing.T) {
	t.Parallel()
	pool := open(t, storetest.Empty(t), 2)
	s, err := migrations.Check(context.Background(), pool)
	if !errors.Is(err, migrations.ErrNotMigrated) {
		t.Fatalf("error %v, want ErrNotMigrated", err)
	}
	if s.Version != 0 || s.RiverVersion != 0 || s.Latest < 1 || s.RiverLatest < 6 || s.Current() {
		t.Errorf("status %+v", s)
	}
	var schemas int
	if err := pool.QueryRow(context.Background(), "select count(*) from pg_namespace where nspname = 'rotator'").Scan(&schemas); err != nil {
		t.Fatal(err)
	}
	if schemas != 0 {
		t.Error("a check made the schema")
	}
}

func TestUpBringsAnEmptyDatabaseToTheLatest(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := open(t, storetest.Empty(t), 2)
	before, err := migrations.Up(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	if before.Version != 0 || before.RiverVersion != 0 {
		t.Errorf("it stood at %+v", before)
	}
	after, err := migrations.Check(ctx, pool)
	if err != nil || !after.Current() {
		t.Fatalf("after: %+v, %v", after, err)
	}
	first := shape(t, pool)
	again, err := migrations.Up(ctx, pool)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(after, again); diff != "" {
		t.Errorf("the second time it stood at (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(first, shape(t, pool)); diff != "" {
		t.Errorf("the second time changed the schema (-first +second):\n%s", diff)
	}
}

func TestLatestNeedsNoDatabase(t *testing.T) {
	t.Parallel()
	schema, river, err := migrations.Latest()
	if err != nil {
		t.Fatal(err)
	}
	pool := open(t, storetest.Empty(t), 1)
	s, err := migrations.Check(context.Background(), pool)
	if !errors.Is(err, migrations.ErrNotMigrated) || s.Latest != schema || s.RiverLatest != river {
		t.Errorf("latest %d and %d, a database says %+v (%v)", schema, river, s, err)
	}
}

// race runs n migrations at once, the i-th on pools[i modulo their number].
func race(t *testing.T, n int, pools ...*pgxpool.Pool) {
	t.Helper()
	errs := make(chan error, n)
	begin := make(chan struct{})
	for i := range n {
		go func() {
			<-begin
			_, err := migrations.Up(context.Background(), pools[i%len(pools)])
			errs <- err
		}()
	}
	close(begin)
	for range n {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if s, err := migrations.Check(context.Background(), pools[0]); err != nil || !s.Current() {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
}

func TestManyMayMigrateAtOnce(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		migrations, pools int
		conns             int32
	}{
		"two processes":                      {2, 2, 4},
		"eight processes":                    {8, 8, 2},
		"eight in one process":               {8, 1, 8},
		"more than the pool has connections": {4, 1, 1},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := storetest.Empty(t)
			var pools []*pgxpool.Pool
			for range tt.pools {
				pools = append(pools, open(t, url, tt.conns))
			}
			race(t, tt.migrations, pools...)
		})
	}
}

func TestANewerDatabaseIsRefusedAndLeftAlone(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"ours":    "update rotator.schema_version set version = version + 1",
		"River's": "insert into rotator.river_migration (line, version) select 'main', max(version) + 1 from rotator.river_migration",
	}
	for name, makeNewer := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			ctx := context.Background()
			pool := open(t, storetest.Empty(t), 4)
			if _, err := migrations.Up(ctx, pool); err != nil {
				t.Fatal(err)
			}
			if _, err := pool.Exec(ctx, makeNewer); err != nil {
				t.Fatal(err)
			}
			before := shape(t, pool)
			for what, call := range map[string]func(context.Context, *pgxpool.Pool) (migrations.Status, error){"Up": migrations.Up, "Check": migrations.Check} {
				_, err := call(ctx, pool)
				if !errors.Is(err, migrations.ErrNewerSchema) || !strings.Contains(err.Error(), "this binary knows") {
					t.Errorf("%s: error %v, want ErrNewerSchema", what, err)
				}
			}
			if diff := cmp.Diff(before, shape(t, pool)); diff != "" {
				t.Errorf("the schema changed (-before +after):\n%s", diff)
			}
		})
	}
}

// A newer River beside an older schema of ours must stop both.
func TestANewerRiverStopsOurOwnMigrationToo(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := open(t, storetest.Empty(t), 4)
	for _, statement := range []string{
		"create schema rotator",
		"create table rotator.river_migration (line text not null, version bigint not null, created_at timestamptz not null default now())",
		"insert into rotator.river_migration (line, version) values ('main', 9999)",
	} {
		if _, err := pool.Exec(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := migrations.Up(ctx, pool); !errors.Is(err, migrations.ErrNewerSchema) {
		t.Fatalf("error %v, want ErrNewerSchema", err)
	}
	var ours bool
	if err := pool.QueryRow(ctx, "select to_regclass('rotator.apps') is not null").Scan(&ours); err != nil {
		t.Fatal(err)
	}
	if ours {
		t.Error("our tables were made although River's were refused")
	}
}

func TestAMigrationThatWasStoppedGoesOn(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := open(t, storetest.Empty(t), 4)
	if _, err := migrations.Up(ctx, pool); err != nil {
		t.Fatal(err)
	}
	// As if it had ended between our migrations and River's.
	const dropRiver = `do $$ declare name regclass; begin
		for name in select oid from pg_class where relnamespace = 'rotator'::regnamespace and relkind = 'r' and relname like 'river%' loop
			execute 'drop table ' || name || ' cascade';
		end loop;
		drop type rotator.river_job_state cascade;
	end $$`
	if _, err := pool.Exec(ctx, dropRiver); err != nil {
		t.Fatal(err)
	}
	if s, err := migrations.Check(ctx, pool); !errors.Is(err, migrations.ErrNotMigrated) || s.RiverVersion != 0 || s.Version != s.Latest {
		t.Fatalf("half migrated: %+v, %v", s, err)
	}
	if _, err := migrations.Up(ctx, pool); err != nil {
		t.Fatal(err)
	}
	if s, err := migrations.Check(ctx, pool); err != nil || !s.Current() {
		t.Errorf("afterwards: %+v, %v", s, err)
	}
}

func TestACancelledMigrationLeavesNoLock(t *testing.T) {
	t.Parallel()
	pool := open(t, storetest.Empty(t), 2)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	if _, err := migrations.Up(ctx, pool); !errors.Is(err, context.Canceled) {
		t.Fatalf("error %v, want context.Canceled", err)
	}
	if _, err := migrations.Up(context.Background(), pool); err != nil {
		t.Fatal(err)
	}
}

func TestTheJournalIsAppendOnly(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	pool := open(t, storetest.Empty(t), 2)
	if _, err := migrations.Up(ctx, pool); err != nil {
		t.Fatal(err)
	}
	const add = `insert into rotator.journal (seq, at, actor, event, detail, prev_hash, hash)
		values (1, now(), 'test', 'e', '{}', sha256('a'), sha256('b'))`
	if _, err := pool.Exec(ctx, add); err != nil {
		t.Fatal(err)
	}
	for _, change := range []string{
		"update rotator.journal set actor = 'other'",
		"delete from rotator.journal",
		"truncate rotator.journal",
		"update rotator.journal set actor = 'other' where false",
	} {
		if _, err := pool.Exec(ctx, change); err == nil || !strings.Contains(err.Error(), "the journal is append-only") {
			t.Errorf("%s: error %v", change, err)
		}
	}
	var actor string
	if err := pool.QueryRow(ctx, "select actor from rotator.journal").Scan(&actor); err != nil || actor != "test" {
		t.Errorf("the entry is by %q (%v)", actor, err)
	}
}
