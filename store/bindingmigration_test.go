package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// legacyRig has n shops with a legacy token in the app's own table, read, and a
// token migration that has not walked.
func legacyRig(t *testing.T, n int, change ...func(*store.Binding)) *boundRig {
	t.Helper()
	r := newBoundRig(t, n, change...)
	r.onApp(t, `update app."Shops" set legacy_token = 'legacy-' || (id - 1), access_token = null`)
	if got := r.read(t); got.Added != n || got.Faulty() {
		t.Fatalf("reading %+v", got)
	}
	if kinds := ask[int64](t, r.DB, "select count(*) from rotator.shops where legacy_kind = 'token' and access_token is null"); kinds[0] != int64(n) {
		t.Fatalf("%d shops have a legacy token", kinds[0])
	}
	r.worker = r.startWorker(t)
	r.startMigration(t)
	return r
}

func derivedOf(shop int) string { return fmt.Sprintf("planted-derived-of-legacy-%d", shop) }

// lockRow holds a row on the app's side until release is called.
func (r *boundRig) lockRow(t *testing.T, id int) (release func()) {
	t.Helper()
	holder, err := r.admin.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = holder.Rollback(context.Background()) })
	if _, err := holder.Exec(t.Context(), `select 1 from app."Shops" where id = $1 for update`, id); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := holder.Rollback(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

// deriveDue derives a shop that is due by itself.
func (r *boundRig) deriveDue(t *testing.T, shop int) (stored bool) {
	t.Helper()
	exec(t, r.DB, "update rotator.items set next_attempt_at = now() where run_id = $1 and next_attempt_at is not null", r.run.ID)
	u, err := r.ReadUnderivedClaim(t.Context(), r.claimDue(t, domain(shop)))
	if err != nil {
		t.Fatal(err)
	}
	if stored, err = r.WriteDerivedClaim(t.Context(), derived(u)); err != nil {
		t.Fatal(err)
	}
	return stored
}

func (r *boundRig) oauth(t *testing.T) string {
	t.Helper()
	return ask[string](t, r.admin, `select string_agg(coalesce(oauth_token, '-'), ' ' order by id) from app."Shops"`)[0]
}

func (r *boundRig) hold(t *testing.T) {
	t.Helper()
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.HoldToCancel(ctx, storetest.Actor, r.run)
		return err
	})
}

