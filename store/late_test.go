package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// next cancels the rig's run, with whatever is under way, and claims all of the
// next one's first batch.
func (r *rig) next(t *testing.T, settings store.RunSettings) (store.Lease, []store.Claim) {
	t.Helper()
	r.cancel(t)
	return r.nextOpen(t, settings)
}

// nextOpen is next of a run that is cancelled already.
func (r *rig) nextOpen(t *testing.T, settings store.RunSettings) (store.Lease, []store.Claim) {
	t.Helper()
	r.run = r.Run(t, r.app, settings)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	l := r.take(t, r.release(t, 1)[0])
	return l, r.claim(t, l)
}

// newest is a token that the platform minted after all others.
func newest(c store.Claim) store.Outcome {
	return store.Outcome{Claim: c, State: rotation.ItemExchanged, New: secret.New("the-newest-of-" + c.Domain)}
}

// A cancel waits for no call: the answer may come after the next run has proven
// the shop with a token that the platform gave up for this one.
func TestACallThatOutlivesItsRunMakesTheNextOneProveAgain(t *testing.T) {
	t.Parallel()
	lost := store.Outcome{State: rotation.ItemUnknown, Class: rotation.ClassNetwork, Detail: "reset", Delay: time.Hour}
	with := func(o store.Outcome) func(*testing.T, *rig, store.Lease, store.Claim) store.Outcome {
		return func(_ *testing.T, _ *rig, _ store.Lease, c store.Claim) store.Outcome {
			o.Claim = c
			return o
		}
	}
	tests := map[string]struct {
		// late is what the call of the first run comes to, if that is cancelled now.
		late    func(*testing.T, *rig, store.Lease, store.Claim) store.Outcome
		verdict store.Verdict
		want    int
	}{
		"claimed with its batch": {func(_ *testing.T, _ *rig, _ store.Lease, c store.Claim) store.Outcome { return newest(c) }, store.Written, 1},
		"claimed by itself": {func(t *testing.T, r *rig, _ store.Lease, c store.Claim) store.Outcome {
			r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503"})
			return newest(r.again(t))
		}, store.Written, 1},
		"superseded before": {func(t *testing.T, r *rig, l store.Lease, c store.Claim) store.Outcome {
			r.take(t, l.Grant)
			return newest(c)
		}, store.Fenced, 1},
		"the answer is lost": {with(lost), store.Written, 1},
		"superseded before, the answer is lost": {func(t *testing.T, r *rig, l store.Lease, c store.Claim) store.Outcome {
			r.take(t, l.Grant)
			return with(lost)(t, r, l, c)
		}, store.Fenced, 1},
		"not to be stored": {with(store.Outcome{State: rotation.ItemParked, Class: rotation.ClassOurs, Detail: "x", Acted: true}), store.Written, 1},
		"refused":          {with(store.Outcome{State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503", Delay: time.Hour}), store.Written, 0},
		"not sent":         {with(store.Outcome{State: rotation.ItemUnknown, Detail: "the run is held", Delay: time.Hour}), store.Written, 0},
	}
	for name, tt := range tests {
		for _, when := range []string{"before the proof", "after the proof"} {
			t.Run(name+", "+when, func(t *testing.T) {
				t.Parallel()
				r, l, older := claimAll(t, 3)
				late := tt.late(t, r, l, older[1])
				l, newer := r.next(t, r.run.Settings)
				if when == "before the proof" {
					r.write(t, store.Written, exchanged(newer[0]), exchanged(newer[1]), exchanged(newer[2]))
					r.write(t, tt.verdict, late)
					r.write(t, store.Written, r.proven(newer[0]), r.proven(newer[1]), r.proven(newer[2]))
				} else {
					r.prove(t, newer...)
					r.write(t, tt.verdict, late)
				}
				if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
					t.Fatal(ok, err)
				}
				marked := ask[string](t, r.DB, "select s.domain from rotator.items i join rotator.shops s on s.id = i.shop_id where late_exchange_at is not null")
				if got := r.snapshot(t, store.Engine).LateExchanges; got != tt.want || len(marked) != tt.want {
					t.Fatalf("%d shops are to be proven again (marked: %v), want %d", got, marked, tt.want)
				}
				if tt.want == 0 {
					return
				}
				r.sweep(t)
				again := r.again(t)
				if again.Domain != older[1].Domain || !again.Current.Equal(fresh(newer[1])) || again.SecretID != r.run.NewSecretID {
					t.Errorf("claimed again: %+v", again)
				}
			})
		}
	}
}

// Its exchange will be newer than a token that is stored before it can be claimed.
func TestALateTokenOfAShopThatTheNextRunHasNotTakenInYet(t *testing.T) {
	t.Parallel()
	r, _, older := claimAll(t, 2)
	r.cancel(t)
	r.run = r.Run(t, r.app, r.run.Settings)
	r.write(t, store.Written, newest(older[0]))
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	l := r.take(t, r.release(t, 1)[0])
	r.prove(t, r.claim(t, l)...)
	if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
		t.Fatal(ok, err)
	}
	if s := r.snapshot(t, store.Engine); s.LateExchanges != 0 || !rotation.GateMet(rotation.Gate(s)) {
		t.Errorf("%d shops are to be proven again", s.LateExchanges)
	}
}

// Past its revoke a run cannot go back, but a shop that has lost its token is
// seen, also outside of the sample and if it was looked at before.
func TestALateTokenAfterTheRevokeIsLookedAt(t *testing.T) {
	t.Parallel()
	r, _, older := claimAll(t, 9)
	settings := r.run.Settings
	settings.CheckSample = 3
	_, newer := r.next(t, settings)
	r.prove(t, newer...)
	r.enter(t, rotation.PhaseRevoked)
	look := func(alive bool) (domains []string) {
		var seen []store.Checked
		for _, c := range r.checks(t) {
			seen, domains = append(seen, store.Checked{Check: c, OldDead: true, NewAlive: alive}), append(domains, c.Domain)
		}
		if err := r.WriteChecks(context.Background(), seen); err != nil {
			t.Fatal(err)
		}
		return domains
	}
	if diff := cmp.Diff([]string{newer[2].Domain, newer[5].Domain, newer[8].Domain}, look(true)); diff != "" {
		t.Fatalf("the sample (-want +got):\n%s", diff)
	}
	r.write(t, store.Written, newest(older[0]), newest(older[2]))
	if s := r.snapshot(t, store.Counted); s.Revocation.Done() {
		t.Errorf("nothing is to be looked at: %+v", s.Revocation)
	}
	if diff := cmp.Diff([]string{newer[0].Domain, newer[2].Domain}, look(false)); diff != "" {
		t.Errorf("looked at again (-want +got):\n%s", diff)
	}
	if s := r.snapshot(t, store.Counted); s.Revocation != (rotation.Revocation{Planned: 4, OldDead: 4, NewAlive: 2, NewDead: 2, NewKnown: 2}) {
		t.Errorf("afterwards: %+v", s.Revocation)
	}
}

// The look was under way when the late token was made: it saw the token that was
// the shop's newest until then.
func TestALookThatALateTokenOvertookDoesNotCount(t *testing.T) {
	t.Parallel()
	r, _, older := claimAll(t, 2)
	_, newer := r.next(t, r.run.Settings)
	r.prove(t, newer...)
	r.enter(t, rotation.PhaseRevoked)
	for left := range 2 {
		var seen []store.Checked
		for _, c := range r.checks(t) {
			seen = append(seen, store.Checked{Check: c, OldDead: true, NewAlive: true})
		}
		if len(seen) != 2-left {
			t.Fatalf("%d shops are to be looked at", len(seen))
		}
		r.write(t, store.Written, []store.Outcome{newest(older[0]), {Claim: older[0], State: rotation.ItemUnknown, Class: rotation.ClassNetwork, Detail: "reset"}}[left])
		if err := r.WriteChecks(t.Context(), seen); err != nil {
			t.Fatal(err)
		}
		if s := r.snapshot(t, store.Counted); s.Revocation != (rotation.Revocation{Planned: 2, OldDead: 1, NewAlive: 1, NewKnown: 1}) {
			t.Errorf("late token %d: %+v", left+1, s.Revocation)
		}
	}
	var seen []store.Checked
	for _, c := range r.checks(t) {
		seen = append(seen, store.Checked{Check: c, OldDead: true})
	}
	if err := r.WriteChecks(t.Context(), seen); err != nil {
		t.Fatal(err)
	}
	if s := r.snapshot(t, store.Counted); s.Revocation.NewDead != 1 || !s.Revocation.Done() {
		t.Errorf("looked at again: %+v", s.Revocation)
	}
}
