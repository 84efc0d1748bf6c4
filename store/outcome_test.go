package store_test

import (
	"context"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func TestAnExchangeIsStoredBeforeItIsProven(t *testing.T) {
	t.Parallel()
	r, l, claims := claimAll(t, 1)
	c := claims[0]
	r.write(t, store.Written, exchanged(c))
	got := r.item(t, c.Domain)
	if got.State != rotation.ItemExchanged || got.Attempt != 1 || got.ClaimedAt == nil || got.ExchangedAt == nil || got.ProvenAt != nil {
		t.Errorf("item %+v", got)
	}
	if r.token(t, c.Domain) != "token-0" {
		t.Error("the unproven token became the shop's")
	}
	r.write(t, store.Written, r.proven(c))
	after, shop := r.item(t, c.Domain), r.shop(t, c.Domain)
	if after.State != rotation.ItemProven || after.Attempt != 1 || after.ClaimedAt == nil || after.ExchangedAt == nil || after.ProvenAt == nil || r.token(t, c.Domain) != fresh(c).Reveal() {
		t.Errorf("item %+v", after)
	}
	if shop.Generation != c.Generation+1 || shop.SecretVersion != 2 || shop.Fingerprint != r.Keys.Fingerprint(fresh(c)) {
		t.Errorf("shop %+v", shop)
	}
	if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
		t.Errorf("settled %t, %v", ok, err)
	}
}

func TestEveryOutcomeLeavesItsState(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		after   rotation.ItemState // what was written before
		outcome store.Outcome
		waits   bool
		token   bool
	}{
		"retrying":             {"", store.Outcome{State: rotation.ItemRetrying, Class: rotation.ClassPlatform, Detail: "503", Delay: time.Hour}, true, false},
		"unknown":              {"", store.Outcome{State: rotation.ItemUnknown, Class: rotation.ClassNetwork, Detail: "lost", Delay: time.Hour}, true, false},
		"parked":               {"", store.Outcome{State: rotation.ItemParked, Class: rotation.ClassScope, Detail: "403"}, false, false},
		"skipped":              {"", store.Outcome{State: rotation.ItemSkipped, Class: rotation.ClassUninstalled, Detail: "gone"}, false, false},
		"proof to be repeated": {rotation.ItemExchanged, store.Outcome{State: rotation.ItemExchanged, Class: rotation.ClassNetwork, Detail: "reset", Delay: time.Hour}, true, true},
		"proof given up":       {rotation.ItemExchanged, store.Outcome{State: rotation.ItemParked, Class: rotation.ClassWrongShop, Detail: "another shop's"}, false, true},
		"token refused":        {rotation.ItemExchanged, store.Outcome{State: rotation.ItemRetrying, Class: rotation.ClassUnauthorized, Detail: "401", Delay: time.Hour}, true, false},
		"skipped at the proof": {rotation.ItemExchanged, store.Outcome{State: rotation.ItemSkipped, Class: rotation.ClassFrozen, Detail: "423"}, false, false},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, _, claims := claimAll(t, 1)
			if tt.after == rotation.ItemExchanged {
				r.write(t, store.Written, exchanged(claims[0]))
			}
			o := tt.outcome
			o.Claim, o.Latency = claims[0], 7*time.Millisecond
			r.write(t, store.Written, o)
			got := r.item(t, claims[0].Domain)
			if got.State != o.State || got.Class != o.Class || got.Detail != o.Detail || got.LatencyMS != 7 {
				t.Errorf("item %+v", got)
			}
			if tt.waits != (got.NextAttemptAt != nil) {
				t.Errorf("the next attempt is at %v", got.NextAttemptAt)
			}
			if got.NextAttemptAt != nil {
				if in := time.Until(*got.NextAttemptAt); in < 59*time.Minute || in > 61*time.Minute {
					t.Errorf("the next attempt is in %s", in)
				}
			}
			if kept := ask[bool](t, r.DB, "select new_token is not null from rotator.items"); kept[0] != tt.token {
				t.Errorf("the unproven token is kept: %t", kept[0])
			}
			if r.token(t, claims[0].Domain) != "token-0" {
				t.Error("the shop's token changed")
			}
		})
	}
}

