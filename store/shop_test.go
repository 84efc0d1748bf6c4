package store_test

import (
	"errors"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestShopsAreListedInPages(t *testing.T) {
	t.Parallel()
	r := newRig(t, 10)
	var domains []string
	after := int64(0)
	for {
		page, err := r.Shops(t.Context(), r.app.ID, after, 4)
		if err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		for _, s := range page {
			domains = append(domains, s.Domain)
			after = s.ID
		}
	}
	var want []string
	for d := range storetest.Fleet(10) {
		want = append(want, d)
	}
	if diff := cmp.Diff(want, domains); diff != "" {
		t.Errorf("shops (-want +got):\n%s", diff)
	}
	if _, err := r.Shop(t.Context(), r.app.ID, "nobody.myharavan.com"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a shop that is not stored: %v", err)
	}
}

func TestExcludeAndTakeInAgain(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	const domain = "shop-0.myharavan.com"
	for _, reason := range []string{"asked us to wait", ""} {
		if err := r.Exclude(t.Context(), storetest.Actor, r.app.ID, domain, reason); err != nil {
			t.Fatal(err)
		}
		if got := r.shop(t, domain).ExcludedReason; got != reason {
			t.Errorf("excluded for %q, want %q", got, reason)
		}
	}
	if err := r.Exclude(t.Context(), storetest.Actor, r.app.ID, "nobody.myharavan.com", "x"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a shop that is not stored: %v", err)
	}
}

func TestASampleIsStableAndOfLiveShops(t *testing.T) {
	t.Parallel()
	i := newImporter(t)
	i.Import(t, i.app, storetest.Fleet(40))
	excluded := row(2, "out.myharavan.com", "token-out")
	excluded.ExcludedReason = "asked us to wait"
	i.load(t, store.ImportResult{Rows: 2, Added: 2}, i.first, excluded, shopfile.Row{Line: 3, Domain: "tokenless.myharavan.com", ExcludedReason: "x"})
	names := func(n int) []string {
		tokens, err := i.Sample(t.Context(), i.app.ID, n)
		if err != nil {
			t.Fatal(err)
		}
		var out []string
		for _, s := range tokens {
			out = append(out, s.Domain+" "+s.Access.Reveal())
		}
		return out
	}
	if all := names(100); len(all) != 40 {
		t.Errorf("a sample of everything has %d shops", len(all))
	}
	if diff := cmp.Diff(names(7), names(7)); diff != "" {
		t.Errorf("two samples differ:\n%s", diff)
	}
}
