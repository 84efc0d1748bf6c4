package store_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// What a cancelled run swapped dies with the same old secret as what the next one
// swaps: the app needs both.
func TestTheAppLoadsWhatCancelledRunsSwapped(t *testing.T) {
	t.Parallel()
	r, _, c := claimAll(t, 4)
	r.prove(t, c[0], c[1], c[2])
	first := r.run.ID
	r.cancel(t)
	r.run = r.Run(t, r.app, r.run.Settings)
	toLoad := func() (since int64, n int) {
		s := r.snapshot(t, store.Counted)
		return s.LoadSince, s.ToLoad
	}
	if _, n := toLoad(); n != 0 {
		t.Errorf("%d are to be loaded before anything is proven", n)
	}
	exec(t, r.DB, "update rotator.runs set phase = 'proven' where id = $1", r.run.ID)
	if since, n := toLoad(); since != first || n != 3 {
		t.Errorf("%d are to be loaded since run %d, want 3 since run %d", n, since, first)
	}
	exec(t, r.DB, "update rotator.runs set phase = 'revoked', check_stride = 1 where id = $1", r.run.ID)
	if _, n := toLoad(); n != 0 {
		t.Errorf("%d are to be loaded into an app that a planned run went on without", n)
	}
	exec(t, r.DB, "update rotator.runs set mode = 'breach' where id = $1", r.run.ID)
	if since, n := toLoad(); since != first || n != 3 {
		t.Errorf("in a breach %d are to be loaded since run %d, want 3 since run %d", n, since, first)
	}
	// A run after one that is closed has only its own.
	exec(t, r.DB, "update rotator.runs set cancelled_at = null, closed_at = now(), phase = 'closed' where id = $1", first)
	if since, n := toLoad(); since != r.run.ID || n != 0 {
		t.Errorf("after a run that is closed %d are to be loaded since run %d, want none since run %d", n, since, r.run.ID)
	}
}

// From the revoke of a breach on the shops that a cancelled run exchanged wait for
// nothing but the app.
func TestTheAppLoadsWhatABreachSpares(t *testing.T) {
	t.Parallel()
	r := newBreach(t, 6)
	first := r.run.ID - 1
	exec(t, r.DB, "update rotator.shops set rotated_run = $1, rotated_at = now() where domain <= 'shop-3'", first)
	r.spared(t, "shop-0.myharavan.com", "shop-1.myharavan.com") // the other is of the leaked secret
	toLoad := func(want int) {
		t.Helper()
		if s := r.snapshot(t, store.Counted); s.ToLoad != want || want > 0 && s.LoadSince != first {
			t.Errorf("%s: %d are to be loaded since run %d, want %d since run %d", s.Phase, s.ToLoad, s.LoadSince, want, first)
		}
	}
	spares := func(domain string, want bool, since int64) {
		t.Helper()
		spared, from, err := r.Spared(t.Context(), r.run.ID, domain)
		if err != nil || spared != want || from != since {
			t.Errorf("%s is spared: %v, to be loaded since run %d (%v), want %v and %d", domain, spared, from, err, want, since)
		}
	}
	toLoad(0)
	r.enter(t, rotation.PhaseContained)
	toLoad(2)
	exec(t, r.DB, "update rotator.shops set excluded_at = now(), excluded_reason = 'x' where domain = 'shop-1.myharavan.com'")
	toLoad(1)
	spares("shop-1.myharavan.com", false, 0) // it has no use for a token
	exec(t, r.DB, "update rotator.shops set excluded_at = null, excluded_reason = null where domain = 'shop-1.myharavan.com'")
	r.walk(t)
	r.enter(t, rotation.PhaseOAuthSwitched)
	toLoad(2)
	spares("shop-0.myharavan.com", true, first)
	spares("shop-2.myharavan.com", false, 0)
	exec(t, r.DB, "update rotator.shops set bound_key = '1' where domain = 'shop-1.myharavan.com'")
	toLoad(1)
	spares("shop-1.myharavan.com", true, 0) // its row has the token
	// What was made before runs were noted is of one of those since the last that closed.
	exec(t, r.DB, "update rotator.shops set rotated_run = null where domain = 'shop-0.myharavan.com'")
	toLoad(1)
	spares("shop-0.myharavan.com", true, first)
	exec(t, r.DB, "update rotator.items set class = 'unauthorized' where position = 1")
	toLoad(0) // it is down
	spares("shop-0.myharavan.com", false, 0)
}

// A shop whose former token outlives the revoke is named, a fleet of them is not.
func TestFewOldTokensThatAnswerAreNamed(t *testing.T) {
	t.Parallel()
	r, claims := revoked(t, 8)
	alive := func(n int) []string {
		exec(t, r.DB, "update rotator.items set old_dead = position > $1, new_alive = true, checked_at = now()", n)
		s := r.snapshot(t, store.Engine)
		if s.Revocation != (rotation.Revocation{Planned: 8, OldDead: 8 - n, OldAlive: n, NewAlive: 8, NewKnown: 8}) {
			t.Fatalf("counts %+v", s.Revocation)
		}
		return s.AliveShops
	}
	for n, want := range map[int]int{0: 0, 2: 2, 5: 5, 6: 0} {
		if got := alive(n); len(got) != want || want > 0 && got[1] != claims[1].Domain {
			t.Errorf("of %d %v are named, want %d", n, got, want)
		}
	}
}
