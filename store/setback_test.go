package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestWhatWaitsForTooLongIsHurried(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 7)
	items := []struct {
		state        string
		waits, quiet time.Duration
		left         time.Duration // that it waits then
	}{
		{"retrying", time.Hour, 0, 0},
		{"unknown", time.Hour, 0, 0},
		{"retrying", time.Minute, 0, time.Minute},
		{"retrying", time.Hour, 50 * time.Minute, 50 * time.Minute},
		{"retrying", time.Hour, 59 * time.Minute, time.Hour},
		{"claimed", time.Hour, 0, time.Hour},
		{"retrying", 5 * time.Hour, 5 * time.Hour, time.Hour}, // nobody may ask for more
	}
	for i, item := range items {
		exec(t, r.DB, `update rotator.items set state = $3, next_attempt_at = now() + $4, quiet_until = case when $5::interval > '0' then now() + $5 end
			where run_id = $1 and position = $2`, r.run.ID, claims[i].Position, item.state, item.waits, item.quiet)
		exec(t, r.DB, `insert into rotator.river_job (kind, args, max_attempts, state, scheduled_at) values ($1, '{}', 25, 'available', now() + $2)`, fmt.Sprint(i), item.waits)
	}
	most := store.Pauses{Job: 3 * time.Minute, Item: 3 * time.Minute, Asked: time.Hour}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.HurryItems(ctx, r.run.ID, most) })
	if err := r.MendSetback(t.Context(), most); err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]string{"2"}, ask[string](t, r.DB, "select kind from rotator.river_job where scheduled_at > now()")); diff != "" {
		t.Errorf("jobs that wait (-want +got):\n%s", diff)
	}
	for i, item := range items {
		left := ask[float64](t, r.DB, "select extract(epoch from next_attempt_at - now())::float8 from rotator.items where run_id = $1 and position = $2", r.run.ID, claims[i].Position)
		if off := time.Duration(left[0]*float64(time.Second)) - item.left; off.Abs() > 30*time.Second {
			t.Errorf("item %d, %s for %s: waits %s longer than %s", i, item.state, item.waits, off, item.left)
		}
	}
}

// Nor is a worker that died before alive until the clock has caught up.
func TestWhoDiedBeforeASetbackIsDeadSoon(t *testing.T) {
	t.Parallel()
	db, clock := storetest.Skewed(t)
	clock(time.Hour)
	r := newRigIn(t, db, "shopbot", 14, oneWave)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	grants := r.release(t, 1)
	r.claim(t, r.take(t, grants[0]))
	// One shop is tried by itself.
	alone := r.claim(t, r.take(t, grants[1]))[0]
	r.write(t, store.Written, store.Outcome{Claim: alone, State: rotation.ItemRetrying, Class: rotation.ClassPlatform})
	var due []store.Due
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		due, err = tx.DispatchDue(ctx, r.run.ID, 10, time.Minute)
		return err
	})
	if _, err := r.ClaimDue(t.Context(), due[0], r.worker, time.Hour); err != nil {
		t.Fatal(err)
	}
	exec(t, r.DB, `insert into rotator.river_job (kind, args, max_attempts, state, attempted_by, attempted_at)
		select 'batch', jsonb_build_object('run', run_id, 'batch', number, 'grant', grant_number), 25, 'running', array[$1], skewed.now() from rotator.batches`, r.worker.String())
	exec(t, r.DB, `insert into rotator.river_leader (leader_id, elected_at, expires_at) values ($1, skewed.now(), skewed.now() + interval '15 seconds')`, r.worker.String())
	clock(0)
	repair := func() (granted, freed, items int) {
		if err := r.MendSetback(t.Context(), store.Pauses{}); err != nil {
			t.Fatal(err)
		}
		if err := r.FreeJobs(t.Context(), store.LiveWithin); err != nil {
			t.Fatal(err)
		}
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			if err := tx.FreeOrphans(ctx, r.run.ID, store.LiveWithin); err != nil {
				return err
			}
			grants, err := tx.GrantOrphans(ctx, r.run.ID, store.LiveWithin, "batch")
			granted = len(grants)
			return err
		})
		return granted, ask[int](t, r.DB, "select count(*)::int from rotator.river_job where state = 'available'")[0],
			ask[int](t, r.DB, "select count(*)::int from rotator.items where next_attempt_at <= skewed.now()")[0]
	}
	if granted, freed, items := repair(); granted+freed+items > 0 {
		t.Errorf("at once %d batches, %d jobs and %d items are taken from a worker that may live", granted, freed, items)
	}
	if ask[int](t, r.DB, "select count(*)::int from rotator.river_leader")[0] != 0 {
		t.Error("a leader that may be dead leads until the clock has caught up")
	}
	clock(store.LiveWithin + time.Second)
	if granted, freed, items := repair(); granted != 2 || freed != 2 || items != 1 {
		t.Errorf("later %d batches, %d jobs and %d items are taken from the dead worker, want 2, 2 and 1", granted, freed, items)
	}
}

func TestDeliveriesThatWaitForTooLongAreHurried(t *testing.T) {
	t.Parallel()
	r, claims := owing(t, 5)
	for i, row := range []struct{ wait, worker string }{{"1 hour", ""}, {"5 minutes", ""}, {"0", ""}, {"1 hour", "none"}, {"1 hour", r.worker.String()}} {
		exec(t, r.DB, `update rotator.deliveries set next_attempt_at = now() + $2::interval, leased = $3::text <> '', worker_id = nullif(nullif($3, ''), 'none')::uuid
			where shop_id = $1`, claims[i].ShopID, row.wait, row.worker)
	}
	exec(t, r.DB, "update rotator.receivers set not_before = now() + interval '1 hour'")
	if err := r.MendSetback(t.Context(), store.Pauses{Delivery: time.Minute, Asked: 10 * time.Minute}); err != nil {
		t.Fatal(err)
	}
	if due := r.dispatch(t, 10); len(due) != 3 {
		t.Errorf("%d are due, want the first, the third and the one whose job may be lost", len(due))
	}
}

func TestACheckOfADerivedTokenThatThePlatformDelayedIsNotHurried(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, 4)
	r.deriveAll(t)
	r.enter(t, rotation.PhaseDerived)
	exec(t, r.DB, "update rotator.runs set check_stride = 1 where id = $1", r.run.ID)
	checks, err := r.NextDerivedChecks(t.Context(), r.run.ID, 0, 2, false)
	if err != nil || len(checks) < 2 {
		t.Fatal(len(checks), err)
	}
	seen := func(i int, asked time.Duration) store.DerivedChecked {
		return store.DerivedChecked{Of: checks[i], State: rotation.ItemExchanged, Class: rotation.ClassPlatform, Delay: 9 * time.Minute, Asked: asked}
	}
	if err := r.WriteDerivedChecks(t.Context(), r.run.ID, []store.DerivedChecked{seen(0, 9*time.Minute), seen(1, 0)}); err != nil {
		t.Fatal(err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		return tx.HurryItems(ctx, r.run.ID, store.Pauses{Item: time.Minute, Asked: 10 * time.Minute})
	})
	want := []bool{false, true}
	if diff := cmp.Diff(want, ask[bool](t, r.DB, "select next_attempt_at <= now() from rotator.items where next_attempt_at is not null order by position")); diff != "" {
		t.Errorf("due (-want +got):\n%s", diff)
	}
}
