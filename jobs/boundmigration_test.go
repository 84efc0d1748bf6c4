package jobs_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// newBoundLegacyRig has the shops with a legacy token in a table of the app's,
// read once, and nowhere else.
func newBoundLegacyRig(t *testing.T, o haravansim.Options) (r *boundRig, shops int) {
	t.Helper()
	r, shops = boundOn(t, legacyRigOn, o, "legacy_token", func(s haravansim.Shop) string { return s.LegacyToken })
	r.must(r.db.Bind(r.ctx, storetest.Actor, r.app, store.Binding{
		Schema: "public", Table: "app_shops", Key: "id", Domain: "shop", Legacy: "legacy_token", OAuth: "oauth_token", Codec: store.CodecPlain,
	}))
	_, err := r.db.SyncBound(r.ctx, r.app, time.Time{})
	r.must(err)
	return r, shops
}

func (r *boundRig) count(query string) (n int) {
	r.t.Helper()
	r.must(r.admin.Pool.QueryRow(r.ctx, query).Scan(&n))
	return n
}

// together checks that each row has a derived token if and only if the shop's
// item has one.
func (r *boundRig) together() {
	r.t.Helper()
	if n := r.count(`select count(*) from public.app_shops a join rotator.shops s on s.bound_key = a.id::text join rotator.items i on i.shop_id = s.id
		where (a.oauth_token is not null) <> (i.new_token is not null)`); n != 0 {
		r.t.Errorf("%d rows are apart from what is stored", n)
	}
}

// asDerived is asStored once every row has a token of that secret.
func (r *boundRig) asDerived(version int) (rows int) {
	r.t.Helper()
	return r.compare(`coalesce(a.oauth_token, '')`, func(v int) bool { return v == version })
}

func TestAMigrationOfTheAppsOwnTableThenARotation(t *testing.T) {
	t.Parallel()
	r, shops := newBoundLegacyRig(t, haravansim.Options{Shops: 150})
	legacy := map[string]string{}
	for s := range r.sim.Shops {
		legacy[s.Domain] = s.LegacyToken
	}
	// Two rows come late, one of them with a legacy token that is replaced.
	var late, again string
	r.must(r.admin.Pool.QueryRow(r.ctx, `delete from public.app_shops where id = 5 returning shop`).Scan(&late))
	r.must(r.admin.Pool.QueryRow(r.ctx, `update public.app_shops set legacy_token = 'anoldvalue' where id = 6 returning shop`).Scan(&again))
	r.worker()
	r.sim.CreateTestApp()
	r.migrate(operate.MigrationOptions{CheckSample: 0, BatchSize: 20})
	snap := r.until("derived", inPhase(rotation.PhaseDerived))
	r.together()
	if snap.Counts.Exchanged != shops-1 {
		t.Errorf("derived: %+v", snap.Counts)
	}
	// The app installs a shop, loses one, takes one in, and corrects one.
	var installed, gone string
	r.must(r.admin.Pool.QueryRow(r.ctx, `select shop from public.app_shops where id = 7`).Scan(&installed))
	r.must(r.admin.Pool.QueryRow(r.ctx, `delete from public.app_shops where id = 8 returning shop`).Scan(&gone))
	code, err := r.sim.InstallShop(installed)
	r.must(err)
	token, err := r.installUnder(installed, code, r.sim.Secrets()[0].Value)
	r.must(err)
	r.sql(`update public.app_shops set oauth_token = $2 where shop = $1`, installed, token)
	r.sql(`insert into public.app_shops (shop, legacy_token) values ($1, $2)`, late, legacy[late])
	r.sql(`update public.app_shops set legacy_token = $2 where shop = $1`, again, legacy[again])
	r.sql(`update rotator.bindings set synced_at = synced_at - interval '2 minutes'`)
	r.until("read again", func(s rotation.Snapshot) bool { return !s.Bound.Due && s.Counts.Total == shops && s.LateInstalls == 0 })
	r.until("derived again", func(s rotation.Snapshot) bool {
		return s.Counts.Open() == s.Counts.Exchanged && s.Counts.Total == shops
	})
	r.confirm(rotation.PhaseChecked)
	// One more installs just before the cutover: no reading has seen it.
	var last string
	r.must(r.admin.Pool.QueryRow(r.ctx, `select shop from public.app_shops where id = 9`).Scan(&last))
	code, err = r.sim.InstallShop(last)
	r.must(err)
	lastToken, err := r.installUnder(last, code, r.sim.Secrets()[0].Value)
	r.must(err)
	r.sql(`update public.app_shops set oauth_token = $2 where shop = $1`, last, lastToken)
	r.cutOver()
	snap = r.until("settled", func(s rotation.Snapshot) bool { return settled(s) && s.Bound.Read && !s.Bound.Due })
	// The two that installed have a token; the one whose row left keeps its
	// derived one, because it has no other.
	if snap.Counts.Proven != shops-2 || snap.Counts.Skipped != 2 {
		t.Errorf("settled: %+v", snap.Counts)
	}
	if n := r.asDerived(1); n != shops-1 {
		t.Errorf("%d rows", n)
	}
	for shop, want := range map[string]string{installed: token, last: lastToken} {
		if got, err := r.db.ShopToken(r.ctx, r.app.ID, shop); err != nil || got.Reveal() != want {
			t.Errorf("the install's token of %s was overwritten: %v", shop, err)
		}
	}
	if i := r.item(gone); i.State != rotation.ItemProven {
		t.Errorf("gone: %+v", i)
	}
	// Who may drop the column is told what the binding is to be then.
	err = r.op.ConfirmScrubbed(r.ctx, r.run.ID, "in a test", r.app.Name, true, func(int64, int64) {})
	if err == nil || !strings.Contains(err.Error(), `drop column "legacy_token"; and then bind the table without it`) ||
		!strings.Contains(err.Error(), "`rotator shop bind --table public.app_shops --key id --domain shop --oauth-token oauth_token`") {
		t.Errorf("drop of a column of another's table: %v", err)
	}
	r.confirm(rotation.PhaseScrubbed)
	if n := r.count(`select count(*) from public.app_shops where legacy_token is not null`); n != 0 {
		t.Errorf("%d rows keep a legacy token", n)
	}
	text, err := r.db.Certificate(r.ctx, r.run.ID)
	if err != nil || !strings.Contains(string(text), "public.app_shops.legacy_token was emptied") {
		t.Errorf("certificate %s, %v", text, err)
	}
	r.confirm(rotation.PhaseClosed)
	fresh, err := r.sim.CreateSecret()
	r.must(err)
	_, err = r.db.AddSecret(r.ctx, "test", r.app.ID, secret.New(fresh.Value))
	r.must(err)
	r.start(operate.StartOptions{})
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.asDerived(2)
	if _, _, err := r.db.VerifyJournal(r.ctx); err != nil {
		t.Error(err)
	}
}