func TestDerivedTokensGoIntoTheirColumnAndOutAgain(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, 7)
	r.onApp(t, `update app."Shops" set oauth_token = 'installed' where id = 2`)
	r.onApp(t, `update app."Shops" set oauth_token = '' where id = 3`)
	r.onApp(t, `delete from app."Shops" where id = 4`)
	exec(t, r.DB, "update rotator.shops set bound_key = null where domain = $1", domain(4))
	r.onApp(t, `update app."Shops" set access_token = 'installed-too' where id = 6`)
	release := r.lockRow(t, 7)
	r.deriveAll(t)
	for i, want := range []struct {
		state  rotation.ItemState
		detail string
		token  string
	}{
		{rotation.ItemExchanged, "", derivedOf(0)},
		{rotation.ItemSkipped, "has an OAuth token already, in its row of the bound table app.Shops", "installed"},
		{rotation.ItemExchanged, "", derivedOf(2)},
		{rotation.ItemSkipped, "excluded: its row left the bound table app.Shops", "gone"},
		{rotation.ItemExchanged, "", ""},
		{rotation.ItemSkipped, "has an OAuth token already, in its row of the bound table app.Shops", ""},
		{rotation.ItemRetrying, "its row is locked by another transaction in the bound table app.Shops", ""},
	} {
		item := r.item(t, domain(i))
		if item.State != want.state || item.Detail != want.detail {
			t.Errorf("shop %d: %+v", i, item)
		}
		if want.token != "gone" && r.column(t, i, "oauth_token") != want.token {
			t.Errorf("shop %d: the app has %q, want %q", i, r.column(t, i, "oauth_token"), want.token)
		}
	}
	if r.token(t, domain(1)) != "installed" || r.token(t, domain(5)) != "installed-too" {
		t.Error("installed tokens are not taken over")
	}
	release()
	if !r.deriveDue(t, 6) || r.column(t, 6, "oauth_token") != derivedOf(6) {
		t.Errorf("the row that was locked: %+v", r.item(t, domain(6)))
	}
	// The derived tokens are no installs, and what was set aside stays so.
	if got := r.read(t); got.Updated+got.Stale+got.Bad+got.Left != 0 {
		t.Errorf("reading %+v", got)
	}
	if s := r.snapshot(t, store.Counted); s.LateInstalls != 0 || s.Counts.Exchanged != 4 || s.Counts.Skipped != 3 {
		t.Errorf("snapshot: %d late, %+v", s.LateInstalls, s.Counts)
	}
	// A legacy token that changed is derived from anew, over the token before.
	r.onApp(t, `update app."Shops" set legacy_token = 'legacy-x' where id = 1`)
	r.read(t)
	r.sweepDerive(t)
	if got := r.column(t, 0, "oauth_token"); got != "planted-derived-of-legacy-x" {
		t.Errorf("derived anew the app has %s", got)
	}

	// And out again; an install that came meanwhile stays.
	r.onApp(t, `update app."Shops" set oauth_token = 'late-install' where id = 3`)
	cancel := func() error {
		return r.try(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.reread(t)) })
	}
	if _, err := r.ClearDerivedRows(t.Context(), r.run); !errors.Is(err, store.ErrConflict) {
		t.Errorf("cleared while the run works: %v", err)
	}
	if err := cancel(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("cancelled while rows hold derived tokens: %v", err)
	}
	r.hold(t)
	release = r.lockRow(t, 1)
	if left, err := r.ClearDerivedRows(t.Context(), r.run); err != nil || left != 1 {
		t.Errorf("%d left, %v", left, err)
	}
	if got := r.oauth(t); got != "planted-derived-of-legacy-x installed late-install - - -" {
		t.Errorf("the app has %s", got)
	}
	if err := cancel(); !errors.Is(err, store.ErrConflict) {
		t.Errorf("cancelled while a row holds a derived token: %v", err)
	}
	release()
	if left, err := r.ClearDerivedRows(t.Context(), r.run); err != nil || left != 0 {
		t.Errorf("%d left, %v", left, err)
	}
	if err := cancel(); err != nil {
		t.Fatal(err)
	}
	if got := r.oauth(t); got != "- installed late-install - - -" {
		t.Errorf("after the cancel the app has %s", got)
	}
	if n := ask[int64](t, r.DB, "select (select count(*) from rotator.items where new_token is not null) + (select count(*) from rotator.shops where derived_at is not null)"); n[0] != 0 {
		t.Errorf("%d traces of derived tokens are left", n[0])
	}
	if got := r.column(t, 0, "legacy_token"); got != "legacy-x" {
		t.Errorf("the legacy column has %s", got)
	}
}

// sweepDerive takes in what came late or changed, and derives it.
func (r *boundRig) sweepDerive(t *testing.T) {
	t.Helper()
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Sweep(ctx, r.reread(t)) })
	var grants []store.Grant
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		grants, err = tx.GrantOrphans(ctx, r.run.ID, store.LiveWithin, "none")
		return err
	})
	for _, g := range grants {
		r.deriveBatch(t, r.take(t, g))
	}
}

// A cancel that was killed half-way is undone by resuming the run.
func TestAMigrationGoesOnAfterHalfACancel(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, 4)
	r.deriveAll(t)
	r.hold(t)
	if _, err := r.ClearDerivedRows(t.Context(), r.run); err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
	r.sweepDerive(t)
	if got := r.column(t, 3, "oauth_token"); got != derivedOf(3) {
		t.Errorf("the app has %s", got)
	}
	if s := r.snapshot(t, store.Counted); s.Counts.Exchanged != 4 || s.LateInstalls != 0 {
		t.Errorf("%+v", s.Counts)
	}
}

