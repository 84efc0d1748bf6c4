package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/store"
)

func TestWhatWaitsForTooLongIsHurried(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 6)
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
	}
	for i, item := range items {
		exec(t, r.DB, `update rotator.items set state = $3, next_attempt_at = now() + $4, quiet_until = case when $5::interval > '0' then now() + $5 end
			where run_id = $1 and position = $2`, r.run.ID, claims[i].Position, item.state, item.waits, item.quiet)
		exec(t, r.DB, `insert into rotator.river_job (kind, args, max_attempts, state, scheduled_at) values ($1, '{}', 25, 'available', now() + $2)`, fmt.Sprint(i), item.waits)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.HurryItems(ctx, r.run.ID, 3*time.Minute) })
	if err := r.HurryJobs(t.Context(), 3*time.Minute); err != nil {
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
