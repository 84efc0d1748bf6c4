package store_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func row(line int, domain, token string) shopfile.Row {
	return shopfile.Row{Line: line, Domain: domain, AccessToken: secret.New(token)}
}

func list(rows ...shopfile.Row) iter.Seq2[shopfile.Row, error] {
	return func(yield func(shopfile.Row, error) bool) {
		for _, r := range rows {
			if !yield(r, nil) {
				return
			}
		}
	}
}

func keepFirst(store.Findings) error { return nil }

// importer is a database with an app that has two secrets.
type importer struct {
	*storetest.DB
	app         store.App
	first, next int64
}

func newImporter(t *testing.T) *importer {
	t.Helper()
	i := &importer{DB: storetest.New(t)}
	i.app = i.App(t, "shopbot", oldSecret, newSecret)
	secrets, err := i.Secrets(t.Context(), i.app.ID)
	if err != nil {
		t.Fatal(err)
	}
	i.first, i.next = secrets[0].ID, secrets[1].ID
	return i
}

func (i *importer) load(t *testing.T, want store.ImportResult, secretID int64, rows ...shopfile.Row) {
	t.Helper()
	got, err := i.ImportShops(t.Context(), storetest.Actor, i.app, secretID, list(rows...), keepFirst)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
}

func (i *importer) shop(t *testing.T, domain string) store.Shop {
	t.Helper()
	s, err := i.Shop(t.Context(), i.app.ID, domain)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestImportAgainChangesNothing(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	rows := []shopfile.Row{row(2, "a.myharavan.com", "token-a"), row(3, "b.myharavan.com", "token-b")}
	i.load(t, store.ImportResult{Rows: 2, Added: 2}, i.first, rows...)
	dump := func() []string { return ask[string](t, i.DB, "select t::text from rotator.shops t order by id") }
	before := dump()
	i.load(t, store.ImportResult{Rows: 2, Unchanged: 2}, i.first, rows...)
	if diff := cmp.Diff(before, dump()); diff != "" {
		t.Errorf("the second import changed (-before +after):\n%s", diff)
	}
}

func TestImportOfAnotherTokenRaisesTheGeneration(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	i.load(t, store.ImportResult{Rows: 1, Added: 1}, i.first, row(2, "a.myharavan.com", "token-a"))
	first := i.shop(t, "a.myharavan.com")
	i.load(t, store.ImportResult{Rows: 1, Updated: 1}, i.next, row(2, "a.myharavan.com", "token-b"))
	second := i.shop(t, "a.myharavan.com")
	if second.Generation != first.Generation+1 || second.SecretVersion != 2 || second.Fingerprint == first.Fingerprint || second.ID != first.ID {
		t.Errorf("from %+v\nto   %+v", first, second)
	}
	if v, err := i.ShopToken(t.Context(), i.app.ID, "a.myharavan.com"); err != nil || v.Reveal() != "token-b" {
		t.Errorf("the stored token is not the new one (%v)", err)
	}
}

// A version is stored with a token; what is known of a stored one stays.
func TestAVersionIsNotGivenToAStoredToken(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	const a, b, c = "a.myharavan.com", "b.myharavan.com", "c.myharavan.com"
	i.load(t, store.ImportResult{Rows: 1, Added: 1}, 0, row(2, a, "token-a"))
	i.load(t, store.ImportResult{Rows: 1, Added: 1}, i.next, row(2, b, "token-b"))
	all := []shopfile.Row{row(2, a, "token-a"), row(3, b, "token-b"), row(4, c, "token-c")}
	i.load(t, store.ImportResult{Rows: 3, Added: 1, Unchanged: 2, VersionUnknown: 1, VersionOther: 1}, i.first, all...)
	i.load(t, store.ImportResult{Rows: 3, Unchanged: 3}, 0, all...)
	for domain, want := range map[string]int{a: 0, b: 2, c: 1} {
		if got := i.shop(t, domain); got.SecretVersion != want {
			t.Errorf("%s has version %d, want %d", domain, got.SecretVersion, want)
		}
	}
	i.load(t, store.ImportResult{Rows: 2, Updated: 1, Unchanged: 1}, i.first, row(2, a, "token-new"), row(3, c, "token-c"))
	// Of a token that the list does not repeat nothing is said.
	i.load(t, store.ImportResult{Rows: 1, Unchanged: 1}, i.first, shopfile.Row{Line: 2, Domain: b})
}

func TestImportKeepsWhatTheListLeavesEmpty(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	installed := time.Date(2024, 5, 6, 7, 8, 9, 0, time.UTC)
	full := shopfile.Row{
		Line: 2, Domain: "a.myharavan.com", OrgID: 200000123456, AccessToken: secret.New("token-a"),
		LegacyToken: secret.New("legacy-a"), InstalledAt: installed, ExcludedReason: "asked us to wait",
	}
	i.load(t, store.ImportResult{Rows: 1, Added: 1}, i.first, full)
	before := i.shop(t, "a.myharavan.com")
	i.load(t, store.ImportResult{Rows: 1, Unchanged: 1}, i.first, shopfile.Row{Line: 2, Domain: "a.myharavan.com"})
	if diff := cmp.Diff(before, i.shop(t, "a.myharavan.com")); diff != "" {
		t.Errorf("an empty row changed the shop (-before +after):\n%s", diff)
	}
	if before.OrgID != 200000123456 || before.LegacyKind != "token" || before.ExcludedReason != "asked us to wait" || !before.InstalledAt.Equal(installed) {
		t.Errorf("stored %+v", before)
	}
	// Each column that differs is an update of its own, and none of the token.
	for n, change := range []shopfile.Row{
		{OrgID: 200000999999}, {LegacyPassword: secret.New("password-a")}, {InstalledAt: installed.Add(time.Hour)}, {ExcludedReason: "closed"},
	} {
		change.Line, change.Domain = 2, "a.myharavan.com"
		i.load(t, store.ImportResult{Rows: 1, Updated: 1}, i.first, change)
		if got := i.shop(t, "a.myharavan.com"); got.Generation != before.Generation || got.Fingerprint != before.Fingerprint {
			t.Errorf("change %d touched the token: %+v", n, got)
		}
	}
	if got := i.shop(t, "a.myharavan.com"); got.LegacyKind != "password" || got.OrgID != 200000999999 || got.ExcludedReason != "closed" {
		t.Errorf("the changes are not stored: %+v", got)
	}
}

func TestImportedPriorities(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	ranked := func(line int, domain string, priority int) shopfile.Row {
		r := row(line, domain, "token-"+domain)
		r.Priority = &priority
		return r
	}
	wants := func(domain string, want int) {
		t.Helper()
		if got := i.shop(t, domain); got.Priority != want || got.Generation != 1 {
			t.Errorf("%s has priority %d and generation %d, want %d and 1", domain, got.Priority, got.Generation, want)
		}
	}
	const a, b = "a.myharavan.com", "b.myharavan.com"
	list := []shopfile.Row{ranked(2, a, 10), row(3, b, "token-"+b)}
	i.load(t, store.ImportResult{Rows: 2, Added: 2}, i.first, list...)
	wants(a, 10)
	wants(b, 0)
	i.load(t, store.ImportResult{Rows: 2, Unchanged: 2}, i.first, list...)
	// A list without the column keeps what is stored; one with it changes that alone.
	i.load(t, store.ImportResult{Rows: 1, Unchanged: 1}, i.first, row(2, a, "token-"+a))
	wants(a, 10)
	i.load(t, store.ImportResult{Rows: 2, Updated: 2}, i.first, ranked(2, a, 0), ranked(3, b, -5))
	wants(a, 0)
	wants(b, -5)
	// Of a shop named twice the first line counts, for its priority too.
	i.load(t, store.ImportResult{Rows: 2, Updated: 1, Duplicates: 1}, i.first, ranked(2, b, 7), ranked(3, b, 9))
	wants(b, 7)
}

func TestOfADuplicateTheFirstLineCounts(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	var told []store.Duplicate
	rows := func(yield func(shopfile.Row, error) bool) {
		// Twice in one chunk, and once more far behind, in another.
		if !yield(row(2, "twice.myharavan.com", "first"), nil) || !yield(row(3, "twice.myharavan.com", "second"), nil) {
			return
		}
		for n := range 4000 {
			if !yield(row(4+n, fmt.Sprintf("s%d.myharavan.com", n), fmt.Sprintf("t%d", n)), nil) {
				return
			}
		}
		_ = yield(row(5000, "twice.myharavan.com", "third"), nil) && yield(row(5001, "s0.myharavan.com", "again"), nil)
	}
	got, err := i.ImportShops(t.Context(), storetest.Actor, i.app, i.first, rows, func(f store.Findings) error { told = f.Duplicates; return nil })
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(store.ImportResult{Rows: 4004, Added: 4001, Duplicates: 3}, got); diff != "" {
		t.Errorf("result (-want +got):\n%s", diff)
	}
	want := []store.Duplicate{{Domain: "twice.myharavan.com", Lines: []int{2, 3, 5000}}, {Domain: "s0.myharavan.com", Lines: []int{4, 5001}}}
	if diff := cmp.Diff(want, told); diff != "" {
		t.Errorf("duplicates (-want +got):\n%s", diff)
	}
	for domain, token := range map[string]string{"twice.myharavan.com": "first", "s0.myharavan.com": "t0"} {
		if v, err := i.ShopToken(t.Context(), i.app.ID, domain); err != nil || v.Reveal() != token {
			t.Errorf("the token of %s is not that of its first line (%v)", domain, err)
		}
	}
}

func TestNothingIsStoredWhenAnImportFails(t *testing.T) {
	t.Parallel()
	errNo := errors.New("no")
	good := row(2, "a.myharavan.com", "planted-token-a")
	tests := map[string]struct {
		rows   iter.Seq2[shopfile.Row, error]
		decide func(store.Findings) error
	}{
		"duplicates are refused": {list(good, row(3, "a.myharavan.com", "b")), func(f store.Findings) error {
			if !f.None() {
				return errNo
			}
			return nil
		}},
		"decided against": {list(good), func(store.Findings) error { return errNo }},
		"a bad row": {func(yield func(shopfile.Row, error) bool) {
			for n := range 2500 { // the first chunk is copied by then
				if !yield(row(n+2, fmt.Sprintf("s%d.myharavan.com", n), "t"), nil) {
					return
				}
			}
			yield(shopfile.Row{}, errNo)
		}, keepFirst},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			i := newImporter(t)
			before := ask[string](t, i.DB, "select event from rotator.journal order by seq")
			_, err := i.ImportShops(t.Context(), storetest.Actor, i.app, i.first, tt.rows, tt.decide)
			if !errors.Is(err, errNo) {
				t.Fatalf("error %v, want the one given", err)
			}
			if n, err := i.CountShops(t.Context(), i.app.ID); err != nil || n != 0 {
				t.Errorf("%d shops are stored (%v)", n, err)
			}
			if diff := cmp.Diff(before, ask[string](t, i.DB, "select event from rotator.journal order by seq")); diff != "" {
				t.Errorf("the journal tells of it:\n%s", diff)
			}
		})
	}
}

