package store_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestAGoodBindingHasNoProblem(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 3)
	r.onApp(t, `update app."Shops" set uninstalled = true where id = 1`)
	got, err := r.CheckBinding(t.Context(), r.binding, true)
	if err != nil || len(got.Problems)+len(got.Warnings)+len(got.Grants) != 0 || got.Rows != 2 || got.CreateColumn != "" {
		t.Errorf("check %+v, %v", got, err)
	}
}

// Everything that is wrong is told at once.
func TestEveryProblemOfABindingIsTold(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 1)
	for what, tc := range map[string]struct {
		before string
		change func(*store.Binding)
		want   []string
	}{
		"all at once": {
			`create table app.wrong (id bigint, domain bytea, token integer, made text generated always as ('x') stored, raw bytea)`,
			func(b *store.Binding) {
				*b = store.Binding{Schema: "app", Table: "wrong", Key: "id", Domain: "domain", Access: "token", Legacy: "made", OAuth: "raw", Codec: store.CodecPlain}
			},
			[]string{
				"--key id: has no unique index", "--key id: may be null", "--domain domain: is of type bytea", "--access-token token: is of type integer",
				"--legacy-token made: is generated", "--oauth-token raw: is of type bytea, which holds sealed tokens only", "may not select id, domain, token, made, raw", "may not update token, made, raw",
			},
		},
		"no such things": {
			"", func(b *store.Binding) { b.Key, b.Domain, b.Access, b.OAuth = "ID", "shop", "none", "" },
			[]string{"--key ID: table app.Shops has no such column; names are case-sensitive: id", "--domain shop: table app.Shops has no such column; it has id, shop domain,", "--access-token none: "},
		},
		"no table":     {"", func(b *store.Binding) { b.Table = "shops" }, []string{"table app.shops: does not exist in this database"}},
		"no columns":   {"", func(b *store.Binding) { b.Access, b.OAuth = "", "" }, []string{"no column for access tokens is named"}},
		"twice":        {"", func(b *store.Binding) { b.Legacy = "access_token" }, []string{"--legacy-token access_token: is the column of --access-token too"}},
		"ours":         {"", func(b *store.Binding) { b.Schema, b.Table = "rotator", "shops" }, []string{"schema rotator: not an app's"}},
		"view":         {`create view app.seen as select * from app."Shops"`, func(b *store.Binding) { b.Table = "seen" }, []string{"is a view"}},
		"materialized": {`create materialized view app.frozen as select * from app."Shops"`, func(b *store.Binding) { b.Table = "frozen" }, []string{"is a materialized view"}},
		"partial":      {`create table app.partial (like app."Shops"); create unique index on app.partial (id) where id > 1`, func(b *store.Binding) { b.Table = "partial" }, []string{"--key id: has no unique index"}},
		"two columns":  {`create table app.pair (like app."Shops"); create unique index on app.pair (id, access_token)`, func(b *store.Binding) { b.Table = "pair" }, []string{"--key id: has no unique index"}},
		"syntax":       {"", func(b *store.Binding) { b.Where = "uninstalled = " }, []string{"--where uninstalled = : PostgreSQL refuses it: syntax error"}},
		"two":          {"", func(b *store.Binding) { b.Where = "true); drop table app.\"Shops\"; select (1" }, []string{"PostgreSQL refuses it: "}},
		"parameter":    {"", func(b *store.Binding) { b.Where = "id = $1" }, []string{"--where: has a parameter"}},
		"aggregate":    {"", func(b *store.Binding) { b.Where = "max(id) = 1" }, []string{"PostgreSQL refuses it: "}},
		"hidden":       {"", func(b *store.Binding) { b.Where = "secret_of_the_app is null" }, []string{"permission denied", "grant select on the columns that it names"}},
		"writes":       {`create function app.writes() returns boolean language plpgsql security definer as $$ begin delete from app."Shops"; return true; end $$`, func(b *store.Binding) { b.Where = "app.writes()" }, []string{"it writes (cannot execute DELETE in a read-only transaction)"}},
		"not owned":    {"", func(b *store.Binding) { b.OAuth = "made_by_us" }, []string{`--create-column: role`, `does not own table app.Shops; let its owner run: alter table "app"."Shops" add column if not exists "made_by_us" text`}},
		"codec": {`create table app.sealed (id bigint primary key, domain text, t json)`, func(b *store.Binding) {
			*b = store.Binding{Schema: "app", Table: "sealed", Key: "id", Domain: "domain", Access: "t", Codec: store.CodecSealed}
		}, []string{"is of type json; tokens are text, varchar or char, or bytea"}},
	} {
		t.Run(what, func(t *testing.T) {
			if tc.before != "" {
				r.onApp(t, tc.before)
			}
			b := r.binding
			tc.change(&b)
			got, err := r.CheckBinding(t.Context(), b, true)
			if err != nil {
				t.Fatal(err)
			}
			text := strings.Join(got.Problems, "\n")
			for _, want := range tc.want {
				if !strings.Contains(text, want) {
					t.Errorf("not told: %s\n%s", want, text)
				}
			}
		})
	}
	if n := ask[int64](t, r.admin, `select count(*) from app."Shops"`); n[0] != 1 {
		t.Error("a check wrote")
	}
}

