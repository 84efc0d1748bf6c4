package store_test

import (
	"context"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// groups counts the stored groups of tokens that are not proven yet.
func (r *rig) groups(t *testing.T) int {
	t.Helper()
	return ask[int](t, r.DB, "select count(*)::int from rotator.minted")[0]
}

func (r *rig) states(t *testing.T, claims ...store.Claim) (all []rotation.ItemState) {
	t.Helper()
	for _, c := range claims {
		all = append(all, r.item(t, c.Domain).State)
	}
	return all
}

// A worker is killed after the platform minted tokens that only its groups have.
func TestTakingOverFindsTokensThatAreOnlyInGroups(t *testing.T) {
	t.Parallel()
	r, l, c := claimAll(t, 5)
	r.write(t, store.Written, exchanged(c[0]), exchanged(c[3]))
	r.write(t, store.Written, exchanged(c[1]))
	r.write(t, store.Written, r.proven(c[1]))
	next := r.take(t, l.Grant)
	want := []rotation.ItemState{rotation.ItemExchanged, rotation.ItemProven, rotation.ItemUnknown, rotation.ItemExchanged, rotation.ItemUnknown}
	if diff := cmp.Diff(want, r.states(t, c...)); diff != "" {
		t.Errorf("states after the take-over (-want +got):\n%s", diff)
	}
	if left := r.groups(t); left != 0 {
		t.Errorf("%d groups are left", left)
	}
	again := r.claim(t, next)
	if len(again) != 4 {
		t.Fatalf("claimed %d", len(again))
	}
	for _, a := range again {
		if a.Attempt != 2 || a.Tries != 2 || a.Fence != 0 {
			t.Errorf("position %d: %+v", a.Position, a)
		}
		if has := a.Was == rotation.ItemExchanged; has != !a.New.IsZero() || has && !a.New.Equal(fresh(c[a.Position-1])) {
			t.Errorf("position %d, %s, was handed another token", a.Position, a.Was)
		}
	}
	p := r.proven(again[0])
	p.New = again[0].New
	r.write(t, store.Written, p)
	if r.token(t, c[0].Domain) != fresh(c[0]).Reveal() {
		t.Error("the token did not become the shop's")
	}
}

// A worker that was taken for dead comes back with answers of its calls.
func TestASupersededWorkersGroupIsLate(t *testing.T) {
	t.Parallel()
	r, l, older := claimAll(t, 3)
	r.write(t, store.Written, exchanged(older[2]))
	newer := r.claim(t, r.take(t, l.Grant))
	r.write(t, store.Fenced, exchanged(older[0]))
	if r.groups(t) != 0 {
		t.Error("the late token was stored as if it counted")
	}
	if late := ask[int64](t, r.DB, "select position from rotator.items where late_exchange_at is not null"); !cmp.Equal(late, []int64{older[0].Position}) {
		t.Errorf("positions %v are marked as late", late)
	}
	r.write(t, store.Fenced, r.proven(older[2]))
	r.prove(t, newer[0], newer[1])
	p := r.proven(newer[2])
	p.New = newer[2].New
	r.write(t, store.Written, p)
	if got := r.snapshot(t, store.Counted).LateExchanges; got != 1 {
		t.Errorf("%d shops are to be proven again, want 1", got)
	}
}

// Until somebody claims the item, the attempt that minted its token may end.
func TestAProofBetweenTakeOverAndClaimCounts(t *testing.T) {
	t.Parallel()
	r, l, c := claimAll(t, 2)
	r.write(t, store.Written, exchanged(c[0]))
	next := r.take(t, l.Grant)
	r.write(t, store.Written, r.proven(c[0]))
	if r.token(t, c[0].Domain) != fresh(c[0]).Reveal() {
		t.Error("the token was not swapped")
	}
	if again := r.claim(t, next); len(again) != 1 || again[0].Position != c[1].Position {
		t.Errorf("claimed %+v", again)
	}
}

func TestLeavingABatchKeepsTokensAndPutsTheUnsentBack(t *testing.T) {
	t.Parallel()
	r, l, c := claimAll(t, 3)
	r.write(t, store.Written, exchanged(c[0]))
	if got := r.states(t, c...); !cmp.Equal(got, []rotation.ItemState{rotation.ItemExchanged, rotation.ItemClaimed, rotation.ItemClaimed}) {
		t.Errorf("while they are worked the shops are %v", got)
	}
	if n := r.snapshot(t, store.Counted).Counts; n.Exchanged != 1 || n.Claimed != 2 || n.Pending != 0 || n.Total != 3 {
		t.Errorf("counts %+v", n)
	}
	if err := r.LeaveBatch(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if got := r.states(t, c...); !cmp.Equal(got, []rotation.ItemState{rotation.ItemExchanged, rotation.ItemPending, rotation.ItemPending}) {
		t.Errorf("after leaving the shops are %v", got)
	}
	again := r.claim(t, r.take(t, l.Grant))
	if len(again) != 3 || !again[0].New.Equal(fresh(c[0])) {
		t.Fatalf("claimed %d", len(again))
	}
	if a := again[1]; a.Was != rotation.ItemPending || a.Attempt != 1 || a.Acted {
		t.Errorf("a shop that was not sent: %+v", a)
	}
}

func TestASettledBatchLeavesNoGroups(t *testing.T) {
	t.Parallel()
	r, l, c := claimAll(t, 3)
	other := newRigIn(t, r.DB, "other", 1, r.run.Settings)
	other.walk(t)
	other.enter(t, rotation.PhaseExchanging)
	others := other.claim(t, other.take(t, other.release(t, 1)[0]))
	other.write(t, store.Written, exchanged(others[0]))
	r.prove(t, c[0], c[1])
	r.write(t, store.Written, exchanged(c[2]))
	if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || ok {
		t.Fatalf("settled with an unproven token: %t, %v", ok, err)
	}
	if r.groups(t) != 3 {
		t.Fatalf("%d groups, want 3", r.groups(t))
	}
	r.write(t, store.Written, r.proven(c[2]))
	if ok, last, err := r.SettleBatch(t.Context(), l); err != nil || !ok || !last {
		t.Fatal(ok, last, err)
	}
	if r.groups(t) != 1 {
		t.Errorf("%d groups are left, want the other run's", r.groups(t))
	}
}

// A group that was moved to another batch, or altered, is as good as lost: its
// shops are exchanged again, and the others' tokens are found.
func TestAGroupOpensOnlyInItsPlace(t *testing.T) {
	t.Parallel()
	r, l, c := claimAll(t, 2)
	r.write(t, store.Written, exchanged(c[0]))
	exec(t, r.DB, "update rotator.minted set fence = fence + 1")
	r.write(t, store.Written, exchanged(c[1]))
	r.take(t, l.Grant)
	if got := r.states(t, c...); !cmp.Equal(got, []rotation.ItemState{rotation.ItemUnknown, rotation.ItemExchanged}) {
		t.Errorf("the shops are %v", got)
	}
	if r.groups(t) != 1 {
		t.Error("the group that does not open is not kept for a keyring that opens it")
	}
}

// Of a group, only those move to their items that a person is to look at, or
// that are proven later; the others' proofs are still taken.
func TestGivingOneUpDoesNotDisturbItsGroup(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 3)
	r.write(t, store.Written, exchanged(c[0]), exchanged(c[1]), exchanged(c[2]))
	r.write(t, store.Written, giveUp(c[0]), r.proven(c[1]))
	r.write(t, store.Written, r.proven(c[2]))
	if got := r.states(t, c...); !cmp.Equal(got, []rotation.ItemState{rotation.ItemParked, rotation.ItemProven, rotation.ItemProven}) {
		t.Errorf("the shops are %v", got)
	}
	r.cancel(t)
	for _, shop := range c {
		if r.token(t, shop.Domain) != fresh(shop).Reveal() {
			t.Errorf("the new token of position %d was dropped", shop.Position)
		}
	}
}

// Flushers write groups side by side: one that waited for the shops of another
// while that waits for its own would cost both a second, again and again.
func TestGivingOneUpWaitsForNoOtherShopOfItsGroup(t *testing.T) {
	t.Parallel()
	r, l, c := claimAll(t, 3)
	r.write(t, store.Written, exchanged(c[0]), exchanged(c[1]), exchanged(c[2]))
	busy, err := r.DB.Pool.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = busy.Rollback(context.WithoutCancel(t.Context())) }()
	if _, err := busy.Exec(t.Context(), "select from rotator.items where position = $1 for update", c[1].Position); err != nil {
		t.Fatal(err)
	}
	if _, err := busy.Exec(t.Context(), "select from rotator.minted for update"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	later := store.Outcome{Claim: c[2], State: rotation.ItemExchanged, Class: rotation.ClassPlatform, Detail: "503", Delay: time.Hour}
	if v, err := r.WriteOutcomes(ctx, []store.Outcome{giveUp(c[0]), later}); err != nil || v[0] != store.Written || v[1] != store.Written {
		t.Fatal(v, err)
	}
	if err := busy.Rollback(t.Context()); err != nil {
		t.Fatal(err)
	}
	// What was left in the group is found as before, and what was moved is not
	// moved again.
	if err := r.LeaveBatch(t.Context(), l); err != nil {
		t.Fatal(err)
	}
	if got := r.states(t, c...); !cmp.Equal(got, []rotation.ItemState{rotation.ItemParked, rotation.ItemExchanged, rotation.ItemExchanged}) {
		t.Errorf("the shops are %v", got)
	}
	if n := ask[int64](t, r.DB, "select position from rotator.items where new_token is not null order by position"); len(n) != 3 || r.groups(t) != 0 {
		t.Errorf("positions %v have a token of their own, %d groups are left", n, r.groups(t))
	}
}
