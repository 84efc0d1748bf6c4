package store_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestReadingAgainChangesNothing(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 5)
	if got := r.read(t); got.Added != 5 || got.Rows != 5 || got.Faulty() {
		t.Errorf("first reading %+v", got)
	}
	before := ask[string](t, r.DB, "select s::text from rotator.shops s order by id")
	entries := ask[int64](t, r.DB, "select count(*) from rotator.journal")
	if got := r.read(t); got.Added+got.Updated+got.Moved+got.Renamed+got.Left+got.Back+got.Restored != 0 || got.Unchanged != 5 {
		t.Errorf("second reading %+v", got)
	}
	if after := ask[string](t, r.DB, "select s::text from rotator.shops s order by id"); !slices.Equal(before, after) {
		t.Errorf("shops changed from\n%s\nto\n%s", before, after)
	}
	if after := ask[int64](t, r.DB, "select count(*) from rotator.journal"); after[0] != entries[0] {
		t.Error("a reading that found nothing is journalled")
	}
}

// The stored tokens of a table are not read from it again, and yet are the ones
// that a version was named for.
func TestAVersionIsNotGivenToABoundToken(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 3)
	r.read(t)
	secrets, err := r.Secrets(t.Context(), r.app.ID)
	if err != nil {
		t.Fatal(err)
	}
	r.onApp(t, `update app."Shops" set access_token = 'installed' where access_token = 'token-1'`)
	got, err := r.ImportBound(t.Context(), storetest.Actor, r.app, r.binding, secrets[0].ID, func(store.BoundReading) error { return nil })
	if err != nil || got.Updated != 1 || got.Unchanged != 2 || got.VersionUnknown != 2 || got.VersionOther != 0 {
		t.Errorf("reading %+v, %v", got, err)
	}
}

// What is wrong with rows is told by key, all at once, and nothing is stored.
func TestBadRowsAreToldByKey(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 2)
	r.onApp(t, `insert into app."Shops" ("shop domain", access_token) values
		('evil.example.com', 'planted-1'), (null, 'planted-2'), ('three', 'planted 3'), ('four', 'planted-'||chr(8203)),
		('shop-0', 'planted-5'), ('six', ''), ('seven', null), ('eight', 'null'), ('none.of.ours', null)`)
	refused := errors.New("refused")
	var reading store.BoundReading
	_, err := r.ImportBound(t.Context(), storetest.Actor, r.app, r.binding, 0, func(got store.BoundReading) error {
		reading = got
		return refused
	})
	if !errors.Is(err, refused) {
		t.Fatal(err)
	}
	var told []string
	for _, p := range reading.Problems {
		told = append(told, p.String())
	}
	text := strings.Join(told, "\n")
	for _, want := range []string{
		"row 3: shop domain: ", "row 4: shop domain: ", "row 5: access_token: has white space", "row 6: access_token: has a character outside ASCII",
		"row 7: shop-0.myharavan.com: is named more than once: rows 1, 7", "row 10: access_token: is another program's word", "row 11: shop domain: ",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not told: %s", want)
		}
	}
	if reading.Bad != 6 || reading.Duplicates != 1 || reading.WithoutToken != 2 || reading.Rows != 3 || strings.Contains(text, "planted") {
		t.Errorf("reading %+v\n%s", reading, text)
	}
	if n := ask[int64](t, r.DB, "select count(*) from rotator.shops"); n[0] != 0 {
		t.Errorf("%d shops were stored", n[0])
	}
	// The engine cannot ask: it leaves them out, keeps the first of two, and counts.
	if got := r.read(t); got.Added != 2 {
		t.Errorf("reading %+v", got)
	}
	b, err := r.Binding(t.Context(), r.app.ID)
	if err != nil || b.LeftOut != 7 || b.ReadAt == nil {
		t.Errorf("binding %+v, %v", b, err)
	}
	if got := r.token(t, domain(0)); got != "token-0" {
		t.Errorf("of two rows %s counts", got)
	}
}

// A row that is named by nothing could be read and never be written.
func TestARowWithAnEmptyKeyIsBad(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 3)
	r.onApp(t, `alter table app."Shops" alter id drop identity;
		alter table app."Shops" alter id type text using case when id > 1 then 'k' || id else '' end`)
	reading := r.read(t)
	if reading.Added != 2 || reading.Bad != 1 || reading.Unlisted != 0 {
		t.Errorf("reading %+v", reading)
	}
	if p := reading.Problems[0].String(); p != "row '': shop-0.myharavan.com: id: is empty: a row is found by it" {
		t.Errorf("told %q", p)
	}
}