func TestAKilledDerivingWorkerTearsNothingApart(t *testing.T) {
	t.Parallel()
	r, shops := newBoundLegacyRig(t, haravansim.Options{Shops: 1500})
	r.migrate(operate.MigrationOptions{CheckSample: 0, BatchSize: 5})
	worker := r.process()
	r.until("midway", func(s rotation.Snapshot) bool { return s.Counts.Exchanged > 20 })
	r.must(worker.Process.Kill())
	_ = worker.Wait()
	r.together()
	r.worker()
	if snap := r.until("derived", inPhase(rotation.PhaseDerived)); snap.Counts.Exchanged != shops {
		t.Errorf("derived: %+v", snap.Counts)
	}
	r.together()
	// And taken back.
	r.must(r.op.Cancel(r.ctx, r.run.ID, r.app.Name))
	r.nothingDerived()
	if n := r.count(`select count(*) from public.app_shops where oauth_token is not null or legacy_token is null`); n != 0 {
		t.Errorf("%d rows are not as they were", n)
	}
}

func TestFaultsOfTheTableWhileDeriving(t *testing.T) {
	t.Parallel()
	r, shops := newBoundLegacyRig(t, haravansim.Options{Shops: 200})
	// Nothing is due to be read, so that deriving is what meets the fault.
	r.migrate(operate.MigrationOptions{CheckSample: 0, BatchSize: 20})
	r.must(r.op.Pause(r.ctx, r.run.ID, "in a test"))
	b, err := r.db.Binding(r.ctx, r.app.ID)
	r.must(err)
	_, err = r.db.SyncBound(r.ctx, r.app, *b.ReadAt)
	r.must(err)
	r.worker()
	r.until("walked", func(s rotation.Snapshot) bool { return s.WalkDone })
	r.sql(`alter table public.app_shops rename column oauth_token to token`)
	r.must(r.op.Resume(r.ctx, r.run.ID))
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if !strings.Contains(snap.HeldWhy, "the bound table public.app_shops has no column oauth_token any more") || snap.Counts.Exchanged != 0 {
		t.Errorf("held because %q: %+v", snap.HeldWhy, snap.Counts)
	}
	if step := rotation.Next(snap); !strings.Contains(step.Why, "rotator shop bind") {
		t.Errorf("next: %+v", step)
	}
	r.sql(`alter table public.app_shops rename column token to oauth_token`)

	// The whole table is locked: the run is held once that stays so.
	holder, err := r.admin.Pool.Begin(r.ctx)
	r.must(err)
	defer func() { _ = holder.Rollback(context.Background()) }()
	_, err = holder.Exec(r.ctx, `lock table public.app_shops in access exclusive mode`)
	r.must(err)
	r.must(r.op.Resume(r.ctx, r.run.ID))
	snap = r.until("held", isHeld(rotation.HeldWaiting))
	if !strings.Contains(snap.HeldWhy, "is locked as a whole by another transaction") {
		t.Errorf("held because %q", snap.HeldWhy)
	}
	r.must(holder.Rollback(r.ctx))

	// One row is locked: it waits, and keeps no other waiting.
	holder, err = r.admin.Pool.Begin(r.ctx)
	r.must(err)
	var locked string
	r.must(holder.QueryRow(r.ctx, `select shop from public.app_shops where id = 11 for update`).Scan(&locked))
	r.must(r.op.Resume(r.ctx, r.run.ID))
	r.until("all but one derived", func(s rotation.Snapshot) bool { return s.Counts.Exchanged == shops-1 })
	if i := r.item(locked); !strings.Contains(i.Detail, "its row is locked by another transaction in the bound table public.app_shops") {
		t.Errorf("locked: %+v", i)
	}
	r.must(holder.Rollback(r.ctx))
	r.until("derived", inPhase(rotation.PhaseDerived))
	r.together()
	if n := r.count(`select count(*) from public.app_shops where oauth_token is not null`); n != shops {
		t.Errorf("%d rows have a derived token", n)
	}
}

