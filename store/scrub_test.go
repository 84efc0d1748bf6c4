package store_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestScrubEmptiesWhatIsSettledAndNothingElse(t *testing.T) {
	t.Parallel()
	r := newMigration(t, append(legacyFleet(12), shopfile.Row{Domain: "out.myharavan.com", LegacyToken: secret.New("x"), ExcludedReason: "closed"})...)
	r.deriveAll(t)
	none := func(int64, int64) {}
	if err := r.ScrubLegacy(t.Context(), r.run, none); !errors.Is(err, store.ErrConflict) {
		t.Fatalf("scrubbed before the cutover: %v", err)
	}
	r.enter(t, rotation.PhaseCutover)
	grants := r.release(t, 1)
	claims := r.claim(t, r.take(t, grants[0]))
	r.proveDerived(t, store.Written, claims[1:]...)
	r.importLegacy(t, legacyRow("late.myharavan.com", "late"))
	var told []int64
	if err := r.ScrubLegacy(t.Context(), r.reread(t), func(done, total int64) { told = append(told, done, total) }); err != nil {
		t.Fatal(err)
	}
	left := ask[string](t, r.DB, "select domain from rotator.shops where legacy_token is not null order by domain collate \"C\"")
	if diff := cmp.Diff([]string{"late.myharavan.com", claims[0].Domain, "legacy-10.myharavan.com", "legacy-11.myharavan.com"}, left); diff != "" {
		t.Errorf("left (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff([]int64{13, 13}, told); diff != "" {
		t.Errorf("progress: %v", told)
	}
	if s := r.snapshot(t, store.Counted); s.Migration.LegacyLeft != 3 || s.LateInstalls != 1 {
		t.Errorf("snapshot: %+v, %d late", s.Migration, s.LateInstalls)
	}
	before := rows(t, r.DB, "shops")
	if err := r.ScrubLegacy(t.Context(), r.run, none); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(before, rows(t, r.DB, "shops")); diff != "" {
		t.Errorf("scrubbing again changed something:\n%s", diff)
	}
}

// Shops that were excluded before the walk have nothing but what the scrub
// removes: they are counted before it and after it, unless they are taken in.
func TestShopsThatLoseTheirOnlyCredentialAreCounted(t *testing.T) {
	t.Parallel()
	excluded := func(domain string) shopfile.Row {
		return shopfile.Row{Domain: domain, LegacyToken: secret.New("x-" + domain), ExcludedReason: "closed"}
	}
	both, none := excluded("both.myharavan.com"), excluded("none.myharavan.com")
	both.AccessToken, none.LegacyToken = secret.New("a"), secret.String{}
	r := newMigration(t, append(legacyFleet(2), excluded("out-1.myharavan.com"), excluded("out-2.myharavan.com"), excluded("back.myharavan.com"), both, none)...)
	r.deriveAll(t)
	r.enter(t, rotation.PhaseCutover)
	counted := func(left, only int) {
		t.Helper()
		m := r.snapshot(t, store.Counted).Migration
		if m.LegacyLeft != left || m.LegacyOnly != only || !m.Counted {
			t.Errorf("%d shops have a legacy credential, %d no other (counted %t), want %d and %d", m.LegacyLeft, m.LegacyOnly, m.Counted, left, only)
		}
	}
	counted(6, 3)
	if m := r.snapshot(t, store.Engine).Migration; m.Counted {
		t.Errorf("a snapshot for the engine claims to have counted: %+v", m)
	}
	if err := r.Exclude(t.Context(), storetest.Actor, r.app.ID, "back.myharavan.com", ""); err != nil {
		t.Fatal(err)
	}
	counted(5, 2)
	r.proveDerived(t, store.Written, r.claim(t, r.take(t, r.release(t, 1)[0]))...)
	scrub := func() {
		t.Helper()
		if err := r.ScrubLegacy(t.Context(), r.reread(t), func(int64, int64) {}); err != nil {
			t.Fatal(err)
		}
	}
	scrub()
	counted(0, 2)
	for domain, want := range map[string]string{
		"out-1.myharavan.com": "excluded: closed; its legacy credential, the only one, was removed",
		"both.myharavan.com":  "excluded: closed", "none.myharavan.com": "excluded: closed",
	} {
		if i := r.item(t, domain); i.State != rotation.ItemSkipped || i.Detail != want {
			t.Errorf("%s: %+v", domain, i)
		}
	}
	if s := r.snapshot(t, store.Counted); s.LateInstalls != 1 {
		t.Errorf("%d shops are to be taken in, want the one that is excluded no more", s.LateInstalls)
	}
	r.importLegacy(t, excluded("out-1.myharavan.com"))
	counted(1, 2)
	scrub()
	if i := r.item(t, "out-1.myharavan.com"); strings.Count(i.Detail, "removed") != 1 {
		t.Errorf("said twice: %+v", i)
	}
	r.sweep(t)
	if s := r.snapshot(t, store.Counted); s.Counts.Open() != 1 || s.LateInstalls != 0 {
		t.Errorf("taken in again: %+v, %d late", s.Counts, s.LateInstalls)
	}
	counted(1, 2) // and keeps its legacy credential until it is derived
}