// A row whose token went bad keeps its shop, untouched.
func TestATokenThatWentBadIsNotTakenOver(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 1)
	r.read(t)
	r.onApp(t, `update app."Shops" set access_token = 'not a token'`)
	if got := r.read(t); got.Bad != 1 || got.Left != 0 {
		t.Errorf("reading %+v", got)
	}
	if s := r.shop(t, domain(0)); s.ExcludedReason != "" || r.token(t, domain(0)) != "token-0" {
		t.Errorf("shop %+v", s)
	}
	if key := ask[*string](t, r.DB, "select bound_key from rotator.shops")[0]; key == nil || *key != "1" {
		t.Error("it lost its row")
	}
}

func TestRowsThatMoved(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 4)
	r.read(t)
	// Two change places, one is another shop now, one comes and goes.
	r.onApp(t, `update app."Shops" set "shop domain" = case id when 1 then 'shop-1' when 2 then 'shop-0' when 3 then 'new-name' end,
		access_token = case id when 1 then 'token-1' when 2 then 'token-0' else access_token end where id < 4`)
	got := r.read(t)
	if got.Moved != 2 || got.Renamed != 3 || got.Left != 1 || got.Added != 1 || got.Updated != 0 {
		t.Errorf("reading %+v", got)
	}
	text := strings.Join(got.Changes, "\n")
	for _, want := range []string{
		"shop shop-1.myharavan.com moved from row 2 to row 1", "shop shop-0.myharavan.com moved from row 1 to row 2",
		"row 3 was shop shop-2.myharavan.com and is shop new-name.myharavan.com now", "shop shop-2.myharavan.com has no row with a token any more",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("not told: %s\n%s", want, text)
		}
	}
	keys := ask[string](t, r.DB, "select domain || '=' || coalesce(bound_key, '-') || ' ' || coalesce(excluded_reason, '') from rotator.shops order by domain")
	want := []string{"new-name.myharavan.com=3 ", "shop-0.myharavan.com=2 ", "shop-1.myharavan.com=1 ", "shop-2.myharavan.com=- its row left the bound table app.Shops", "shop-3.myharavan.com=4 "}
	if !slices.Equal(keys, want) {
		t.Errorf("shops\n%s\nwant\n%s", strings.Join(keys, "\n"), strings.Join(want, "\n"))
	}
	// An operator's own exclusion is not ours to take back.
	if err := r.Exclude(t.Context(), storetest.Actor, r.app.ID, domain(3), "a test shop"); err != nil {
		t.Fatal(err)
	}
	r.onApp(t, `update app."Shops" set uninstalled = true where id = 4`)
	r.read(t)
	r.onApp(t, `update app."Shops" set uninstalled = false where id = 4`)
	if got := r.read(t); got.Back != 1 {
		t.Errorf("reading %+v", got)
	}
	if s := r.shop(t, domain(3)); s.ExcludedReason != "a test shop" {
		t.Errorf("shop %+v", s)
	}
}

// Rows that appear, vanish and change during a run are found by the sweep.
func TestTheSweepFindsWhatTheAppDid(t *testing.T) {
	t.Parallel()
	r, claims := claimBound(t, 4)
	r.prove(t, claimOf(t, claims, 0), claimOf(t, claims, 1))
	r.write(t, store.Written, store.Outcome{Claim: claimOf(t, claims, 2), State: rotation.ItemUnknown, Class: rotation.ClassNetwork, Detail: "lost", Delay: 1})
	r.write(t, store.Written, store.Outcome{Claim: claimOf(t, claims, 3), State: rotation.ItemParked, Class: rotation.ClassPlatform, Detail: "gave up"})
	r.onApp(t, `insert into app."Shops" ("shop domain", access_token) values ('late', 'late-token')`)
	r.onApp(t, `update app."Shops" set access_token = 'installed' where id = 1`)
	r.onApp(t, `delete from app."Shops" where id in (3, 4)`)
	if got := r.read(t); got.Added != 1 || got.Updated != 1 || got.Left != 2 {
		t.Errorf("reading %+v", got)
	}
	// The third was under way, maybe with a token minted: nobody needs it now.
	for _, shop := range []int{2, 3} {
		if i := r.item(t, domain(shop)); i.State != rotation.ItemSkipped || i.NextAttemptAt != nil || !strings.Contains(i.Detail, "left the bound table") {
			t.Errorf("item %+v", i)
		}
	}
	snap := r.snapshot(t, store.Counted)
	if snap.LateInstalls != 1 || snap.OldVersionShops != 1 {
		t.Errorf("%d late, %d of the old secret", snap.LateInstalls, snap.OldVersionShops)
	}
	r.sweep(t)
	if i := r.item(t, "late.myharavan.com"); i.State != rotation.ItemPending {
		t.Errorf("item %+v", i)
	}
	if i := r.item(t, domain(0)); i.State != rotation.ItemUnknown || i.NextAttemptAt == nil {
		t.Errorf("item %+v", i)
	}
	if got := r.token(t, domain(0)); got != "installed" {
		t.Errorf("%s is stored", got)
	}
	c := r.claimDue(t, domain(0))
	r.prove(t, c)
	if got := r.column(t, 0, "access_token"); got != fresh(c).Reveal() {
		t.Errorf("the app has %s", got)
	}
}