func TestALateOutcomeIsFenced(t *testing.T) {
	t.Parallel()
	outcomes := map[string]func(*rig, store.Claim) store.Outcome{
		"exchanged": func(_ *rig, c store.Claim) store.Outcome { return exchanged(c) },
		"proven":    func(r *rig, c store.Claim) store.Outcome { return r.proven(c) },
		"in place":  func(_ *rig, c store.Claim) store.Outcome { return store.Outcome{Claim: c, State: rotation.ItemProven} },
		"retrying": func(_ *rig, c store.Claim) store.Outcome {
			return store.Outcome{Claim: c, State: rotation.ItemRetrying, Class: rotation.ClassNetwork, Detail: "late"}
		},
		"parked": func(_ *rig, c store.Claim) store.Outcome {
			return store.Outcome{Claim: c, State: rotation.ItemParked, Class: rotation.ClassScope, Detail: "late"}
		},
	}
	for name, outcome := range outcomes {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, l, older := claimAll(t, 1)
			newer := r.claim(t, r.take(t, l.Grant))
			if len(newer) != 1 || newer[0].Attempt != older[0].Attempt+1 {
				t.Fatalf("claimed again: %+v", newer)
			}
			before := r.item(t, older[0].Domain)
			r.write(t, store.Fenced, outcome(r, older[0]))
			if diff := cmp.Diff(before, r.item(t, older[0].Domain)); diff != "" {
				t.Errorf("the late outcome changed the item:\n%s", diff)
			}
			if r.token(t, older[0].Domain) != "token-0" {
				t.Error("the late outcome changed the shop's token")
			}
			r.prove(t, newer...)
			if got := r.token(t, older[0].Domain); got != fresh(newer[0]).Reveal() {
				t.Error("the newer attempt's token is not the shop's")
			}
		})
	}
}

// A superseded worker's exchange may have killed the token that was proven.
func TestALateExchangeMakesTheProofDueAgain(t *testing.T) {
	t.Parallel()
	for _, when := range []string{"before the proof", "after the proof"} {
		t.Run(when, func(t *testing.T) {
			t.Parallel()
			r, l, older := claimAll(t, 1)
			lease := r.take(t, l.Grant)
			newer := r.claim(t, lease)[0]
			if when == "before the proof" {
				r.write(t, store.Written, exchanged(newer))
				r.write(t, store.Fenced, exchanged(older[0]))
				r.write(t, store.Written, r.proven(newer))
			} else {
				r.prove(t, newer)
				r.write(t, store.Fenced, exchanged(older[0]))
			}
			if ok, _, err := r.SettleBatch(t.Context(), lease); err != nil || !ok {
				t.Fatal(ok, err)
			}
			if s := r.snapshot(t, store.Engine); s.LateExchanges != 1 {
				t.Fatalf("%d late exchanges, want 1", s.LateExchanges)
			}
			r.sweep(t)
			again := r.again(t)
			if again.Was != rotation.ItemUnknown || again.SecretID != r.run.NewSecretID || !again.Current.Equal(fresh(newer)) {
				t.Errorf("claimed again as %+v", again)
			}
			r.write(t, store.Written, store.Outcome{Claim: again, State: rotation.ItemProven})
			s := r.snapshot(t, store.Engine)
			if s.LateExchanges != 0 || s.Counts.Proven != 1 {
				t.Errorf("afterwards: %d late, %+v", s.LateExchanges, s.Counts)
			}
		})
	}
}

func TestAProofThatWasLateToTheImportIsReplaced(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 5)
	var group []store.Outcome
	for _, c := range claims {
		group = append(group, exchanged(c))
	}
	r.write(t, store.Written, group...)
	// Meanwhile an operator imports other tokens for two of the shops.
	r.replace(t, claims[1].Domain, "imported-1", r.run.OldSecretID)
	r.replace(t, claims[3].Domain, "imported-3", r.run.OldSecretID)
	for i, c := range claims {
		group[i] = r.proven(c)
	}
	group[4] = store.Outcome{Claim: claims[4], State: rotation.ItemParked, Class: rotation.ClassScope, Detail: "403"}
	verdicts, err := r.WriteOutcomes(t.Context(), group)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.Verdict{store.Written, store.Replaced, store.Written, store.Replaced, store.Written}, verdicts); diff != "" {
		t.Fatalf("verdicts (-want +got):\n%s", diff)
	}
	for i, want := range []string{fresh(claims[0]).Reveal(), "imported-1", fresh(claims[2]).Reveal(), "imported-3", "token-4"} {
		if r.token(t, claims[i].Domain) != want {
			t.Errorf("shop %d has another token", i)
		}
	}
	for _, i := range []int{1, 3} {
		got := r.item(t, claims[i].Domain)
		if got.State != rotation.ItemUnknown || got.NextAttemptAt == nil || got.NextAttemptAt.After(time.Now().Add(time.Minute)) {
			t.Errorf("shop %d is not due: %+v", i, got)
		}
	}
	if kept := ask[int](t, r.DB, "select count(*)::int from rotator.items where new_token is not null and state <> 'parked'"); kept[0] != 0 {
		t.Errorf("%d tokens of replaced attempts are kept", kept[0])
	}
	// The next attempt sees the imported token and replaces it.
	var due []store.Due
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		due, err = tx.DispatchDue(ctx, r.run.ID, 10, time.Minute)
		return err
	})
	for _, d := range due {
		c, err := r.ClaimDue(t.Context(), d, r.worker, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		if c.Current.Reveal() != fmt.Sprintf("imported-%d", c.Position-1) {
			t.Error("the attempt did not see the imported token")
		}
		r.prove(t, c)
	}
}

