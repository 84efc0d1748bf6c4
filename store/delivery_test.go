package store_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

const plantedKey = "whsec_planted-deliver-key"

// deliverTo gives the rig's app a receiver.
func (r *rig) deliverTo(t *testing.T, url string) {
	t.Helper()
	r.app.Settings.DeliverURL, r.app.DeliverKey = url, secret.New(plantedKey)
	var err error
	if r.app, err = r.SetApp(t.Context(), storetest.Actor, r.app); err != nil {
		t.Fatal(err)
	}
	r.app.DeliverKey = secret.String{}
}

// owing proves n shops of an app with a receiver.
func owing(t *testing.T, n int) (*rig, []store.Claim) {
	t.Helper()
	r, _, claims := claimAll(t, n)
	r.deliverTo(t, "https://app.example.com/tokens")
	r.prove(t, claims...)
	return r, claims
}

func (r *rig) dispatch(t *testing.T, most int) []store.DueDelivery {
	t.Helper()
	var due []store.DueDelivery
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		due, err = tx.DispatchDeliveries(ctx, r.app.ID, most, time.Minute)
		return err
	})
	return due
}

// deliveries dispatches and claims up to n.
func (r *rig) deliveries(t *testing.T, n int) []store.Delivery {
	t.Helper()
	return r.claimDeliveries(t, r.dispatch(t, n))
}

func (r *rig) claimDeliveries(t *testing.T, due []store.DueDelivery) []store.Delivery {
	t.Helper()
	claimed, err := r.ClaimDeliveries(t.Context(), due, r.worker, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	slices.SortFunc(claimed, func(a, b store.Delivery) int { return int(a.ShopID - b.ShopID) })
	return claimed
}

func (r *rig) answer(t *testing.T, outcomes ...store.DeliveryOutcome) {
	t.Helper()
	if err := r.WriteDeliveries(t.Context(), r.app.ID, outcomes); err != nil {
		t.Fatal(err)
	}
}

func acknowledged(d store.Delivery) store.DeliveryOutcome {
	return store.DeliveryOutcome{Delivery: d, Acknowledged: true, Status: 204}
}

func refused(d store.Delivery, delay time.Duration) store.DeliveryOutcome {
	return store.DeliveryOutcome{Delivery: d, Status: 500, Problem: "the app answered 500", Delay: delay}
}

func (r *rig) delivery(t *testing.T, domain string) store.DeliveryInfo {
	t.Helper()
	d, err := r.Delivery(t.Context(), r.app.ID, domain)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

// swapAgain gives a shop another token, as a later run or a sweep does.
func (r *rig) swapAgain(t *testing.T, c store.Claim, token string) {
	t.Helper()
	exec(t, r.DB, "update rotator.items set state = 'unknown', next_attempt_at = now() where run_id = $1 and position = $2", r.run.ID, c.Position)
	again, err := r.ClaimDue(t.Context(), store.Due{RunID: c.RunID, Position: c.Position, Attempt: r.item(t, c.Domain).Attempt}, r.worker, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	for _, state := range []rotation.ItemState{rotation.ItemExchanged, rotation.ItemProven} {
		r.write(t, store.Written, store.Outcome{Claim: again, State: state, New: secret.New(token), Old: again.Current, SecretID: r.run.NewSecretID})
	}
}

func TestASwapOwesADelivery(t *testing.T) {
	t.Parallel()
	r, claims := owing(t, 3)
	due, busy, err := r.Receivers(t.Context())
	if err != nil || !busy || !slices.Equal(due, []int64{r.app.ID}) {
		t.Fatalf("due %v, busy %v, %v", due, busy, err)
	}
	got := r.deliveries(t, 10)
	if len(got) != 3 {
		t.Fatalf("%d deliveries are due, want 3", len(got))
	}
	ids := map[string]bool{}
	for i, d := range got {
		ids[d.ID] = true
		if d.Domain != claims[i].Domain || d.Generation != 2 || d.RunID != r.run.ID || !d.Token.Equal(fresh(claims[i])) || d.Attempt != 1 || d.Tries != 1 || d.SwappedAt.IsZero() {
			t.Errorf("delivery %+v", d)
		}
		if !strings.HasPrefix(d.ID, "msg_") || strings.Contains(d.ID, ".") {
			t.Errorf("id %q", d.ID)
		}
	}
	if len(ids) != 3 {
		t.Errorf("ids %v", ids)
	}
	r.answer(t, acknowledged(got[0]), refused(got[1], time.Hour), store.DeliveryOutcome{Delivery: got[2], Stop: true, Status: 410, Problem: "gone"})
	for i, want := range []store.DeliveryState{store.DeliveryAcknowledged, store.DeliveryFailing, store.DeliveryStopped} {
		if d := r.delivery(t, claims[i].Domain); d.State != want || (d.NextAttemptAt != nil) != (want == store.DeliveryFailing) || (d.AcknowledgedAt != nil) != (i == 0) {
			t.Errorf("delivery %+v, want %s", d, want)
		}
	}
	if _, busy, err := r.Receivers(t.Context()); err != nil || busy {
		t.Errorf("busy %v, %v", busy, err)
	}
	// What somebody mended is tried again, under the same id.
	if n, err := r.RetryDeliveries(t.Context(), storetest.Actor, r.app, ""); err != nil || n != 2 {
		t.Errorf("%d are retried, %v", n, err)
	}
	again := r.deliveries(t, 10)
	if len(again) != 2 || again[0].ID != got[1].ID || again[1].ID != got[2].ID || again[0].Tries != 1 || again[0].Attempt != 2 {
		t.Errorf("again: %+v", again)
	}
}

func TestNobodyIsOwedWithoutAURLOrForAnImport(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 2)
	r.prove(t, claims[0])
	if _, err := r.Delivery(t.Context(), r.app.ID, claims[0].Domain); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("without a URL: %v", err)
	}
	r.deliverTo(t, "https://app.example.com/tokens")
	r.replace(t, claims[0].Domain, "imported", 0)
	if _, err := r.Delivery(t.Context(), r.app.ID, claims[0].Domain); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("after an import: %v", err)
	}
	r.prove(t, claims[1])
	d := r.deliveries(t, 9)
	if len(d) != 1 {
		t.Fatalf("%d deliveries", len(d))
	}
	// Stopped: nothing is due, what is owed stays.
	r.answer(t, refused(d[0], 0))
	r.app.Settings.DeliverURL = ""
	if _, err := r.SetApp(t.Context(), storetest.Actor, r.app); err != nil {
		t.Fatal(err)
	}
	if due, busy, err := r.Receivers(t.Context()); err != nil || due != nil || busy {
		t.Errorf("stopped: due %v, busy %v, %v", due, busy, err)
	}
	if got := r.delivery(t, claims[1].Domain); got.State != store.DeliveryFailing {
		t.Errorf("stopped: %+v", got)
	}
	if got, err := r.Receiver(t.Context(), r.app.ID); err != nil || got.URL != "" || !got.Key.Equal(secret.New(plantedKey)) {
		t.Errorf("receiver %+v, %v", got, err)
	}
	// A URL without a key is refused, whole.
	_, err := r.SetApp(t.Context(), storetest.Actor, store.App{Name: "other", ClientID: "c", Settings: store.AppSettings{DeliverURL: "https://h/"}})
	if !errors.Is(err, store.ErrNoDeliverKey) {
		t.Errorf("without a key: %v", err)
	}
	if _, err := r.Store.App(t.Context(), "other"); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("half an app was stored: %v", err)
	}
}

