package store_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestDispatchKeepsToItsRoom(t *testing.T) {
	t.Parallel()
	r, _ := owing(t, 10)
	if n := len(r.dispatch(t, 4)); n != 4 {
		t.Errorf("%d dispatched", n)
	}
	if n := len(r.dispatch(t, 6)); n != 2 {
		t.Errorf("%d dispatched beside 4 of 6", n)
	}
}

// Two supervisors that look at once do not give out the same room twice: the
// second waits for the first.
func TestDispatchersWaitForEachOther(t *testing.T) {
	t.Parallel()
	r, _ := owing(t, 10)
	second := make(chan int, 1)
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		first, err := tx.DispatchDeliveries(ctx, r.app.ID, 4, time.Minute)
		if err != nil || len(first) != 4 {
			t.Errorf("the first takes %d, %v", len(first), err)
		}
		go func() { second <- len(r.dispatch(t, 4)) }()
		for len(second) == 0 && ask[int](t, r.DB, waiting)[0] == 0 {
		}
		return nil
	})
	if n := <-second; n != 0 {
		t.Errorf("%d dispatched beside 4 of 4", n)
	}
}

func TestReceiverThatIsDown(t *testing.T) {
	t.Parallel()
	const n = store.DownAfter + 4
	r, _ := owing(t, n)
	fail := func(ds []store.Delivery, asked time.Duration) {
		var group []store.DeliveryOutcome
		for _, d := range ds {
			o := refused(d, time.Hour)
			o.Asked = asked
			group = append(group, o)
		}
		r.answer(t, group...)
	}
	isDown := func() bool {
		since, err := r.ReceiverDown(t.Context(), r.app.ID)
		if err != nil {
			t.Fatal(err)
		}
		return since != nil
	}
	ds := r.deliveries(t, store.DownAfter)
	fail(ds[:store.DownAfter-1], 0)
	if isDown() {
		t.Fatal("down too early")
	}
	fail(ds[store.DownAfter-1:], 0)
	if due, busy, err := r.Receivers(t.Context()); !isDown() || err != nil || due != nil || busy {
		t.Fatalf("down %v; due %v, busy %v, %v", isDown(), due, busy, err)
	}
	soon := func() { exec(t, r.DB, "update rotator.receivers set not_before = now()") }
	soon()
	probe := r.deliveries(t, 99)
	if len(probe) != 1 || len(r.dispatch(t, 99)) != 0 {
		t.Fatalf("%d are tried at once while the receiver is down", len(probe))
	}
	fail(probe, 5*time.Minute)
	left := ask[float64](t, r.DB, "select extract(epoch from not_before - now())::float8 from rotator.receivers")[0]
	if left < 290 || left > 300 {
		t.Errorf("it asked for five minutes, and is left alone for %f s", left)
	}
	soon()
	r.answer(t, acknowledged(r.deliveries(t, 99)[0]))
	if isDown() {
		t.Error("it answered, and is down")
	}
	if got := len(r.dispatch(t, 99)); got != 2 { // the others wait for an hour
		t.Errorf("%d are due when it is up again", got)
	}
	// Another URL: everything that failed is due, at once.
	r.app.Settings.DeliverURL = "https://app.example.com/elsewhere"
	if _, err := r.SetApp(t.Context(), storetest.Actor, r.app); err != nil {
		t.Fatal(err)
	}
	if got := len(r.dispatch(t, 99)); got != n-3 {
		t.Errorf("%d of %d are due at the new place", got, n-3)
	}
}

// A retry gives what failed another start. What the app answered so far, and since when
// it acknowledges nothing, is what whoever looks next has to know.
func TestRetryForgetsNoAnswer(t *testing.T) {
	t.Parallel()
	const n = store.DownAfter + 1
	r, claims := owing(t, n)
	var group []store.DeliveryOutcome
	for _, d := range r.deliveries(t, n) {
		group = append(group, refused(d, time.Hour))
	}
	group[n-1] = store.DeliveryOutcome{Delivery: group[n-1].Delivery, Stop: true, Status: 410, Problem: "the app answered 410 Gone"}
	r.answer(t, group[n-1])
	r.answer(t, group[:n-1]...)
	exec(t, r.DB, "update rotator.receivers set down_since = now() - interval '3 hours'")
	since := func() *time.Time {
		t.Helper()
		at, err := r.ReceiverDown(t.Context(), r.app.ID)
		if err != nil {
			t.Fatal(err)
		}
		return at
	}
	before := since()
	if done, err := r.RetryDeliveries(t.Context(), storetest.Actor, r.app, ""); err != nil || done != n {
		t.Fatalf("%d are due again, want %d, %v", done, n, err)
	}
	for i, status := range map[int]int{0: 500, n - 1: 410} {
		if d := r.delivery(t, claims[i].Domain); d.LastStatus != status || d.LastError == "" || d.State != store.DeliveryPending || d.Tries != 0 {
			t.Errorf("after the retry: %+v, want it pending, and its last answer %d", d, status)
		}
	}
	again := r.deliveries(t, n) // all at once: it does not count as down before it fails again
	if len(again) != n {
		t.Fatalf("%d of %d are tried at once after the retry", len(again), n)
	}
	if d := r.delivery(t, claims[0].Domain); d.State != store.DeliveryPending {
		t.Errorf("under way after the retry: %+v", d)
	}
	r.answer(t, refused(again[0], time.Hour))
	if d := r.delivery(t, again[0].Domain); d.State != store.DeliveryFailing {
		t.Errorf("tried in vain after the retry: %+v", d)
	}
	for _, d := range again[1:store.DownAfter] {
		r.answer(t, refused(d, time.Hour))
	}
	if at := since(); at == nil || before == nil || !at.Equal(*before) {
		t.Errorf("down since %v, and after a retry in vain since %v", before, at)
	}
	if _, err := r.RetryDeliveries(t.Context(), storetest.Actor, r.app, again[1].Domain); err != nil {
		t.Fatal(err)
	}
	r.answer(t, acknowledged(again[n-1]))
	if at := since(); at != nil {
		t.Errorf("it answered, and acknowledges nothing since %v", at)
	}
}

