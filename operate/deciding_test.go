package operate_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// What is decided without them does not keep the run locked while a million shops
// are counted: here nobody may read them at all.
func TestWhatNeedsNoShopIsDecidedWithoutCountingThem(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	app := db.App(t, "main", "hush-the-old-one", "hush-the-new-one")
	db.Import(t, app, storetest.Fleet(3))
	run := db.Run(t, app, store.RunSettings{InFlight: 1, BatchSize: 10})
	holder, err := db.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = holder.Rollback(context.Background()) }()
	if _, err := holder.Exec(t.Context(), "lock table rotator.items, rotator.deliveries"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	op := operate.Operator{Store: db.Store, Actor: "tester"}
	confirm := func(phase rotation.Phase) func() error {
		return func() error { return op.Confirm(ctx, run.ID, phase, "seen", "", func(int64, int64) {}) }
	}
	for _, step := range []struct {
		name string
		do   func() error
	}{
		{"confirm webhooks_dual", confirm(rotation.PhaseWebhooksDual)},
		{"confirm oauth_switched", confirm(rotation.PhaseOAuthSwitched)},
		{"ask whether it may be armed", func() error { return op.MayArm(ctx, run.ID, 0) }},
		{"arm", func() error {
			_, err := op.Arm(ctx, run.ID, secret.New("a-refresh-token"), 0, false)
			return err
		}},
		{"tune", func() error { return op.Tune(ctx, run.ID, 2) }},
		{"pause", func() error { return op.Pause(ctx, run.ID, "x") }},
		{"resume", func() error { return op.Resume(ctx, run.ID) }},
	} {
		if err := step.do(); err != nil {
			t.Fatalf("%s: %v", step.name, err)
		}
	}
	if run, err = db.Store.Run(t.Context(), run.ID); err != nil || run.Phase != rotation.PhaseArmed || run.Settings.InFlight != 2 {
		t.Errorf("phase %s, %d in flight, %v", run.Phase, run.Settings.InFlight, err)
	}
}

// A refusal names the next step, which counts.
func TestARefusalTakesTheShopsIntoAccount(t *testing.T) {
	t.Parallel()
	db := storetest.New(t)
	app := db.App(t, "main", "hush-the-old-one", "hush-the-new-one")
	db.Import(t, app, storetest.Fleet(3))
	run := db.Run(t, app, store.RunSettings{InFlight: 1, BatchSize: 10})
	for _, change := range []string{
		"insert into rotator.items (run_id, position, shop_id, state, detail) select 1, row_number() over (order by id), id, 'parked', 'x' from rotator.shops",
		"insert into rotator.waves (run_id, number, name, first_position, last_position, released_at, settled_at) values (1, 1, 'all', 1, 3, now(), now())",
		"update rotator.runs set phase = 'exchanging', walk_done_at = now(), last_position = 3",
	} {
		if _, err := db.Pool.Exec(t.Context(), change); err != nil {
			t.Fatal(err)
		}
	}
	op := operate.Operator{Store: db.Store, Actor: "tester"}
	for name, do := range map[string]func() error{
		"resume":  func() error { return op.Resume(t.Context(), run.ID) },
		"confirm": func() error { return op.Confirm(t.Context(), run.ID, rotation.PhaseWebhooksDual, "seen", "", nil) },
	} {
		var refused *operate.Refused
		if err := do(); !errors.As(err, &refused) || !strings.HasPrefix(refused.Next.Why, "3 shops are parked") {
			t.Errorf("%s: %v, next %+v", name, err, refused)
		}
	}
}