func TestWrongSecretVersionOfABoundTable(t *testing.T) {
	t.Parallel()
	r, shops := newBoundLegacyRig(t, haravansim.Options{Shops: 100})
	wrong, err := r.sim.CreateSecret()
	r.must(err)
	_, err = r.db.AddSecret(r.ctx, storetest.Actor, r.app.ID, secret.New(wrong.Value))
	r.must(err)
	r.worker()
	r.sim.CreateTestApp()
	r.migrate(operate.MigrationOptions{CheckSample: -1, SecretVersion: 2})
	r.until("held", isHeld(rotation.HeldWaiting))
	if n := r.count(`select count(*) from public.app_shops where oauth_token is not null`); n != shops {
		t.Errorf("%d rows have a derived token", n)
	}
	r.must(r.op.Cancel(r.ctx, r.run.ID, r.app.Name))
	if n := r.count(`select count(*) from public.app_shops where oauth_token is not null`); n != 0 {
		t.Errorf("%d rows keep a derived token", n)
	}
	r.migrate(operate.MigrationOptions{CheckSample: -1})
	if snap := r.until("checked", checked); snap.Migration.CheckAlive != shops {
		t.Errorf("with the right version: %+v", snap.Migration)
	}
}

// A binding that derived tokens have no place in is refused, with what to do.
func TestAMigrationNeedsAnOAuthColumn(t *testing.T) {
	t.Parallel()
	r, _ := newBoundLegacyRig(t, haravansim.Options{Shops: 10})
	b, err := r.db.Binding(r.ctx, r.app.ID)
	r.must(err)
	b.Access, b.OAuth = "oauth_token", ""
	r.must(r.db.Bind(r.ctx, storetest.Actor, r.app, b))
	_, err = r.op.StartMigration(r.ctx, r.app, operate.MigrationOptions{})
	if err == nil || !strings.Contains(err.Error(), "`rotator shop bind --table public.app_shops --key id --domain shop --access-token oauth_token --legacy-token legacy_token --oauth-token oauth_token --create-column`") {
		t.Errorf("start: %v", err)
	}
	b.Access, b.OAuth = "", "oauth_token"
	r.must(r.db.Bind(r.ctx, storetest.Actor, r.app, b))
	role := r.db.URL.Reveal()
	role = role[strings.Index(role, "role=")+5:]
	r.sql(`revoke update (legacy_token) on public.app_shops from ` + strings.SplitN(role, "&", 2)[0])
	_, err = r.op.StartMigration(r.ctx, r.app, operate.MigrationOptions{})
	if err == nil || !strings.Contains(err.Error(), `grant update ("legacy_token", "oauth_token") on "public"."app_shops" to `) {
		t.Errorf("start: %v", err)
	}
}