func TestProvenInPlace(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 2)
	r.replace(t, claims[1].Domain, "imported", r.run.OldSecretID)
	before := r.shop(t, claims[0].Domain)
	verdicts, err := r.WriteOutcomes(t.Context(), []store.Outcome{
		{Claim: claims[0], State: rotation.ItemProven}, {Claim: claims[1], State: rotation.ItemProven},
	})
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff([]store.Verdict{store.Written, store.Replaced}, verdicts); diff != "" {
		t.Errorf("verdicts (-want +got):\n%s", diff)
	}
	if diff := cmp.Diff(before, r.shop(t, claims[0].Domain)); diff != "" {
		t.Errorf("a proof in place changed the shop:\n%s", diff)
	}
	if got := r.item(t, claims[0].Domain); got.State != rotation.ItemProven || got.ProvenAt == nil {
		t.Errorf("item %+v", got)
	}
	if got := r.item(t, claims[1].Domain); got.State != rotation.ItemUnknown || got.NextAttemptAt == nil {
		t.Errorf("the replaced one is not due: %+v", got)
	}
}

// After a lost answer to a commit the group is written again.
func TestAGroupWrittenTwiceDoesNoHarm(t *testing.T) {
	t.Parallel()
	r, _, claims := claimAll(t, 3)
	r.write(t, store.Written, exchanged(claims[0]))
	group := []store.Outcome{
		r.proven(claims[0]),
		{Claim: claims[1], State: rotation.ItemProven},
		{Claim: claims[2], State: rotation.ItemParked, Class: rotation.ClassScope, Detail: "403"},
	}
	r.write(t, store.Written, group...)
	dump := func() []string {
		return ask[string](t, r.DB, "select concat(i, s) from rotator.items i join rotator.shops s on s.id = i.shop_id order by i.position")
	}
	before := dump()
	r.write(t, store.Fenced, group...)
	if diff := cmp.Diff(before, dump()); diff != "" {
		t.Errorf("the second write changed:\n%s", diff)
	}
}

func TestAnExchangeWrittenTwiceKeepsItsToken(t *testing.T) {
	t.Parallel()
	r, l, claims := claimAll(t, 1)
	r.write(t, store.Written, exchanged(claims[0]))
	r.write(t, store.Written, exchanged(claims[0]))
	again := r.claim(t, r.take(t, l.Grant))
	if len(again) != 1 || !again[0].New.Equal(fresh(claims[0])) {
		t.Fatalf("claimed again: %d", len(again))
	}
	p := r.proven(again[0])
	p.New = again[0].New
	r.write(t, store.Written, p)
	if r.token(t, claims[0].Domain) != fresh(claims[0]).Reveal() {
		t.Error("another token was swapped in")
	}
}

// Of an item proven twice the token of the old secret must be the one that the
// check after the revoke expects to be dead.
func TestTheFirstOldTokenIsKept(t *testing.T) {
	t.Parallel()
	r, l, older := claimAll(t, 1)
	lease := r.take(t, l.Grant)
	newer := r.claim(t, lease)[0]
	r.prove(t, newer)
	r.write(t, store.Fenced, exchanged(older[0]))
	if ok, _, err := r.SettleBatch(t.Context(), lease); err != nil || !ok {
		t.Fatal(ok, err)
	}
	r.sweep(t)
	r.prove(t, r.again(t)) // the proven token was dead: exchanged once more
	r.enter(t, rotation.PhaseRevoked)
	checks, err := r.NextChecks(t.Context(), r.run.ID, 0, 10)
	if err != nil || len(checks) != 1 {
		t.Fatalf("%d checks, %v", len(checks), err)
	}
	if checks[0].Old.Reveal() != "token-0" {
		t.Error("the check looks at a token of the new secret and expects it dead")
	}
}