func TestWarningsOfABinding(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 1)
	r.onApp(t, `update app."Shops" set oauth_token = ''`)
	r.onApp(t, `alter table app."Shops" enable row level security; create policy few on app."Shops" using (id > 1);
		alter table app."Shops" alter legacy_token type varchar(20), alter oauth_token set default '', alter oauth_token set not null, set unlogged;
		create function app.noop() returns trigger language plpgsql as $$ begin return new; end $$;
		create trigger touch before update on app."Shops" for each row execute function app.noop()`)
	got, err := r.CheckBinding(t.Context(), r.binding, false)
	if err != nil || len(got.Problems) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	text := strings.Join(got.Warnings, "\n")
	for _, want := range []string{"row-level security is on", "--legacy-token legacy_token: holds 20 characters", "--oauth-token oauth_token: may not be null", "is unlogged", "triggers run when a token is written (touch)"} {
		if !strings.Contains(text, want) {
			t.Errorf("not told: %s\n%s", want, text)
		}
	}
	if got.Rows != 0 {
		t.Errorf("%d rows are seen past the policy", got.Rows)
	}
}

// The rights that are told are enough, and the least.
func TestTheGrantsThatAreToldAreEnough(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 1)
	r.onApp(t, strings.ReplaceAll(`revoke all on app."Shops" from ROLE; revoke all on schema app from ROLE;
		revoke select (id, "shop domain", access_token, oauth_token, legacy_token, uninstalled), update (access_token, oauth_token, legacy_token) on app."Shops" from ROLE`, "ROLE", r.role))
	r.binding.Where = ""
	got, err := r.CheckBinding(t.Context(), r.binding, false)
	if err != nil || len(got.Problems) != 3 || len(got.Grants) != 3 {
		t.Fatalf("%+v, %v", got, err)
	}
	for _, grant := range got.Grants {
		r.onApp(t, grant)
	}
	if got, err = r.CheckBinding(t.Context(), r.binding, false); err != nil || len(got.Problems) != 0 {
		t.Fatalf("%+v, %v", got, err)
	}
	r.bind(t)
	r.read(t)
	for _, denied := range []string{`select secret_of_the_app from app."Shops"`, `update app."Shops" set "shop domain" = 'x'`, `delete from app."Shops"`} {
		if _, err := r.Pool.Exec(t.Context(), denied); err == nil {
			t.Errorf("%s is allowed", denied)
		}
	}
}

func TestCreateColumn(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 1)
	r.binding.OAuth = "new one"
	owner := r.admin // the superuser may
	check, err := owner.CheckBinding(t.Context(), r.binding, true)
	if err != nil || len(check.Problems) != 0 || check.CreateColumn != `alter table "app"."Shops" add column if not exists "new one" text` {
		t.Fatalf("%+v, %v", check, err)
	}
	file := `select pg_relation_filenode('app."Shops"')::bigint`
	before := ask[int64](t, owner, file)
	for range 2 { // again is harmless
		if err := owner.CreateColumn(t.Context(), storetest.Actor, r.app, r.binding); err != nil {
			t.Fatal(err)
		}
	}
	if !slices.Equal(before, ask[int64](t, owner, file)) {
		t.Error("the table was rewritten")
	}
	var fault *store.BoundFault
	if err := r.CreateColumn(t.Context(), storetest.Actor, r.app, r.binding); err != nil && !errors.As(err, &fault) {
		t.Errorf("not the owner: %v", err)
	}
	r.binding.OAuth = "another"
	holder, err := owner.Pool.BeginTx(t.Context(), pgx.TxOptions{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(t.Context()) }()
	if _, err := holder.Exec(t.Context(), `select 1 from app."Shops"`); err != nil {
		t.Fatal(err)
	}
	if err := owner.CreateColumn(t.Context(), storetest.Actor, r.app, r.binding); !errors.As(err, &fault) || !fault.Busy {
		t.Errorf("while another reads: %v", err)
	}
}

// Two apps in one table keep their tokens in columns, or rows, of their own.
func TestTokenColumnsBelongToOneApp(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 1)
	other := r.App(t, "another", "another-old-secret", "another-new-secret")
	b := r.binding
	if err := r.Bind(t.Context(), storetest.Actor, other, b); !errors.Is(err, store.ErrBoundElsewhere) || !strings.Contains(err.Error(), "shopbot") {
		t.Errorf("the same columns: %v", err)
	}
	b.Access, b.Legacy = "secret_of_the_app", ""
	if err := r.Bind(t.Context(), storetest.Actor, other, b); !errors.Is(err, store.ErrBoundElsewhere) {
		t.Errorf("one column in common: %v", err)
	}
	b.OAuth = ""
	if err := r.Bind(t.Context(), storetest.Actor, other, b); err != nil {
		t.Errorf("columns of its own: %v", err)
	}
	b = r.binding
	b.Where = "uninstalled"
	if err := r.Bind(t.Context(), storetest.Actor, other, b); err != nil {
		t.Errorf("rows of its own: %v", err)
	}
	r.bind(t) // its own binding is not in its way
}
