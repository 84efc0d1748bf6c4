package store_test

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// covered fails unless waves tile positions 1..n, batches tile every wave, and
// every position has one item.
func covered(t *testing.T, r *rig, n int64) {
	t.Helper()
	if got := ask[int64](t, r.DB, "select position from rotator.items where run_id = $1 order by position", r.run.ID); int64(len(got)) != n || (n > 0 && (got[0] != 1 || got[n-1] != n)) {
		t.Errorf("%d items of %d, %v", len(got), n, got)
	}
	type span struct{ Number, Wave, First, Last int64 }
	spans := func(query string) (out []span) {
		for _, text := range ask[string](t, r.DB, query, r.run.ID) {
			var s span
			if _, err := fmt.Sscan(text, &s.Number, &s.Wave, &s.First, &s.Last); err != nil {
				t.Fatal(err)
			}
			out = append(out, s)
		}
		return out
	}
	waves := spans("select concat_ws(' ', number, number, first_position, last_position) from rotator.waves where run_id = $1 order by number")
	batches := spans("select concat_ws(' ', number, wave, first_position, last_position) from rotator.batches where run_id = $1 order by number")
	next := int64(1)
	for i, w := range waves {
		if w.Number != int64(i+1) || w.First != next {
			t.Errorf("wave %+v does not follow position %d", w, next-1)
		}
		next = w.Last + 1
	}
	if next != n+1 {
		t.Errorf("the waves end at %d of %d", next-1, n)
	}
	next = 1
	for i, b := range batches {
		if b.Number != int64(i+1) || b.First != next || b.Last < b.First || b.Last-b.First+1 > r.run.Settings.BatchSize {
			t.Errorf("batch %+v does not follow position %d", b, next-1)
		}
		if w := waves[b.Wave-1]; b.First < w.First || b.Last > w.Last {
			t.Errorf("batch %+v is not inside wave %+v", b, w)
		}
		next = b.Last + 1
	}
	if next != n+1 {
		t.Errorf("the batches end at %d of %d", next-1, n)
	}
}

func TestTheWalkTakesEveryShopOnceInWavesAndBatches(t *testing.T) {
	t.Parallel()
	policies := map[string]rotation.WavePolicy{
		"one wave": {}, "canary": {Canary: 3}, "default": rotation.DefaultWavePolicy, "shares": {Canary: 2, Shares: []float64{0.1, 0.3}},
	}
	db := storetest.New(t)
	for name, p := range policies {
		for _, n := range []int{0, 1, 7, 8, 50} {
			t.Run(fmt.Sprint(name, " ", n), func(t *testing.T) {
				app := strings.ReplaceAll(fmt.Sprint(name, "-", n), " ", "-")
				r := newRigIn(t, db, app, n, store.RunSettings{BatchSize: 4, Waves: p})
				if pages := r.walk(t); pages != (n+6)/7+1 {
					t.Errorf("%d pages of 7 for %d shops", pages, n)
				}
				covered(t, r, int64(n))
				if r.run.WalkDoneAt == nil || r.run.LastPosition != int64(n) {
					t.Errorf("the run stands at %d, done at %v", r.run.LastPosition, r.run.WalkDoneAt)
				}
				if done, err := r.WalkPage(t.Context(), r.run.ID, 7); err != nil || !done {
					t.Errorf("a walk after the walk: %t, %v", done, err)
				}
			})
		}
	}
}

func TestWalkersAtOnceGiveNoPositionTwice(t *testing.T) {
	t.Parallel()
	for name, settings := range map[string]store.RunSettings{"by id": oneWave, "by priority": byPriority} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRigWith(t, 120, settings)
			r.rank(t, 120, func(i int) int { return i % 5 })
			var all sync.WaitGroup
			for range 5 {
				all.Go(func() {
					for done := false; !done; {
						var err error
						if done, err = r.WalkPage(context.Background(), r.run.ID, 7); err != nil {
							t.Error(err)
							return
						}
					}
				})
			}
			all.Wait()
			r.reread(t)
			covered(t, r, 120)
		})
	}
}

func TestAWalkThatWasStoppedGoesOn(t *testing.T) {
	t.Parallel()
	r := newRig(t, 20)
	if done, err := r.WalkPage(t.Context(), r.run.ID, 7); err != nil || done {
		t.Fatal(done, err)
	}
	// A page whose transaction never commits leaves nothing.
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.WalkPage(ctx, r.run.ID, 7); err == nil {
		t.Fatal("a cancelled page succeeds")
	}
	if got := r.reread(t); got.LastPosition != 7 {
		t.Errorf("the walk stands at %d", got.LastPosition)
	}
	r.walk(t)
	covered(t, r, 20)
}

func TestShopsWithNothingToExchangeAreSkippedWithTheReason(t *testing.T) {
	t.Parallel()
	r := &rig{DB: storetest.New(t)}
	r.app = r.App(t, "shopbot", oldSecret, newSecret)
	r.run = r.Run(t, r.app, store.RunSettings{BatchSize: 10})
	load := func(secretID int64, rows ...shopfile.Row) {
		t.Helper()
		if _, err := r.ImportShops(t.Context(), storetest.Actor, r.app, secretID, list(rows...), keepFirst); err != nil {
			t.Fatal(err)
		}
	}
	excluded := row(3, "excluded.myharavan.com", "t2")
	excluded.ExcludedReason = "asked us to wait"
	load(r.run.OldSecretID, row(2, "old.myharavan.com", "t1"), excluded, shopfile.Row{Line: 4, Domain: "tokenless.myharavan.com", OrgID: 1})
	load(r.run.NewSecretID, row(2, "new.myharavan.com", "t3"))
	load(0, row(2, "unknown.myharavan.com", "t4"))
	r.walk(t)
	got := map[string]string{}
	items, err := r.Items(t.Context(), r.run.ID, rotation.ItemStates, 0, 100)
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range items {
		got[i.Domain] = string(i.State) + " " + i.Detail
	}
	want := map[string]string{
		"old.myharavan.com":       "pending ",
		"excluded.myharavan.com":  "skipped excluded: asked us to wait",
		"tokenless.myharavan.com": "skipped no access token is stored",
		"new.myharavan.com":       "pending ",
		"unknown.myharavan.com":   "pending ",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("items (-want +got):\n%s", diff)
	}
}

func TestTheWalkTakesNoShopsOfAnotherApp(t *testing.T) {
	t.Parallel()
	r := newRig(t, 3)
	other := r.App(t, "other", "hush-a", "hush-b")
	r.Import(t, other, storetest.Fleet(5))
	r.walk(t)
	covered(t, r, 3)
	if s := r.snapshot(t, store.Engine); s.LateInstalls != 0 || s.Counts.Total != 3 {
		t.Errorf("late %d, total %d", s.LateInstalls, s.Counts.Total)
	}
}
