package store_test

import (
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// boundRig is a rig whose app has a table of its own, seen by rotator through a
// role that has the documented rights and no other.
type boundRig struct {
	*rig
	// admin is the superuser that the app's side acts as.
	admin   *storetest.DB
	binding store.Binding
	role    string
}

var roles atomic.Int64

const appTable = `create schema app;
	create table app."Shops" (
		id bigint generated always as identity primary key,
		"shop domain" text,
		access_token text,
		oauth_token text,
		legacy_token text,
		uninstalled boolean not null default false,
		secret_of_the_app text default 'not for rotator'
	)`

// documentedRights are those of README.md.
const documentedRights = `
	grant usage on schema app to %[1]s;
	grant select (id, "shop domain", access_token, oauth_token, legacy_token, uninstalled) on app."Shops" to %[1]s;
	grant update (access_token, oauth_token, legacy_token) on app."Shops" to %[1]s;
	grant usage on schema rotator to %[1]s;
	grant select, insert, update, delete on all tables in schema rotator to %[1]s;
	grant usage on all sequences in schema rotator to %[1]s`

// newBoundRig has n shops in the app's table, not yet read.
func newBoundRig(t *testing.T, n int, change ...func(*store.Binding)) *boundRig {
	t.Helper()
	admin := storetest.New(t)
	role := fmt.Sprintf("bound_%d", roles.Add(1))
	exec(t, admin, appTable)
	exec(t, admin, "create role "+role)
	exec(t, admin, fmt.Sprintf(documentedRights, role))
	exec(t, admin, `insert into app."Shops" ("shop domain", access_token)
		select 'HTTPS://Shop-' || i || '.myharavan.com/', 'token-' || i from generate_series(0, $1::int - 1) i`, n)
	u, err := url.Parse(admin.URL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", role)
	u.RawQuery = q.Encode()
	r := &boundRig{rig: &rig{DB: storetest.Open(t, u.String(), admin.Keys)}, admin: admin, role: role}
	r.app = r.App(t, "shopbot", oldSecret, newSecret)
	r.binding = store.Binding{
		Schema: "app", Table: "Shops", Key: "id", Domain: "shop domain", Access: "access_token",
		Legacy: "legacy_token", OAuth: "oauth_token", Where: "not uninstalled -- a comment", Codec: store.CodecPlain,
	}
	for _, c := range change {
		c(&r.binding)
	}
	r.bind(t)
	return r
}

func (r *boundRig) bind(t *testing.T) {
	t.Helper()
	if err := r.Bind(t.Context(), storetest.Actor, r.app, r.binding); err != nil {
		t.Fatal(err)
	}
}

// read reads the table as the engine does.
func (r *boundRig) read(t *testing.T) store.BoundReading {
	t.Helper()
	reading, err := r.sync(t)
	if err != nil {
		t.Fatal(err)
	}
	return reading
}

// sync reads the table if it was not read since this begins.
func (r *boundRig) sync(t *testing.T) (store.BoundReading, error) {
	t.Helper()
	b, err := r.Binding(t.Context(), r.app.ID)
	if err != nil {
		return store.BoundReading{}, err
	}
	var seen time.Time
	if b.ReadAt != nil {
		seen = *b.ReadAt
	}
	return r.SyncBound(t.Context(), r.app, seen)
}

// claimBound reads the table, walks the run and claims every shop.
func claimBound(t *testing.T, n int, change ...func(*store.Binding)) (*boundRig, []store.Claim) {
	t.Helper()
	r := newBoundRig(t, n, change...)
	r.read(t)
	r.run = r.Run(t, r.app, store.RunSettings{BatchSize: int64(n), CheckSample: -1, Waves: rotation.WavePolicy{Budget: 0.25}})
	r.worker = r.startWorker(t)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	claims := r.claim(t, r.take(t, r.release(t, 1)[0]))
	if len(claims) != n {
		t.Fatalf("%d claims, want %d", len(claims), n)
	}
	return r, claims
}

// app runs a statement on the app's side.
func (r *boundRig) onApp(t *testing.T, statement string, args ...any) {
	t.Helper()
	exec(t, r.admin, statement, args...)
}

// column is a column of the row of a shop, by its number in the domain.
func (r *boundRig) column(t *testing.T, shop int, name string) string {
	t.Helper()
	got := ask[*string](t, r.admin, fmt.Sprintf(`select %s::text from app."Shops" where "shop domain" ilike '%%shop-%d.%%'`, pgx.Identifier{name}.Sanitize(), shop))
	if len(got) != 1 {
		t.Fatalf("%d rows of shop %d", len(got), shop)
	}
	if got[0] == nil {
		return ""
	}
	return *got[0]
}

func domain(shop int) string { return fmt.Sprintf("shop-%d.myharavan.com", shop) }

// claimOf finds the claim of a shop.
func claimOf(t *testing.T, claims []store.Claim, shop int) store.Claim {
	t.Helper()
	for _, c := range claims {
		if c.Domain == domain(shop) {
			return c
		}
	}
	t.Fatalf("%s is not claimed", domain(shop))
	return store.Claim{}
}

// stays wants a shop's item where it is, due again, and says why.
func (r *boundRig) stays(t *testing.T, shop int, class rotation.Class, detail string) {
	t.Helper()
	i := r.item(t, domain(shop))
	if i.State != rotation.ItemExchanged || i.Class != class || i.NextAttemptAt == nil || !strings.Contains(i.Detail, detail) {
		t.Errorf("item %+v, want it exchanged with class %q and detail %q", i, class, detail)
	}
	if got := r.token(t, domain(shop)); got != fmt.Sprintf("token-%d", shop) {
		t.Errorf("the stored token of shop %d became %s", shop, got)
	}
}
