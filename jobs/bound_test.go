package jobs_test

import (
	"context"
	"fmt"
	"net/url"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// boundRig is a rig whose shops are in a table of the app's, and nowhere else.
// rotator acts in a role that has the documented rights and no other.
type boundRig struct {
	*rig
	// admin is the superuser that the app's side acts as.
	admin *storetest.DB
}

var roles atomic.Int64

// documentedRights are those of README.md; COLUMN holds the credential.
const documentedRights = `create role ROLE;
	grant usage on schema public to ROLE;
	grant select (id, shop, COLUMN, oauth_token), update (COLUMN, oauth_token) on public.app_shops to ROLE;
	grant usage on schema rotator to ROLE;
	grant select, insert, update, delete on all tables in schema rotator to ROLE;
	grant usage on all sequences in schema rotator to ROLE`

func newBoundRig(t *testing.T, o haravansim.Options) *boundRig {
	t.Helper()
	r, _ := boundOn(t, rigOn, o, "access_token", func(s haravansim.Shop) string { return s.AccessToken })
	r.bind("access_token")
	return r
}

// boundOn has what credential says of each shop in that column of a table of the
// app's, and nowhere else.
func boundOn(t *testing.T, on func(*testing.T, *storetest.DB, haravansim.Options) *rig, o haravansim.Options, column string, credential func(haravansim.Shop) string) (r *boundRig, shops int) {
	t.Helper()
	r = &boundRig{admin: storetest.New(t)}
	role := fmt.Sprintf("bound_%d", roles.Add(1))
	fill := strings.NewReplacer("ROLE", role, "COLUMN", column)
	for _, statement := range []string{
		`create table public.app_shops (id bigint generated always as identity primary key, shop text not null, COLUMN text, oauth_token text, ours text)`, documentedRights,
	} {
		if _, err := r.admin.Pool.Exec(t.Context(), fill.Replace(statement)); err != nil {
			t.Fatal(err)
		}
	}
	u, err := url.Parse(r.admin.URL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	q := u.Query()
	q.Set("role", role)
	u.RawQuery = q.Encode()
	r.rig = on(t, storetest.Open(t, u.String(), r.admin.Keys), o)
	r.sql(`delete from rotator.shops`)
	var domains, tokens []string
	for s := range r.sim.Shops {
		if token := credential(s); token != "" {
			domains, tokens = append(domains, s.Domain), append(tokens, token)
		}
	}
	r.sql(fill.Replace(`insert into public.app_shops (shop, COLUMN) select * from unnest($1::text[], $2::text[])`), domains, tokens)
	return r, len(domains)
}

func (r *boundRig) bind(access string) {
	r.t.Helper()
	r.must(r.db.Bind(r.ctx, storetest.Actor, r.app, store.Binding{
		Schema: "public", Table: "app_shops", Key: "id", Domain: "shop", Access: access, OAuth: "oauth_token", Codec: store.CodecPlain,
	}))
}

// sql runs a statement on the app's side.
func (r *boundRig) sql(statement string, args ...any) {
	r.t.Helper()
	if _, err := r.admin.Pool.Exec(r.ctx, statement, args...); err != nil {
		r.t.Fatalf("%s: %v", statement, err)
	}
}

// asStored compares each row of the app's table with what rotator stores, and
// both with the platform. The two are never apart, whatever was killed when.
func (r *boundRig) asStored(mustBeNew bool) (rows int) {
	r.t.Helper()
	return r.compare(`coalesce(nullif(a.oauth_token, ''), a.access_token)`, func(v int) bool { return v == 2 || v != 0 && !mustBeNew })
}

// compare wants every row's token to be the stored one, and of a secret that may
// be by the platform's own books: 0 is a dead token's. Both are read in one
// statement: PostgreSQL may still commit what a killed worker had sent.
func (r *boundRig) compare(column string, may func(version int) bool) (rows int) {
	r.t.Helper()
	found, err := r.admin.Pool.Query(r.ctx, `select a.shop, `+column+`, coalesce(s.id::text, ''), s.access_token
		from public.app_shops a left join rotator.shops s on s.app_id = $1 and s.domain = a.shop order by a.id`, r.app.ID)
	r.must(err)
	defer found.Close()
	for found.Next() {
		var domain, token, id string
		var sealed []byte
		r.must(found.Scan(&domain, &token, &id, &sealed))
		rows++
		stored, err := r.admin.Keys.Open(sealed, secret.Column{Table: "shops", Row: id, Name: "access_token"})
		if err != nil || stored.Reveal() != token {
			r.t.Errorf("%s: the app's token is not the stored one: %v", domain, err)
		}
		if v := r.sim.TokenVersion(domain, token); !may(v) {
			r.t.Errorf("%s: the app's token is of secret %d", domain, v)
		}
	}
	r.must(found.Err())
	return rows
}

func TestARotationOfTheAppsOwnTable(t *testing.T) {
	t.Parallel()
	const shops = 300
	r := newBoundRig(t, slow(shops))
	r.worker()
	r.start(operate.StartOptions{BatchSize: 50, InFlight: 16})
	r.arm()
	r.until("midway", midway(shops))
	// While it goes on the app installs, reinstalls and loses shops.
	code, err := r.sim.InstallShop("late.myharavan.com")
	r.must(err)
	late, err := r.installUnder("late.myharavan.com", code, r.sim.Secrets()[0].Value)
	r.must(err)
	r.sql(`insert into public.app_shops (shop, access_token) values ('Late.myharavan.com/', $1)`, late)
	again := "shop-000007.myharavan.com"
	code, err = r.sim.InstallShop(again)
	r.must(err)
	installed, err := r.installUnder(again, code, r.sim.Secrets()[0].Value)
	r.must(err)
	r.sql(`update public.app_shops set access_token = $2 where shop = $1`, again, installed)
	r.sql(`delete from public.app_shops where shop in ('shop-000003.myharavan.com', 'shop-000299.myharavan.com')`)
	r.sql(`update public.app_shops set shop = 'late.myharavan.com' where shop like 'Late%'`)
	snap := r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Counts.Total != shops+1 || snap.Counts.Open() != 0 || !snap.Bound.Read || snap.Bound.Behind != 0 {
		t.Errorf("counts %+v, table %+v", snap.Counts, snap.Bound)
	}
	if n := r.asStored(true); n != shops-1 {
		t.Errorf("%d rows", n)
	}
	for _, domain := range []string{"shop-000003.myharavan.com", "shop-000299.myharavan.com"} {
		if shop, err := r.db.Shop(r.ctx, r.app.ID, domain); err != nil || !strings.Contains(shop.ExcludedReason, "left the bound table") {
			t.Errorf("%s: %+v, %v", domain, shop, err)
		}
	}
	// While the proven run waits, the table is read again.
	r.sql(`update rotator.items set proven_at = proven_at - interval '3 minutes'`)
	r.sql(`update rotator.bindings set synced_at = synced_at - interval '2 minutes'`)
	r.until("read again", func(s rotation.Snapshot) bool {
		return s.Phase == rotation.PhaseProven && s.Certificate && !s.Bound.Due && s.Bound.Read
	})
	r.revoke()
	r.until("checked", func(s rotation.Snapshot) bool { return s.Revocation.Done() })
	r.asStored(true)
}

func TestAKilledWorkerTearsNothingApart(t *testing.T) {
	t.Parallel()
	const shops = 800
	r := newBoundRig(t, slow(shops))
	r.start(operate.StartOptions{BatchSize: 100})
	r.arm()
	for share := 1; share <= 2; share++ {
		worker := r.process()
		r.until("midway", func(s rotation.Snapshot) bool { return s.Counts.Proven > share*shops/4 })
		r.must(worker.Process.Kill())
		_ = worker.Wait()
		if n := r.asStored(false); n != shops {
			t.Errorf("%d rows", n)
		}
	}
	r.worker()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.asStored(true)
}

// The one job that reads the table is another worker's as soon as its own is dead.
func TestAWorkerKilledWhileItReadsIsReplaced(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, haravansim.Options{Shops: 20})
	holder, err := r.admin.Pool.Begin(r.ctx)
	r.must(err)
	defer func() { _ = holder.Rollback(context.Background()) }()
	r.start(operate.StartOptions{})
	_, err = holder.Exec(r.ctx, `select from rotator.apps for update`) // a reading waits for it
	r.must(err)
	reading := func(state string) func(rotation.Snapshot) bool {
		return func(rotation.Snapshot) bool {
			var states []string
			r.must(r.db.Pool.QueryRow(r.ctx, `select array_agg(state::text) from rotator.river_job where kind = 'read_bound'`).Scan(&states))
			return len(states) == 1 && states[0] == state
		}
	}
	worker := r.process()
	r.until("reading", reading("running"))
	r.must(worker.Process.Kill())
	_ = worker.Wait()
	r.must(holder.Rollback(r.ctx))
	r.worker()
	r.until("read by another", func(s rotation.Snapshot) bool { return s.WalkDone })
	r.until("no other job", reading("completed"))
}

// A column that is renamed while a run goes on holds the run, loses no token,
// and the run goes on once the table is mended.
func TestARenamedColumnHoldsTheRun(t *testing.T) {
	t.Parallel()
	const shops = 400
	r := newBoundRig(t, slow(shops))
	r.worker()
	r.start(operate.StartOptions{BatchSize: 50, InFlight: 16})
	r.arm()
	r.until("midway", midway(shops))
	r.sql(`alter table public.app_shops rename column access_token to token`)
	snap := r.until("held", func(s rotation.Snapshot) bool { return s.Held != rotation.HeldNot })
	if !strings.Contains(snap.HeldWhy, "the bound table public.app_shops ") || !strings.Contains(snap.HeldWhy, "access_token") {
		t.Errorf("held because %q", snap.HeldWhy)
	}
	// Bound again under its new name, the run goes on.
	r.bind("token")
	r.must(r.op.Resume(r.ctx, r.run.ID))
	snap = r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Counts.Proven != shops {
		t.Errorf("counts %+v", snap.Counts)
	}
	r.sql(`alter table public.app_shops rename column token to access_token`)
	r.asStored(true)
	if most := r.sim.Counts().MostMinted; most > 1 {
		t.Errorf("a shop was exchanged %d times", most)
	}
}

// A table that is gone before the walk holds the run at once; forgotten, the run
// goes on with what is stored.
func TestATableThatCannotBeReadHoldsTheRun(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, haravansim.Options{Shops: 20})
	if _, err := r.db.SyncBound(r.ctx, r.app, time.Time{}); err != nil {
		t.Fatal(err)
	}
	r.sql(`alter table public.app_shops rename to gone`)
	r.start(operate.StartOptions{})
	r.worker()
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if !strings.Contains(snap.HeldWhy, "the bound table public.app_shops does not exist any more") || snap.WalkDone {
		t.Errorf("held because %q, walked %t", snap.HeldWhy, snap.WalkDone)
	}
	r.must(r.db.Unbind(r.ctx, storetest.Actor, r.app))
	r.must(r.op.Resume(r.ctx, r.run.ID))
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.tokens()
}