func TestSealedDerivedTokens(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, 2, func(b *store.Binding) { b.Codec = store.CodecSealed })
	r.deriveAll(t)
	first := r.column(t, 0, "oauth_token")
	if len(first) < 50 {
		t.Fatalf("the app has %s", first)
	}
	if got := r.read(t); got.Updated+got.Bad != 0 {
		t.Errorf("reading %+v", got)
	}
	// A sealed value in another row does not open there.
	r.onApp(t, `update app."Shops" set oauth_token = $1 where id = 2`, first)
	if got := r.read(t); got.Bad != 1 || len(got.Problems) != 1 || got.Problems[0].Key != "2" || got.Problems[0].Column != "oauth_token" {
		t.Errorf("reading %+v", got)
	}
	r.hold(t)
	if left, err := r.ClearDerivedRows(t.Context(), r.run); err != nil || left != 0 {
		t.Fatalf("%d left, %v", left, err)
	}
	if r.column(t, 0, "oauth_token") != "" || r.column(t, 1, "oauth_token") != first {
		t.Errorf("the app has %s", r.oauth(t))
	}
}

// A row that refuses its token keeps no other out; a table that cannot be written
// is told, and nothing is written.
func TestTablesThatRefuseDerivedTokens(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, 5)
	r.onApp(t, `alter table app."Shops" add constraint never check (id <> 3 or oauth_token is null)`)
	r.walk(t)
	l := r.take(t, r.release(t, 1)[0])
	group := r.derivations(t, l)
	for change, want := range map[string]string{
		`alter table app."Shops" rename column oauth_token to x`: "has no column oauth_token any more",
		`revoke update on app."Shops" from ` + r.role:            "may not be used by this role",
	} {
		r.onApp(t, change)
		var fault *store.BoundFault
		if err := r.WriteDerived(t.Context(), l, group); !errors.As(err, &fault) || fault.Row || fault.Busy || !strings.Contains(fault.Error(), want) {
			t.Errorf("%s: %v", change, err)
		}
		if s := r.snapshot(t, store.Counted); s.Counts.Exchanged != 0 {
			t.Errorf("%s: %+v", change, s.Counts)
		}
		if strings.Contains(change, "rename") {
			r.onApp(t, `alter table app."Shops" rename column x to oauth_token`)
		}
	}
	r.onApp(t, `grant update (access_token, oauth_token, legacy_token) on app."Shops" to `+r.role)
	if err := r.WriteDerived(t.Context(), l, group); err != nil {
		t.Fatal(err)
	}
	if i := r.item(t, domain(2)); i.State != rotation.ItemRetrying || i.Class != rotation.ClassOurs || !strings.Contains(i.Detail, "by its constraint never") {
		t.Errorf("refused: %+v", i)
	}
	if s := r.snapshot(t, store.Counted); s.Counts.Exchanged != 4 {
		t.Errorf("%+v", s.Counts)
	}
	for tries := 0; r.item(t, domain(2)).State != rotation.ItemParked; tries++ {
		if tries > 20 || r.deriveDue(t, 2) {
			t.Fatalf("refused: %+v", r.item(t, domain(2)))
		}
	}
	for _, table := range ask[string](t, r.admin, "select tablename::text from pg_tables where schemaname = 'rotator'") {
		for _, row := range ask[string](t, r.admin, "select t::text from rotator."+table+" t") {
			if found := planted(row, []string{"legacy-", "planted-derived"}); found != nil {
				t.Errorf("table %s shows %q", table, found)
			}
		}
	}
}

// settled has a migration of n shops proven after its cutover.
func (r *boundRig) settle(t *testing.T) {
	t.Helper()
	r.deriveAll(t)
	r.enter(t, rotation.PhaseCutover)
	for _, g := range r.release(t, 1) {
		r.proveDerived(t, store.Written, r.claim(t, r.take(t, g))...)
	}
}

func (r *boundRig) scrub(t *testing.T) (left int) {
	t.Helper()
	if err := r.ScrubLegacy(t.Context(), r.reread(t), func(int64, int64) {}); err != nil {
		t.Fatal(err)
	}
	return r.snapshot(t, store.Counted).Migration.LegacyLeft
}