// A list read while a swap commits must not bring the replaced token back.
func TestAReadingDoesNotBringReplacedTokensBack(t *testing.T) {
	t.Parallel()
	r, claims := claimBound(t, 3)
	r.prove(t, claims...)
	// The app restores a backup of one row, and another is locked meanwhile.
	r.onApp(t, `update app."Shops" set access_token = 'token-' || (id - 1) where id < 3`)
	holder, err := r.admin.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(t.Context()) }()
	if _, err := holder.Exec(t.Context(), `select 1 from app."Shops" where id = 2 for update`); err != nil {
		t.Fatal(err)
	}
	if got := r.read(t); got.Stale != 2 || got.Restored != 1 || got.Behind != 1 || got.Updated != 0 {
		t.Errorf("reading %+v", got)
	}
	for i := range 3 {
		if got := r.token(t, domain(i)); got != fresh(claimOf(t, claims, i)).Reveal() {
			t.Errorf("shop %d: %s is stored", i, got)
		}
	}
	if got := r.column(t, 0, "access_token"); got != fresh(claimOf(t, claims, 0)).Reveal() {
		t.Errorf("the app has %s", got)
	}
	if b, err := r.Binding(t.Context(), r.app.ID); err != nil || b.Behind != 1 {
		t.Errorf("binding %+v, %v", b, err)
	}
}

func TestAReadingOfATableThatIsNotThere(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 1)
	r.onApp(t, `drop table app."Shops"`)
	_, err := r.sync(t)
	var fault *store.BoundFault
	if !errors.As(err, &fault) || fault.Busy {
		t.Errorf("error %v", err)
	}
	if err := r.Unbind(t.Context(), storetest.Actor, r.app); err != nil {
		t.Fatal(err)
	}
	if _, err := r.sync(t); !errors.Is(err, store.ErrNotBound) {
		t.Errorf("error %v", err)
	}
}

// Of two workers that were told to read, one does.
func TestATableIsReadOnce(t *testing.T) {
	t.Parallel()
	r := newBoundRig(t, 50)
	var done, late atomic.Int64
	var readers sync.WaitGroup
	for range 4 {
		readers.Go(func() {
			switch _, err := r.SyncBound(t.Context(), r.app, time.Time{}); {
			case err == nil:
				done.Add(1)
			case errors.Is(err, store.ErrConflict):
				late.Add(1)
			default:
				t.Error(err)
			}
		})
	}
	readers.Wait()
	if done.Load() != 1 || late.Load() != 3 {
		t.Errorf("%d readings, %d conflicts", done.Load(), late.Load())
	}
}

// Any type of key, in the order of its own.
func TestKeysOfAnyType(t *testing.T) {
	t.Parallel()
	for kind, values := range map[string][2]string{
		"uuid":              {"gen_random_uuid()", "gen_random_uuid()"},
		"varchar(20)":       {"'a'", "'b''c'"},
		"char(5)":           {"'a'", "'bb'"},
		"numeric":           {"1.50", "1e30"},
		"timestamptz":       {"'2024-01-01 00:00:00.123456+07'", "now()"},
		"inet":              {"'10.0.0.1'", "'::1'"},
		"bytea":             {`'\x00ff'`, `'abc'`},
		`app."Odd ""Type"`:  {"'x'", "'y z'"},
		"double precision":  {"0.1", "1e-300"},
		`app."Some Domain"`: {"1", "2"},
	} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			r := newBoundRig(t, 0, func(b *store.Binding) { b.Key = `the "key"`; b.Domain = "shop domain" })
			r.onApp(t, `create type app."Odd ""Type" as enum ('x', 'y z'); create domain app."Some Domain" as bigint`)
			r.onApp(t, fmt.Sprintf(`alter table app."Shops" add "the ""key" %s unique`, kind))
			r.onApp(t, fmt.Sprintf(`grant select ("the ""key") on app."Shops" to %s`, r.role))
			for i, v := range values {
				r.onApp(t, fmt.Sprintf(`insert into app."Shops" ("shop domain", access_token, "the ""key") values ('shop-%d.myharavan.com', 'token-%d', %s)`, i, i, v))
			}
			r.binding.Key = `the "key`
			r.bind(t)
			if got := r.read(t); got.Added != 2 {
				t.Fatalf("reading %+v", got)
			}
			r.begin(t, 2)
			claims := r.claimOpen(t)
			r.prove(t, claims...)
			for i := range 2 {
				if got := r.column(t, i, "access_token"); got != fresh(claimOf(t, claims, i)).Reveal() {
					t.Errorf("the app has %s", got)
				}
			}
		})
	}
}