// Rows that a long transaction holds wait, and keep no other shop waiting.
func TestRowsThatAreHeldWait(t *testing.T) {
	t.Parallel()
	const shops = 60
	r := newBoundRig(t, haravansim.Options{Shops: shops})
	holder, err := r.admin.Pool.Begin(r.ctx)
	r.must(err)
	defer func() { _ = holder.Rollback(context.Background()) }()
	_, err = holder.Exec(r.ctx, `select 1 from public.app_shops where id in (2, 30) for update`)
	r.must(err)
	_, err = holder.Exec(r.ctx, `set local idle_in_transaction_session_timeout = 0`)
	r.must(err)
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("all but two are proven", func(s rotation.Snapshot) bool { return s.Counts.Proven == shops-2 && s.Counts.Exchanged == 2 })
	item, err := r.db.Item(r.ctx, r.run.ID, "shop-000002.myharavan.com")
	r.must(err)
	if !strings.Contains(item.Detail, "its row is locked by another transaction in the bound table public.app_shops") || item.NextAttemptAt == nil {
		t.Errorf("item %+v", item)
	}
	r.must(holder.Rollback(r.ctx))
	r.until("proven", inPhase(rotation.PhaseProven))
	r.asStored(true)
	if most := r.sim.Counts().MostMinted; most > 1 {
		t.Errorf("a shop was exchanged %d times", most)
	}
}

