package main

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// TestAnOlderRefreshTokenTakesNoPlaceUnasked: whoever enters the token of an hour ago
// by mistake would lose the better one, whose value is shredded.
func TestAnOlderRefreshTokenTakesNoPlaceUnasked(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 3})
	r.toArmed(sim)
	database, _ := strings.CutPrefix(r.env[0], "DATABASE_URL=")
	older, better := sim.CreateRefreshToken().Value, sim.CreateRefreshToken().Value
	window := func(want string) {
		t.Helper()
		if got := r.run("", "rotation", "status"); !strings.Contains(got.stdout, "window   "+want) {
			t.Errorf("the window is not %s:\n%s", want, got.stdout)
		}
	}
	r.ok(older, "rotation", "arm", "--age", "30m30s", "--no-plan")
	r.ok(better, "rotation", "arm", "--age", "10s", "--no-plan")
	for _, args := range [][]string{{"--no-plan"}, {"--no-plan", "--age", "10m"}, {}} { // the plan is not asked for
		got := r.exits(exitRefused, older, append([]string{"rotation", "arm"}, args...)...)
		for _, want := range []string{"arm is refused: this refresh token was first entered in run 1 at ", "and lasts until ", "(29m", "the one in use (fingerprint ", "lasts until ", "(59m", "give --replace"} {
			if !strings.Contains(got.stderr, want) {
				t.Errorf("%v: no word of %q:\n%s", args, want, got.stderr)
			}
		}
	}
	window("59m")
	// In use, it may be shortened as before.
	r.ok(better, "rotation", "arm", "--no-plan", "--age", "15m")
	window("4")
	r.ok(older, "rotation", "arm", "--no-plan", "--replace")
	window("29m")
	// The one that lasts longer is welcome back.
	r.ok(better, "rotation", "arm", "--age", "10s", "--no-plan")
	window("4")
	must(t, sqlOn(database, "update rotator.refresh_tokens set refused_at = now() where id = (select max(id) from rotator.refresh_tokens)"))
	r.ok(older, "rotation", "arm", "--no-plan")
	window("29m")
	r.exits(exitRefused, better, "rotation", "arm", "--no-plan", "--replace")
	must(t, sqlOn(database, "update rotator.refresh_tokens set refused_at = null, expires_at = now() - interval '1 minute' where id = (select max(id) from rotator.refresh_tokens)"))
	r.ok(sim.CreateRefreshToken().Value, "rotation", "arm", "--no-plan", "--age", "50m")
}