func TestUntold(t *testing.T) {
	t.Parallel()
	r, claims := owing(t, 6)
	untold := func() rotation.Untold {
		t.Helper()
		u, err := r.Untold(t.Context(), r.app.ID)
		if err != nil {
			t.Fatal(err)
		}
		return u
	}
	if diff := cmp.Diff(rotation.Untold{Shops: 6}, untold()); diff != "" {
		t.Error(diff)
	}
	d := r.deliveries(t, 4)
	r.answer(t, acknowledged(d[0]), refused(d[1], time.Hour), store.DeliveryOutcome{Delivery: d[2], Stop: true, Status: 410, Problem: "gone"}, refused(d[3], time.Hour))
	exec(t, r.DB, "update rotator.items set state = 'waived', detail = 'gone' where shop_id = $1", d[3].ShopID)
	since := ask[time.Time](t, r.DB, "update rotator.deliveries set swapped_at = now() - interval '1 hour' where shop_id = $1 returning swapped_at", d[2].ShopID)[0].UTC()
	if diff := cmp.Diff(rotation.Untold{Shops: 4, Failing: 2, FailingSince: since}, untold()); diff != "" {
		t.Error(diff)
	}
	// Of a run that is over, too.
	exec(t, r.DB, "update rotator.runs set cancelled_at = now()")
	exec(t, r.DB, "update rotator.deliveries set waived_generation = generation from rotator.shops s where s.id = shop_id and s.domain = $1", claims[1].Domain)
	down := ask[time.Time](t, r.DB, "update rotator.receivers set failures = 16, down_since = now() returning down_since")[0].UTC()
	if diff := cmp.Diff(rotation.Untold{Shops: 3, Failing: 1, FailingSince: since, DownSince: down}, untold()); diff != "" {
		t.Error(diff)
	}
	exec(t, r.DB, "update rotator.apps set settings = settings - 'deliver_url'")
	if diff := cmp.Diff(rotation.Untold{}, untold()); diff != "" {
		t.Errorf("an app that is told of nothing: %s", diff)
	}
}

// Answers come in any order, in one group or in the next: what a receiver that is
// down asked for stands until it is over, or the receiver is up again.
func TestReceiverThatIsDownIsObeyedToTheEndOfItsLongestPause(t *testing.T) {
	t.Parallel()
	const n = store.DownAfter + 4
	left := func(t *testing.T, r *rig) float64 {
		return ask[float64](t, r.DB, "select extract(epoch from not_before - now())::float8 from rotator.receivers")[0]
	}
	r, _ := owing(t, n)
	var group []store.DeliveryOutcome
	for _, d := range r.deliveries(t, n) {
		group = append(group, refused(d, time.Hour))
	}
	group[3].Asked = 5 * time.Minute
	r.answer(t, group[:n-2]...)
	if got := left(t, r); got < 290 || got > 300 {
		t.Errorf("one of the group asked for five minutes, and it is left alone for %f s", got)
	}
	r.answer(t, group[n-2])
	if got := left(t, r); got < 290 || got > 300 {
		t.Errorf("after a later answer that asks for nothing it is left alone for %f s", got)
	}
	r.answer(t, acknowledged(group[n-1].Delivery))
	if got := left(t, r); got > 0 {
		t.Errorf("it is up again, and left alone for %f s", got)
	}
}