// A few rows that refuse their tokens, with nothing else left to try, hold the run
// once at most: resumed, each is tried on, and would be parked in the end.
func TestAFewRowsThatRefuseDoNotHoldTheRunAgain(t *testing.T) {
	t.Parallel()
	const shops, refusing = 10, 4
	r := newBoundRig(t, haravansim.Options{Shops: shops})
	r.sql(`alter table public.app_shops add constraint never check (shop not similar to '%(000007|000008|000009|000010).%' or access_token is null) not valid`)
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	triedOn := func(s rotation.Snapshot) bool {
		if s.Held != rotation.HeldNot || s.Counts.Proven < shops-refusing {
			return false
		}
		return r.count(`select count(*) from rotator.items where state = 'exchanged' and class = 'ours' and tries > 1`) == refusing
	}
	resumed := 0
	r.until("each is tried on", func(s rotation.Snapshot) bool {
		if s.Held != rotation.HeldNot && resumed < 2 {
			r.must(r.op.Resume(r.ctx, r.run.ID))
			resumed++
		}
		return triedOn(s)
	})
	if resumed > 1 {
		t.Errorf("held %d times", resumed)
	}
	r.sql(`alter table public.app_shops drop constraint never`)
	r.until("proven", inPhase(rotation.PhaseProven))
	r.asStored(true)
}
