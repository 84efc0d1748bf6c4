package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func TestASwapWritesTheAppsOwnRow(t *testing.T) {
	t.Parallel()
	r, claims := claimBound(t, 3)
	r.prove(t, claims...)
	for i, c := range claims {
		if got := r.column(t, i, "access_token"); got != fresh(claimOf(t, claims, i)).Reveal() {
			t.Errorf("shop %d: the app has %s", i, got)
		}
		if got := r.token(t, c.Domain); got != fresh(c).Reveal() {
			t.Errorf("%s: %s is stored", c.Domain, got)
		}
	}
	if got := r.column(t, 0, "secret_of_the_app"); got != "not for rotator" {
		t.Errorf("another column became %s", got)
	}
	if reading := r.read(t); reading.Added+reading.Updated+reading.Stale+reading.Left != 0 || reading.Unchanged != 3 {
		t.Errorf("the table is not as stored: %+v", reading)
	}
}

func TestTheColumnThatIsReadIsWritten(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 2)
	r.onApp(t, `update app."Shops" set access_token = 'stays', oauth_token = 'oauth-1' where "shop domain" ilike '%shop-1.%'`)
	r.onApp(t, `update app."Shops" set oauth_token = '' where "shop domain" ilike '%shop-0.%'`)
	r.read(t)
	r.begin(t, 2)
	claims := r.claimOpen(t)
	if got := claimOf(t, claims, 1).Current.Reveal(); got != "oauth-1" {
		t.Errorf("the current token is %s", got)
	}
	r.prove(t, claims...)
	if got := r.column(t, 1, "oauth_token"); got != fresh(claimOf(t, claims, 1)).Reveal() || r.column(t, 1, "access_token") != "stays" {
		t.Errorf("the oauth column has %s, the other %s", got, r.column(t, 1, "access_token"))
	}
	if got := r.column(t, 0, "access_token"); got != fresh(claimOf(t, claims, 0)).Reveal() || r.column(t, 0, "oauth_token") != "" {
		t.Errorf("an empty oauth column: access has %s, oauth %q", got, r.column(t, 0, "oauth_token"))
	}
}

// begin starts the run, after the table was read, and releases its first wave.
func (r *boundRig) begin(t *testing.T, n int) {
	t.Helper()
	r.run = r.Run(t, r.app, store.RunSettings{BatchSize: int64(n), CheckSample: -1, Waves: rotation.WavePolicy{Budget: 0.25}})
	r.worker = r.startWorker(t)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	r.release(t, 1)
}

func TestAnInstallMeanwhileIsNeverOverwritten(t *testing.T) {
	t.Parallel()
	r, claims := claimBound(t, 3)
	c := claimOf(t, claims, 1)
	r.write(t, store.Written, exchanged(c), exchanged(claimOf(t, claims, 0)))
	r.onApp(t, `update app."Shops" set access_token = 'installed' where "shop domain" ilike '%shop-1.%'`)

	// In one group with a shop that nothing happened to.
	verdicts, err := r.WriteOutcomes(t.Context(), []store.Outcome{r.proven(c), r.proven(claimOf(t, claims, 0))})
	if err != nil || verdicts[0] != store.Replaced || verdicts[1] != store.Written {
		t.Fatalf("verdicts %v, %v", verdicts, err)
	}
	if got := r.column(t, 1, "access_token"); got != "installed" {
		t.Errorf("the app's install was overwritten with %s", got)
	}
	if got := r.token(t, domain(1)); got != "installed" {
		t.Errorf("%s is stored", got)
	}
	if i := r.item(t, domain(1)); i.State != rotation.ItemUnknown || i.NextAttemptAt == nil {
		t.Errorf("item %+v is not due", i)
	}
	// The next attempt replaces the token that is there: no endless loop.
	again := r.claimDue(t, domain(1))
	if again.Current.Reveal() != "installed" {
		t.Fatalf("the current token is %s", again.Current.Reveal())
	}
	r.prove(t, again)
	if got := r.column(t, 1, "access_token"); got != fresh(again).Reveal() {
		t.Errorf("the app has %s", got)
	}
}