func TestTheLegacyColumnIsEmptied(t *testing.T) {
	t.Parallel()
	for _, notNull := range []bool{false, true} {
		t.Run(fmt.Sprintf("not null %t", notNull), func(t *testing.T) {
			t.Parallel()
			r := legacyRig(t, 7)
			r.settle(t)
			before := r.oauth(t)
			r.onApp(t, `insert into app."Shops" ("shop domain", legacy_token, uninstalled) values ('out.myharavan.com', 'not ours', true)`)
			r.onApp(t, `update app."Shops" set legacy_token = 'another' where id = 3`)
			if notNull {
				r.onApp(t, `alter table app."Shops" alter legacy_token set not null`)
			}
			release := r.lockRow(t, 5)
			if left := r.scrub(t); left != 2 {
				t.Errorf("%d left", left)
			}
			if r.column(t, 4, "legacy_token") != "legacy-4" || r.column(t, 2, "legacy_token") != "another" {
				t.Error("a row that is locked or changed was emptied")
			}
			release()
			if left := r.scrub(t); left != 1 {
				t.Errorf("%d left", left)
			}
			r.onApp(t, `update app."Shops" set legacy_token = 'legacy-2' where id = 3`)
			if left := r.scrub(t); left != 0 {
				t.Errorf("%d left", left)
			}
			empty := ask[string](t, r.admin, `select string_agg(coalesce(legacy_token, 'null'), ',' order by id) from app."Shops"`)[0]
			if want := map[bool]string{false: "null,null,null,null,null,null,null,not ours", true: ",,,,,,,not ours"}[notNull]; empty != want {
				t.Errorf("the column has %s", empty)
			}
			if got := r.oauth(t); got != before+" -" {
				t.Errorf("the OAuth column has %s", got)
			}
			if got := r.read(t); got.Updated+got.Left+got.Bad != 0 {
				t.Errorf("reading %+v", got)
			}
		})
	}
}

func TestTheLegacyColumnIsDropped(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, 2)
	r.settle(t)
	if got := r.binding.DropLegacyStatement(); got != `alter table "app"."Shops" drop column "legacy_token"` {
		t.Errorf("statement %s", got)
	}
	drop := func(db *storetest.DB) error {
		return db.InTx(t.Context(), func(tx *store.Tx) error { return tx.DropLegacy(t.Context(), "test", r.app, r.binding) })
	}
	var fault *store.BoundFault
	if err := drop(r.DB); !errors.As(err, &fault) || !strings.Contains(fault.Error(), "let its owner run: alter table") {
		t.Errorf("not the owner: %v", err)
	}
	if why, err := r.MayDropLegacy(t.Context(), r.binding); err != nil || !strings.Contains(why, "does not own table app.Shops") {
		t.Errorf("not the owner: %s, %v", why, err)
	}
	if err := drop(r.admin); !errors.As(err, &fault) || !strings.Contains(fault.Error(), "has 2 rows with a legacy token") {
		t.Errorf("before the scrub: %v", err)
	}
	r.scrub(t)
	if err := drop(r.admin); err != nil {
		t.Fatal(err)
	}
	if b, err := r.Binding(t.Context(), r.app.ID); err != nil || b.Legacy != "" {
		t.Errorf("binding %+v, %v", b, err)
	}
	r.read(t)
}

// A rotation of a sealed table, which was plain: every value is sealed then.
func TestASealedTable(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 2, func(b *store.Binding) { b.Codec = store.CodecSealed; b.Access = "raw" })
	r.onApp(t, `alter table app."Shops" add raw bytea`)
	r.onApp(t, `update app."Shops" set raw = access_token::bytea`)
	r.onApp(t, fmt.Sprintf(`grant select (raw), update (raw) on app."Shops" to %s`, r.role))
	r.read(t)
	r.begin(t, 2)
	claims := r.claimOpen(t)
	r.prove(t, claims...)
	for i := range 2 {
		raw := ask[[]byte](t, r.admin, `select raw from app."Shops" where id = $1`, i+1)[0]
		got, err := r.Keys.Open(raw, secret.Column{Table: "app.Shops", Row: fmt.Sprint(i + 1), Name: "raw"})
		if err != nil || got.Reveal() != fresh(claimOf(t, claims, i)).Reveal() {
			t.Errorf("shop %d: %v", i, err)
		}
	}
	if got := r.read(t); got.Updated+got.Stale+got.Bad != 0 {
		t.Errorf("reading %+v", got)
	}
}