func TestARunThatRequiresDeliveryIsOwedItWithoutAURLToo(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 2)
	r.run.Settings.RequireDelivery = true
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.SaveSettings(ctx, storetest.Actor, r.run) })
	r.prove(t, claims...)
	exec(t, r.DB, "update rotator.batches set settled_at = now()")
	for _, detail := range []store.Detail{store.Counted, store.Engine} {
		if got := r.snapshot(t, detail).Deliveries; !got.Required || got.Pending != 2 || !got.NoURL && detail == store.Counted {
			t.Errorf("deliveries %+v", got)
		}
	}
	if due, _, err := r.Receivers(t.Context()); err != nil || due != nil {
		t.Errorf("due %v, %v", due, err)
	}
}

// The newest token wins: an answer about an older one does not acknowledge it.
func TestSwappedWhileADeliveryIsUnderWay(t *testing.T) {
	t.Parallel()
	r, claims := owing(t, 1)
	old := r.deliveries(t, 9)[0]
	r.swapAgain(t, claims[0], "newer")
	if more := r.dispatch(t, 9); len(more) != 0 {
		t.Fatalf("one shop is under way twice: %+v", more)
	}
	r.answer(t, acknowledged(old))
	if got := r.delivery(t, claims[0].Domain); got.State != store.DeliveryPending || got.Generation != 3 {
		t.Errorf("after the older answer: %+v", got)
	}
	newer := r.deliveries(t, 9)
	if len(newer) != 1 || newer[0].Generation != 3 || !newer[0].Token.Equal(secret.New("newer")) || newer[0].ID == old.ID {
		t.Fatalf("the newer: %+v", newer)
	}
	r.answer(t, acknowledged(newer[0]))
	if got := r.delivery(t, claims[0].Domain); got.State != store.DeliveryAcknowledged {
		t.Errorf("after the newer answer: %+v", got)
	}
	// And a failure of the older one does not hold up the newer.
	r.swapAgain(t, claims[0], "newest but one")
	old = r.deliveries(t, 9)[0]
	r.swapAgain(t, claims[0], "newest")
	r.answer(t, refused(old, time.Hour))
	if got := r.deliveries(t, 9); len(got) != 1 || !got[0].Token.Equal(secret.New("newest")) || got[0].Tries != 1 {
		t.Errorf("the newest: %+v", got)
	}
}