func TestImportsAtOnceWaitForEachOther(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	var all sync.WaitGroup
	results := make([]store.ImportResult, 4)
	for n := range results {
		all.Go(func() {
			var rows []shopfile.Row
			for s := range 500 {
				rows = append(rows, row(s+2, fmt.Sprintf("s%d.myharavan.com", s), fmt.Sprintf("t%d of list %d", s, n)))
			}
			var err error
			if results[n], err = i.ImportShops(context.Background(), storetest.Actor, i.app, i.first, list(rows...), keepFirst); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	added, updated := 0, 0
	for _, r := range results {
		added, updated = added+r.Added, updated+r.Updated
	}
	if added != 500 || updated != 1500 {
		t.Errorf("added %d, updated %d", added, updated)
	}
	// Every token must open under its shop's id, and all come of one list.
	tokens, err := i.Sample(t.Context(), i.app.ID, 1000)
	if err != nil || len(tokens) != 500 {
		t.Fatalf("%d tokens open (%v)", len(tokens), err)
	}
	_, last, _ := strings.Cut(tokens[0].Access.Reveal(), " of ")
	for _, token := range tokens {
		if !strings.HasSuffix(token.Access.Reveal(), last) {
			t.Fatalf("the token of %s is of another list than the last", token.Domain)
		}
	}
}

// Not parallel: it watches the whole process's heap.
func TestImportNeedsNoMemoryThatGrowsWithTheList(t *testing.T) {
	i := newImporter(t)
	const total, every = 100_000, 10_000
	var heap []uint64
	rows := func(yield func(shopfile.Row, error) bool) {
		for n := range total {
			if n%every == 0 {
				runtime.GC()
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				heap = append(heap, m.HeapAlloc)
			}
			if !yield(row(n+2, fmt.Sprintf("s%d.myharavan.com", n), "token-"+strings.Repeat("x", 40)+fmt.Sprint(n)), nil) {
				return
			}
		}
	}
	got, err := i.ImportShops(t.Context(), storetest.Actor, i.app, i.first, rows, keepFirst)
	if err != nil {
		t.Fatal(err)
	}
	if got.Added != total {
		t.Errorf("added %d", got.Added)
	}
	// 80,000 rows more, of over 100 bytes each, would be 8 MiB.
	const slack = 4 << 20
	if grown := int64(heap[len(heap)-1]) - int64(heap[1]); grown > slack {
		t.Errorf("the heap grew by %d bytes over %d rows: %v", grown, total-2*every, heap)
	}
}
