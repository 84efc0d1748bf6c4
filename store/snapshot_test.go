package store_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/uuid"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func TestASnapshotOfAFreshRun(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 2, store.RunSettings{BatchSize: 10, GraceSeconds: 90, Waves: rotation.DefaultWavePolicy})
	s := r.snapshot(t, store.Counted)
	want := rotation.Snapshot{
		Now: s.Now, PhaseAt: s.PhaseAt, App: "shopbot", RunID: r.run.ID, Kind: rotation.KindRotation, Mode: rotation.ModePlanned,
		Phase: rotation.PhasePrepared, SecretsDiffer: true, OldSecret: 1, NewSecret: 2, KeyringOpens: true, Attested: map[rotation.Phase]rotation.Attestation{},
		WavePolicy: rotation.DefaultWavePolicy, Workers: 1, Grace: 90 * time.Second,
	}
	if diff := cmp.Diff(want, s); diff != "" {
		t.Errorf("snapshot (-want +got):\n%s", diff)
	}
	if _, err := r.WalkPage(t.Context(), r.run.ID, 1); err != nil {
		t.Fatal(err)
	}
	if s := r.snapshot(t, store.Engine); s.Counts.Total != 1 || s.Counts.Pending != 1 || s.WalkDone {
		t.Errorf("during the walk: %+v", s.Counts)
	}
	if _, _, err := r.Snapshot(t.Context(), r.run.ID+1, store.Engine); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a run that does not exist: %v", err)
	}
}

func TestASnapshotTellsThatNoShopIsStored(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	if !r.snapshot(t, store.Counted).NoShops {
		t.Error("no shop is stored, and the snapshot does not say so")
	}
	r.Import(t, r.app, storetest.Fleet(1))
	if r.snapshot(t, store.Counted).NoShops {
		t.Error("a shop is stored, but not walked yet: the snapshot says there is none")
	}
}

// A worker whose calls stand still for the database says so in its heartbeat; one that
// is only slow for it does not count.
func TestASnapshotTellsWhoCannotWrite(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	for name, tt := range map[string]struct {
		beat store.WorkerInfo
		want int
	}{
		"stuck":          {store.WorkerInfo{Limit: 8, ThrottledBy: rotation.ThrottledByDatabase}, 1},
		"calls":          {store.WorkerInfo{Limit: 8, InFlight: 1, ThrottledBy: rotation.ThrottledByDatabase}, 0},
		"slow":           {store.WorkerInfo{Limit: 8, ShopsPerS: 0.4, ThrottledBy: rotation.ThrottledByDatabase}, 0},
		"another reason": {store.WorkerInfo{Limit: 8, ThrottledBy: "window"}, 0},
	} {
		tt.beat.ID = r.worker
		if _, err := r.Beat(t.Context(), tt.beat); err != nil {
			t.Fatal(err)
		}
		if s := r.snapshot(t, store.Counted); s.Workers != 1 || s.Unwriting != tt.want {
			t.Errorf("%s: %d of %d workers cannot write, want %d", name, s.Unwriting, s.Workers, tt.want)
		}
	}
}

