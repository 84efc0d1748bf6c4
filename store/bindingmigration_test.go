package store_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// legacyRig has n shops with a legacy token in the app's own table, read.
func legacyRig(t *testing.T, n int, codec store.Codec) (*boundRig, []store.DerivedToken) {
	t.Helper()
	r := newBoundRig(t, n, func(b *store.Binding) { b.Codec = codec })
	r.onApp(t, `update app."Shops" set legacy_token = 'legacy-' || (id - 1), access_token = null`)
	if got := r.read(t); got.Added != n || got.Faulty() {
		t.Fatalf("reading %+v", got)
	}
	if kinds := ask[int64](t, r.DB, "select count(*) from rotator.shops where legacy_kind = 'token' and access_token is null"); kinds[0] != int64(n) {
		t.Fatalf("%d shops have a legacy token", kinds[0])
	}
	var tokens []store.DerivedToken
	for i := range n {
		tokens = append(tokens, store.DerivedToken{ShopID: r.shop(t, domain(i)).ID, Token: secret.New(fmt.Sprintf("derived-%d", i))})
	}
	return r, tokens
}

func TestDerivedTokensGoIntoTheirColumnAndOutAgain(t *testing.T) {
	t.Parallel()
	r, tokens := legacyRig(t, 6, store.CodecPlain)
	r.onApp(t, `update app."Shops" set oauth_token = 'installed' where id = 2`)
	r.onApp(t, `update app."Shops" set oauth_token = '' where id = 3`)
	r.onApp(t, `delete from app."Shops" where id = 4`)
	exec(t, r.DB, "update rotator.shops set bound_key = null where domain = $1", domain(4))
	holder, err := r.admin.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(context.Background()) }()
	if _, err := holder.Exec(t.Context(), `select 1 from app."Shops" where id = 6 for update`); err != nil {
		t.Fatal(err)
	}
	want := []store.RowFate{store.RowDone, store.RowTaken, store.RowDone, store.RowGone, store.RowNone, store.RowLocked}
	write := func() {
		t.Helper()
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			fates, err := tx.WriteDerived(ctx, r.binding, tokens)
			for i, d := range tokens {
				if fates[d.ShopID] != want[i] {
					t.Errorf("shop %d: %s, want %s", i, fates[d.ShopID], want[i])
				}
			}
			return err
		})
	}
	write()
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	want[5] = store.RowDone
	write() // again changes nothing, but for what was locked
	for i, token := range map[int]string{0: "derived-0", 1: "installed", 2: "derived-2", 4: "", 5: "derived-5"} {
		if got := r.column(t, i, "oauth_token"); got != token {
			t.Errorf("shop %d: the app has %q, want %q", i, got, token)
		}
	}
	if got := r.column(t, 0, "legacy_token"); got != "legacy-0" {
		t.Errorf("the legacy column has %s", got)
	}
	for range 2 {
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			fates, err := tx.ClearDerived(ctx, r.binding, tokens)
			if fates[tokens[0].ShopID] != store.RowDone || fates[tokens[1].ShopID] != store.RowTaken {
				t.Errorf("fates %v", fates)
			}
			return err
		})
	}
	if got := ask[string](t, r.admin, `select string_agg(coalesce(oauth_token, '-'), ' ' order by id) from app."Shops"`); got[0] != "- installed - - -" {
		t.Errorf("after the cancel the app has %s", got[0])
	}
}

func TestSealedDerivedTokens(t *testing.T) {
	t.Parallel()
	r, tokens := legacyRig(t, 2, store.CodecSealed)
	for range 2 {
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.WriteDerived(ctx, r.binding, tokens)
			return err
		})
	}
	first := r.column(t, 0, "oauth_token")
	if len(first) < 50 {
		t.Fatalf("the app has %s", first)
	}
	if got := r.read(t); got.Updated != 2 || r.token(t, domain(0)) != "derived-0" {
		t.Errorf("reading %+v", got)
	}
	// A sealed value in another row does not open there.
	r.onApp(t, `update app."Shops" set oauth_token = $1 where id = 2`, first)
	if got := r.read(t); got.Bad != 1 || len(got.Problems) != 1 || got.Problems[0].Key != "2" || got.Problems[0].Column != "oauth_token" {
		t.Errorf("reading %+v", got)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		fates, err := tx.ClearDerived(ctx, r.binding, tokens)
		if fates[tokens[0].ShopID] != store.RowDone || fates[tokens[1].ShopID] != store.RowBroken {
			t.Errorf("fates %v", fates)
		}
		return err
	})
}

func TestTheLegacyColumnIsEmptiedInPages(t *testing.T) {
	t.Parallel()
	r, _ := legacyRig(t, 7, store.CodecPlain)
	r.onApp(t, `update app."Shops" set uninstalled = true where id = 3`)
	holder, err := r.admin.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(context.Background()) }()
	if _, err := holder.Exec(t.Context(), `select 1 from app."Shops" where id = 5 for update`); err != nil {
		t.Fatal(err)
	}
	empty := func() (pages int) {
		t.Helper()
		var after *string
		for {
			r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
				after, err = tx.EmptyLegacy(ctx, r.binding, after, 2)
				return err
			})
			if after == nil {
				return pages
			}
			pages++
		}
	}
	left := func() (n int64) {
		t.Helper()
		r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
			n, err = tx.CountLegacy(ctx, r.binding)
			return err
		})
		return n
	}
	if pages, n := empty(), left(); pages != 3 || n != 1 {
		t.Errorf("%d pages, %d left", pages, n)
	}
	if err := holder.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	if pages, n := empty(), left(); pages != 1 || n != 0 {
		t.Errorf("%d pages, %d left", pages, n)
	}
	if got := ask[int64](t, r.admin, `select count(*) from app."Shops" where legacy_token is not null`); got[0] != 1 {
		t.Errorf("%d rows, one of which is not bound, have a legacy token", got[0])
	}
}

func TestTheLegacyColumnIsDropped(t *testing.T) {
	t.Parallel()
	r, _ := legacyRig(t, 1, store.CodecPlain)
	if got := r.binding.DropLegacyStatement(); got != `alter table "app"."Shops" drop column "legacy_token"` {
		t.Errorf("statement %s", got)
	}
	drop := func(db *storetest.DB) error {
		return db.InTx(t.Context(), func(tx *store.Tx) error { return tx.DropLegacy(t.Context(), "test", r.app, r.binding) })
	}
	var fault *store.BoundFault
	if err := drop(r.DB); !errors.As(err, &fault) {
		t.Errorf("not the owner: %v", err)
	}
	if err := drop(r.admin); err != nil {
		t.Fatal(err)
	}
	if b, err := r.Binding(t.Context(), r.app.ID); err != nil || b.Legacy != "" {
		t.Errorf("binding %+v, %v", b, err)
	}
	if err := drop(r.admin); !errors.As(err, &fault) {
		t.Errorf("again: %v", err)
	}
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