func TestDeliveriesInTheSnapshot(t *testing.T) {
	t.Parallel()
	r, c := owing(t, 5)
	r.run.Settings.RequireDelivery = true
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.SaveSettings(ctx, storetest.Actor, r.run) })
	d := r.deliveries(t, 9)
	r.answer(t, acknowledged(d[0]), refused(d[1], time.Hour), refused(d[2], time.Hour), store.DeliveryOutcome{Delivery: d[3], Stop: true, Status: 410, Problem: "gone"})
	exec(t, r.DB, "update rotator.deliveries set swapped_at = now() - interval '1 hour' where shop_id = $1", d[4].ShopID)
	if err := r.waive(t, c[1].Domain); err != nil {
		t.Fatal(err)
	}
	if err := r.waive(t, c[0].Domain); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an acknowledged one was waived: %v", err)
	}
	if err := r.waive(t, c[1].Domain); !errors.Is(err, store.ErrConflict) {
		t.Errorf("waived twice: %v", err)
	}
	got := r.snapshot(t, store.Counted).Deliveries
	if got.Oldest.Round(time.Minute) != time.Hour {
		t.Errorf("oldest %s", got.Oldest)
	}
	got.Oldest = 0
	want := rotation.Deliveries{Required: true, Pending: 1, Failing: 2, Acknowledged: 1, Waived: 1}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Error(diff)
	}
	// Neither the acknowledged nor the waived one has to be loaded by hand.
	if n := r.snapshot(t, store.Counted).ToLoad; n != 0 {
		t.Errorf("%d are to be loaded while the run exchanges", n)
	}
	exec(t, r.DB, "update rotator.runs set phase = 'proven' where id = $1", r.run.ID)
	if n := r.snapshot(t, store.Counted).ToLoad; n != 3 {
		t.Errorf("%d are to be loaded, want 3", n)
	}
	r.replace(t, c[2].Domain, "imported", 0) // by the app, which has it
	exec(t, r.DB, "update rotator.shops set bound_key = '7' where domain = $1", c[3].Domain)
	if n := r.snapshot(t, store.Counted).ToLoad; n != 1 {
		t.Errorf("%d are to be loaded, want 1", n)
	}
	exec(t, r.DB, "update rotator.runs set phase = 'exchanging' where id = $1", r.run.ID)
	exec(t, r.DB, "update rotator.batches set settled_at = now()")
	if n := r.snapshot(t, store.Engine).Deliveries.Pending; n != 3 {
		t.Errorf("the engine sees %d", n)
	}
	if i := r.item(t, c[1].Domain); i.State != rotation.ItemProven {
		t.Errorf("the waived delivery's shop is %s", i.State)
	}
	if d := r.delivery(t, c[1].Domain); !d.Waived || d.State != store.DeliveryFailing {
		t.Errorf("waived: %+v", d)
	}
	// The next token is not.
	r.swapAgain(t, c[1], "newer")
	if d := r.delivery(t, c[1].Domain); d.Waived {
		t.Errorf("a waiver outlived its token: %+v", d)
	}
	states := map[store.DeliveryState]int{}
	for after := int64(0); ; {
		page, err := r.Deliveries(t.Context(), r.app.ID, after, store.DeliveryStates, 2)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range page {
			states[d.State]++
			after = d.ShopID
		}
		if len(page) < 2 {
			break
		}
	}
	if diff := cmp.Diff(map[store.DeliveryState]int{"pending": 2, "failing": 1, "stopped": 1, "acknowledged": 1}, states); diff != "" {
		t.Error(diff)
	}
}

func TestDeliverySecretsAreSealed(t *testing.T) {
	t.Parallel()
	r, claims := owing(t, 1)
	exec(t, r.DB, "update rotator.shops set access_token = '\\x0102030405' where domain = $1", claims[0].Domain)
	d := r.deliveries(t, 9)
	if len(d) != 1 || !strings.Contains(d[0].Broken, "does not open") {
		t.Fatalf("a token that does not open: %+v", d)
	}
	r.answer(t, store.DeliveryOutcome{Delivery: d[0], Problem: d[0].Broken, Delay: time.Minute})
	tables := ""
	for _, name := range []string{"receivers", "deliveries", "apps", "journal"} {
		tables += strings.Join(ask[string](t, r.DB, "select t::text from rotator."+name+" t"), "\n")
	}
	tables += fmt.Sprintf("%v %+v", d, d)
	if found := planted(tables, []string{plantedKey, fresh(claims[0]).Reveal(), newSecret}); found != nil {
		t.Errorf("shown: %q", found)
	}
	if !strings.Contains(tables, "app.example.com") {
		t.Error("the search sees nothing")
	}
	exec(t, r.DB, "update rotator.receivers set key = '\\x0102030405'")
	got, err := r.Receiver(t.Context(), r.app.ID)
	if err != nil || !got.Key.IsZero() || !strings.Contains(got.Broken, "does not open") {
		t.Errorf("a key that does not open: %+v, %v", got, err)
	}
}