func TestTheEngineCountsAWaveOnceItsBatchesAreSettled(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 12, store.RunSettings{BatchSize: 10, Waves: rotation.WavePolicy{Canary: 2, Budget: 0.25}})
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	l := r.take(t, r.release(t, 1)[0])
	claims := r.claim(t, l)
	r.prove(t, claims[0])
	r.write(t, store.Written, store.Outcome{Claim: claims[1], State: rotation.ItemParked, Class: rotation.ClassNetwork, Detail: "reset"})

	counted := r.snapshot(t, store.Counted)
	if diff := cmp.Diff(rotation.Counts{Total: 12, Pending: 10, Proven: 1, Parked: 1}, counted.Counts); diff != "" {
		t.Errorf("counted (-want +got):\n%s", diff)
	}
	if w := counted.Waves[0]; w.Failed != 1 || !w.Released || w.Settled || w.Counts.Total != 2 || w.Name != "canary" {
		t.Errorf("the canary: %+v", w)
	}
	if diff := cmp.Diff(counted.Counts, r.snapshot(t, store.Items).Counts); diff != "" {
		t.Errorf("items (-counted +got):\n%s", diff)
	}
	if diff := cmp.Diff(rotation.Counts{Total: 12, Pending: 12}, r.snapshot(t, store.Engine).Counts); diff != "" {
		t.Errorf("for the engine (-want +got):\n%s", diff)
	}
	if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
		t.Fatal(ok, err)
	}
	s := r.snapshot(t, store.Engine)
	if diff := cmp.Diff(rotation.Counts{Total: 12, Pending: 10, Proven: 1, Parked: 1}, s.Counts); diff != "" {
		t.Errorf("for the engine, settled (-want +got):\n%s", diff)
	}
	var got []rotation.Action
	for _, a := range rotation.Advance(withToken(s)) {
		a.Why = ""
		got = append(got, a)
	}
	if diff := cmp.Diff([]rotation.Action{{Settle: 1}, {Release: 2}}, got); diff != "" {
		t.Errorf("actions (-want +got):\n%s", diff)
	}
}

func TestASnapshotTellsWhatWasTriedInVainAndWhatAnOperatorAccepted(t *testing.T) {
	t.Parallel()
	const retrying, parked, skipped = rotation.ItemRetrying, rotation.ItemParked, rotation.ItemSkipped
	tests := map[string]struct {
		state                rotation.ItemState
		class                rotation.Class
		token                bool
		failed, again, aside int
	}{
		"waits, platform":           {state: retrying, class: rotation.ClassPlatform, failed: 1},
		"waits, refused":            {state: retrying, class: rotation.ClassUnauthorized, failed: 1},
		"waits, slowed down":        {state: retrying, class: rotation.ClassRateLimited},
		"waits, nobody asked":       {state: retrying, again: 1},
		"parked, platform":          {state: parked, class: rotation.ClassPlatform, failed: 1, aside: 1},
		"parked, refused":           {state: parked, class: rotation.ClassUnauthorized, aside: 1},
		"parked, refused its proof": {state: parked, class: rotation.ClassUnauthorized, token: true, failed: 1, aside: 1},
		"parked, another shop's":    {state: parked, class: rotation.ClassWrongShop, token: true, failed: 1, aside: 1},
		"dead":                      {state: skipped, class: rotation.ClassUninstalled, aside: 1},
		"excluded":                  {state: skipped},
		"waived":                    {state: rotation.ItemWaived, class: rotation.ClassPlatform},
	}
	r := newRig(t, 1)
	r.walk(t)
	r.release(t, 1)
	for name, tt := range tests {
		exec(t, r.DB, `update rotator.items set state = $1, class = nullif($2, ''), detail = 'x', new_token = case when $3::bool then 'x'::bytea end`, string(tt.state), string(tt.class), tt.token)
		w := r.snapshot(t, store.Counted).Waves[0]
		if w.Failed != tt.failed || w.Again != tt.again || w.Aside != tt.aside || w.Accepted {
			t.Errorf("%s: %d failed, %d again, %d aside, accepted %t", name, w.Failed, w.Again, w.Aside, w.Accepted)
		}
	}
}