func TestFlushersAndTakeoversAtOnce(t *testing.T) {
	t.Parallel()
	r, l, claims := claimAll(t, 120)
	var all sync.WaitGroup
	for w := range 4 {
		all.Go(func() {
			for i := w; i < len(claims); i += 4 {
				group := []store.Outcome{exchanged(claims[i]), exchanged(claims[(i*37+11)%len(claims)])}
				if group[0].Claim.Position == group[1].Claim.Position {
					group = group[:1]
				}
				for _, group := range [][]store.Outcome{group, {r.proven(claims[i]), giveUp(claims[(i*37+11)%len(claims)])}} {
					if _, err := r.WriteOutcomes(context.Background(), group); err != nil {
						t.Error(err)
					}
				}
			}
		})
	}
	all.Go(func() {
		for range 5 {
			if _, err := r.TakeBatch(context.Background(), l.Grant, r.worker); err != nil {
				t.Error(err)
			}
		}
	})
	all.Wait()
	lost := ask[int](t, r.DB, "select count(*)::int from rotator.items where state not in ('exchanged', 'unknown', 'proven', 'parked')")
	if lost[0] != 0 {
		t.Errorf("%d items are neither settled, exchanged nor unknown", lost[0])
	}
	if dropped := ask[int](t, r.DB, "select count(*)::int from rotator.items where state = 'exchanged' and new_token is null"); dropped[0] != 0 {
		t.Errorf("%d tokens were dropped", dropped[0])
	}
}

// giveUp leaves a token that cannot be proven to a person.
func giveUp(c store.Claim) store.Outcome {
	return store.Outcome{Claim: c, State: rotation.ItemParked, Class: rotation.ClassPlatform, Detail: "503"}
}

func TestASealedValueOpensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	r, l, claims := claimAll(t, 2)
	r.write(t, store.Written, exchanged(claims[0]), exchanged(claims[1]))
	l = r.take(t, l.Grant)
	exec(t, r.DB, `update rotator.items a set new_token = b.new_token from rotator.items b where a.position = 1 and b.position = 2`)
	again := r.claim(t, l)
	if len(again) != 2 {
		t.Fatalf("one row that does not open stops the others: %d claims", len(again))
	}
	if again[0].Broken == "" || !again[0].New.IsZero() {
		t.Error("a new token opens in another item's row")
	}
	if leaks(again[0].Broken, fresh(claims[1]), claims[0].Current) {
		t.Error("the reason shows a token")
	}
	if again[1].Broken != "" || !again[1].New.Equal(fresh(claims[1])) {
		t.Errorf("the other's claim is broken: %q", again[1].Broken)
	}
	exec(t, r.DB, `update rotator.shops a set access_token = b.access_token from rotator.shops b where a.domain = 'shop-0.myharavan.com' and b.domain = 'shop-1.myharavan.com'`)
	if _, err := r.ShopToken(t.Context(), r.app.ID, "shop-0.myharavan.com"); err == nil {
		t.Error("a shop's token opens in another shop's row")
	}
	exec(t, r.DB, "update rotator.items set new_token = null, state = 'unknown'")
	again = r.claim(t, l)
	if len(again) != 2 || again[0].Broken == "" || !again[0].Current.IsZero() || again[1].Broken != "" || again[1].Current.Reveal() != "token-1" {
		t.Errorf("claimed with a token that does not open: %d claims", len(again))
	}
	exec(t, r.DB, `update rotator.shops set legacy_token = access_token, legacy_kind = 'token', legacy_token_fingerprint = 'x', access_token = null, access_token_fingerprint = null where domain = 'shop-1.myharavan.com'`)
	if err := r.ExportShops(t.Context(), r.app.ID, nil); err == nil {
		t.Error("a token opens in another column")
	}
	exec(t, r.DB, `update rotator.secrets a set value = b.value from rotator.secrets b where a.version = 1 and b.version = 2`)
	if _, err := r.SecretValue(t.Context(), r.run.OldSecretID); err == nil {
		t.Error("a secret opens as another version")
	}
	rt := r.arm(t, "refresh-1")
	exec(t, r.DB, "update rotator.refresh_tokens set fingerprint = 'x'")
	if _, err := r.RefreshTokenValue(t.Context(), rt.ID); err == nil {
		t.Error("a refresh token opens under another fingerprint")
	}
}

// leaks reports whether text shows one of the values.
func leaks(text string, values ...secret.String) bool {
	for _, v := range values {
		if contains(text, v.Reveal()) {
			return true
		}
	}
	return false
}