// waiting counts the sessions that wait for a lock of another.
const waiting = "select count(*)::int from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database()"

// The claim may read the shop as it was before a swap that it waited for: then
// it sends, and acknowledges, the older token.
func TestClaimThatWaitedForASwap(t *testing.T) {
	t.Parallel()
	r, claims := owing(t, 1)
	due := r.dispatch(t, 9)
	swap, err := r.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = swap.Rollback(context.Background()) })
	for _, statement := range []string{
		"update rotator.shops set token_generation = 3", "update rotator.deliveries set generation = 3",
	} {
		if _, err := swap.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	claimed := make(chan []store.Delivery)
	go func() {
		got, err := r.ClaimDeliveries(t.Context(), due, r.worker, time.Minute)
		if err != nil {
			t.Error(err)
		}
		claimed <- got
	}()
	for ask[int](t, r.DB, waiting)[0] == 0 {
		if t.Context().Err() != nil {
			t.Fatal("the claim does not wait")
		}
	}
	if err := swap.Commit(t.Context()); err != nil {
		t.Fatal(err)
	}
	got := <-claimed
	if len(got) != 1 || !got[0].Token.Equal(fresh(claims[0])) {
		t.Fatalf("claimed %+v", got)
	}
	r.answer(t, acknowledged(got[0]))
	if d := r.delivery(t, claims[0].Domain); d.State != store.DeliveryPending {
		t.Errorf("an older token's answer acknowledged generation %d: %+v", d.Generation, d)
	}
}

func TestALateAnswerIsFenced(t *testing.T) {
	t.Parallel()
	r, claims := owing(t, 1)
	first := r.dispatch(t, 9)
	lost := r.claimDeliveries(t, first)[0]
	exec(t, r.DB, "update rotator.deliveries set next_attempt_at = now()") // its lease is over
	second := r.deliveries(t, 9)
	if len(second) != 1 || second[0].ID != lost.ID {
		t.Fatalf("after the lease: %+v", second)
	}
	if got := r.claimDeliveries(t, first); len(got) != 0 {
		t.Errorf("a superseded job claimed %+v", got)
	}
	r.answer(t, refused(lost, time.Hour))
	if got := r.delivery(t, claims[0].Domain); got.State != store.DeliveryPending {
		t.Errorf("a late answer was written: %+v", got)
	}
	r.answer(t, acknowledged(second[0]))
	r.answer(t, refused(second[0], time.Hour))
	if got := r.delivery(t, claims[0].Domain); got.State != store.DeliveryAcknowledged {
		t.Errorf("an answer was written twice: %+v", got)
	}
}

func TestUnsentIsDueAsItWas(t *testing.T) {
	t.Parallel()
	r, _ := owing(t, 1)
	r.answer(t, refused(r.deliveries(t, 9)[0], 0))
	second := r.deliveries(t, 9)[0]
	r.answer(t, store.DeliveryOutcome{Delivery: second, Unsent: true})
	got := r.delivery(t, second.Domain)
	if got.Tries != 1 || got.State != store.DeliveryFailing {
		t.Errorf("unsent: %+v", got)
	}
	if len(r.dispatch(t, 9)) != 1 {
		t.Error("it is not due")
	}
}

func TestDeadWorkersDeliveriesAreFreed(t *testing.T) {
	t.Parallel()
	r, _ := owing(t, 2)
	dead := uuid.New()
	due := r.dispatch(t, 9)
	if _, err := r.ClaimDeliveries(t.Context(), due[:1], dead, time.Minute); err != nil {
		t.Fatal(err)
	}
	r.claimDeliveries(t, due[1:])
	if err := r.FreeDeliveries(t.Context(), store.LiveWithin); err != nil {
		t.Fatal(err)
	}
	if got := r.dispatch(t, 9); len(got) != 1 || got[0].ShopID != due[0].ShopID {
		t.Errorf("freed %+v", got)
	}
}