func TestAResumeFromTheBreakerAcceptsTheWavesThatAreOut(t *testing.T) {
	t.Parallel()
	r := newRigWith(t, 6, store.RunSettings{BatchSize: 10, Waves: rotation.WavePolicy{Canary: 2, Shares: []float64{0.3}}})
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	for _, n := range []int{1, 2} {
		r.release(t, n)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.SettleWave(ctx, r.run.ID, 1) })
	for held, want := range map[rotation.Held][]bool{
		rotation.HeldPaused: {false, false, false}, rotation.HeldWaiting: {false, false, false}, rotation.HeldWindowExpired: {false, false, false},
		rotation.HeldBreakerOpen: {false, true, false},
	} {
		exec(t, r.DB, "update rotator.waves set accepted_at = null")
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, held, "x")
			return err
		})
		r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Resume(ctx, storetest.Actor, r.reread(t)) })
		var got []bool
		for _, w := range r.snapshot(t, store.Engine).Waves {
			got = append(got, w.Accepted)
		}
		if diff := cmp.Diff(want, got); diff != "" {
			t.Errorf("%s: accepted (-want +got):\n%s", held, diff)
		}
	}
}

// What is decided under the lock is still so at the commit.
func TestInRunDecidesOnWhatNobodyCanChangeMeanwhile(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	inside := make(chan struct{})
	held := make(chan error, 1)
	go func() {
		<-inside
		held <- r.InTx(context.Background(), func(tx *store.Tx) error {
			_, err := tx.Hold(context.Background(), storetest.Actor, r.run.ID, rotation.HeldPaused, "lunch")
			return err
		})
	}()
	err := r.InRun(t.Context(), r.run.ID, func(tx *store.Tx, s rotation.Snapshot, run store.Run) error {
		if s.RunID != r.run.ID || run.ID != r.run.ID || s.Held != "" {
			t.Errorf("snapshot of run %d, held %q", s.RunID, s.Held)
		}
		close(inside)
		for waits := false; !waits; { // until the other's statement stands at the lock
			select {
			case err := <-held:
				t.Fatalf("the run was held under the lock: %v", err)
			default:
			}
			waits = ask[bool](t, r.DB, "select exists (select from pg_locks l join pg_stat_activity a using (pid) where not l.granted and a.datname = current_database())")[0]
		}
		return tx.EnterPhase(t.Context(), storetest.Actor, run, rotation.PhaseWebhooksDual, nil)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := <-held; err != nil {
		t.Fatal(err)
	}
	if got := r.reread(t); got.Phase != rotation.PhaseWebhooksDual || got.Held != rotation.HeldPaused {
		t.Errorf("run in %s, held %q", got.Phase, got.Held)
	}
	errNo := errors.New("no")
	err = r.InRun(t.Context(), r.run.ID, func(tx *store.Tx, _ rotation.Snapshot, run store.Run) error {
		if err := tx.Resume(t.Context(), storetest.Actor, run); err != nil {
			t.Error(err)
		}
		return errNo
	})
	if !errors.Is(err, errNo) || r.reread(t).Held != rotation.HeldPaused {
		t.Errorf("what failed was committed: %v, held %q", err, r.run.Held)
	}
	if err := r.InRun(t.Context(), -1, func(*store.Tx, rotation.Snapshot, store.Run) error { return nil }); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("a run that does not exist: %v", err)
	}
}

func TestASnapshotSeesWhatIsLeftToSweepOnceAllIsDone(t *testing.T) {
	t.Parallel()
	r, l, claims := claimAll(t, 2)
	r.prove(t, claims...)
	r.replace(t, "late.myharavan.com", "token", r.run.OldSecretID)
	r.replace(t, claims[0].Domain, "imported", r.run.OldSecretID)
	if s := r.snapshot(t, store.Engine); s.LateInstalls+s.OldVersionShops != 0 {
		t.Error("the engine looks at every shop while a batch is open")
	}
	if s := r.snapshot(t, store.Counted); s.LateInstalls != 1 || s.OldVersionShops != 1 {
		t.Errorf("counted: late %d, old %d", s.LateInstalls, s.OldVersionShops)
	}
	if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if s := r.snapshot(t, store.Items); s.LateInstalls+s.OldVersionShops != 0 {
		t.Error("a look at the items alone looks at every shop")
	}
	if s := r.snapshot(t, store.Engine); s.LateInstalls != 1 || s.OldVersionShops != 1 {
		t.Errorf("for the engine: late %d, old %d", s.LateInstalls, s.OldVersionShops)
	}
	r.enter(t, rotation.PhaseProven)
	if s := r.snapshot(t, store.Engine); s.LateInstalls != 1 || s.OldVersionShops != 1 {
		t.Errorf("in proven: late %d, old %d", s.LateInstalls, s.OldVersionShops)
	}
}

func TestWorkersLiveByTheirHeartbeat(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	second := r.startWorker(t)
	live := func(want int) {
		t.Helper()
		all, err := r.Workers(t.Context())
		if err != nil || len(all) != want || r.snapshot(t, store.Engine).Workers != want {
			t.Errorf("%d live workers, want %d (%v)", len(all), want, err)
		}
	}
	live(2)
	exec(t, r.DB, "update rotator.workers set heartbeat_at = now() - interval '16 seconds' where id = $1", second)
	live(1)
	info := store.WorkerInfo{ID: second, InFlight: 3, Limit: 9, ShopsPerS: 1.5, ThrottledBy: "latency"}
	if _, err := r.Beat(t.Context(), info); err != nil {
		t.Fatal(err)
	}
	live(2)
	all, err := r.Workers(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if got := all[1]; got.InFlight != 3 || got.Limit != 9 || got.ShopsPerS != 1.5 || got.ThrottledBy != "latency" || got.Host != "host" {
		t.Errorf("worker %+v", got)
	}
	if err := r.StopWorker(t.Context(), second); err != nil {
		t.Fatal(err)
	}
	live(1)
	if _, err := r.Beat(t.Context(), info); !errors.Is(err, store.ErrConflict) {
		t.Errorf("a worker that signed off beats: %v", err)
	}
	if _, err := r.Beat(t.Context(), store.WorkerInfo{ID: uuid.New()}); !errors.Is(err, store.ErrConflict) {
		t.Errorf("an unknown worker beats: %v", err)
	}
	exec(t, r.DB, "update rotator.workers set heartbeat_at = now() - interval '8 days' where id = $1", second)
	r.startWorker(t)
	if left := ask[int](t, r.DB, "select count(*)::int from rotator.workers"); left[0] != 2 {
		t.Errorf("%d workers are remembered", left[0])
	}
}

func TestControlsOfOpenRuns(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	controls, err := r.Controls(t.Context())
	if err != nil || len(controls) != 1 {
		t.Fatalf("%d controls, %v", len(controls), err)
	}
	want := store.Control{
		RunID: r.run.ID, AppID: r.app.ID, Kind: rotation.KindRotation, Mode: rotation.ModePlanned, Phase: rotation.PhasePrepared, Settings: r.run.Settings,
		OldSecretID: r.run.OldSecretID, NewSecretID: r.run.NewSecretID, Workers: 1, ClientID: r.app.ClientID,
	}
	if diff := cmp.Diff(want, controls[0]); diff != "" {
		t.Errorf("control (-want +got):\n%s", diff)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.Hold(ctx, storetest.Actor, r.run.ID, rotation.HeldPaused, "lunch")
		return err
	})
	if controls, err = r.Controls(t.Context()); err != nil || controls[0].Held != rotation.HeldPaused {
		t.Errorf("held: %+v, %v", controls, err)
	}
	app := r.app
	app.Settings.APIURL = "https://api.example.com"
	if _, err := r.SetApp(t.Context(), storetest.Actor, app); err != nil {
		t.Fatal(err)
	}
	if controls, err = r.Controls(t.Context()); err != nil || controls[0].APIURL != app.Settings.APIURL {
		t.Errorf("with a URL of its own: %+v, %v", controls, err)
	}
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Cancel(ctx, storetest.Actor, r.run) })
	if controls, err = r.Controls(t.Context()); err != nil || len(controls) != 0 {
		t.Errorf("after the cancel: %+v, %v", controls, err)
	}
}