// claimDue claims an item that is due by itself.
func (r *boundRig) claimDue(t *testing.T, domain string) store.Claim {
	t.Helper()
	exec(t, r.DB, "update rotator.items i set next_attempt_at = now() from rotator.shops s where s.id = i.shop_id and s.domain = $1 and next_attempt_at is not null", domain)
	var due []store.Due
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		due, err = tx.DispatchDue(ctx, r.run.ID, 100, time.Minute)
		return err
	})
	for _, d := range due {
		c, err := r.ClaimDue(t.Context(), d, r.worker, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if c.Domain == domain {
			return c
		}
	}
	t.Fatalf("%s is not due", domain)
	return store.Claim{}
}

func TestALockedRowWaits(t *testing.T) {
	t.Parallel()
	r, claims := claimBound(t, 3)
	for _, c := range claims {
		r.write(t, store.Written, exchanged(c))
	}
	holder, err := r.admin.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(context.Background()) }()
	if _, err := holder.Exec(t.Context(), `select 1 from app."Shops" where "shop domain" ilike '%shop-1.%' for update`); err != nil {
		t.Fatal(err)
	}
	verdicts, err := r.WriteOutcomes(t.Context(), []store.Outcome{r.proven(claimOf(t, claims, 0)), r.proven(claimOf(t, claims, 1)), r.proven(claimOf(t, claims, 2))})
	if err != nil || verdicts[0] != store.Written || verdicts[1] != store.RowAside || verdicts[2] != store.Written {
		t.Fatalf("verdicts %v, %v", verdicts, err)
	}
	r.stays(t, 1, "", "its row is locked by another transaction in the bound table app.Shops")
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	c := r.claimDue(t, domain(1))
	if c.New.Reveal() != fresh(claimOf(t, claims, 1)).Reveal() {
		t.Fatalf("the minted token is %s", c.New.Reveal())
	}
	proof := r.proven(c)
	proof.New = c.New
	r.write(t, store.Written, proof)
	if got := r.column(t, 1, "access_token"); got != c.New.Reveal() {
		t.Errorf("the app has %s", got)
	}
}

func TestARowThatLeftIsSkippedAndItsTokenKept(t *testing.T) {
	t.Parallel()
	r, claims := claimBound(t, 4)
	for _, c := range claims {
		r.write(t, store.Written, exchanged(c))
	}
	r.onApp(t, `delete from app."Shops" where "shop domain" ilike '%shop-0.%'`)
	r.onApp(t, `update app."Shops" set uninstalled = true where "shop domain" ilike '%shop-1.%'`)
	r.onApp(t, `update app."Shops" set access_token = null where "shop domain" ilike '%shop-2.%'`)
	var group []store.Outcome
	for i := range 4 {
		group = append(group, r.proven(claimOf(t, claims, i)))
	}
	verdicts, err := r.WriteOutcomes(t.Context(), group)
	if err != nil || verdicts[0] != store.RowAside || verdicts[1] != store.RowAside || verdicts[2] != store.RowAside || verdicts[3] != store.Written {
		t.Fatalf("verdicts %v, %v", verdicts, err)
	}
	for i, want := range []string{"its row left the bound table app.Shops", "its row left the bound table app.Shops", "its row has no token any more in the bound table app.Shops"} {
		if item := r.item(t, domain(i)); item.State != rotation.ItemSkipped || item.Detail != "excluded: "+want {
			t.Errorf("item %+v", item)
		}
		if s := r.shop(t, domain(i)); s.ExcludedReason != want {
			t.Errorf("excluded because %q", s.ExcludedReason)
		}
		if got := r.token(t, domain(i)); got != fresh(claimOf(t, claims, i)).Reveal() {
			t.Errorf("the minted token is lost: %s", got)
		}
	}
	if r.column(t, 2, "access_token") != "" {
		t.Error("a token came back into a row that was emptied")
	}
	// A row that comes back with the token that it had gets the one that lives.
	r.onApp(t, `insert into app."Shops" ("shop domain", access_token) values ('shop-0', 'token-0')`)
	if reading := r.read(t); reading.Back != 1 || reading.Restored != 1 || reading.Behind != 0 {
		t.Errorf("reading %+v", reading)
	}
	if got := ask[string](t, r.admin, `select access_token from app."Shops" where "shop domain" = 'shop-0'`)[0]; got != fresh(claimOf(t, claims, 0)).Reveal() {
		t.Errorf("the row that is back has %s", got)
	}
	if s := r.shop(t, domain(0)); s.ExcludedReason != "" {
		t.Errorf("still excluded: %s", s.ExcludedReason)
	}
}
