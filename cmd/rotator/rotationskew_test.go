package main

import (
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// TestClocksThatDiffer: whoever enters a refresh token is told, with a plan or
// without, and reads its end by the clock that hangs beside them.
func TestClocksThatDiffer(t *testing.T) {
	t.Parallel()
	here := regexp.MustCompile(`which is (\d\d:\d\d:\d\d) \S+ here; (59m\d\ds|1h0m0s) left`)
	for name, ahead := range map[string]time.Duration{"behind": -3 * time.Minute, "ahead": 3 * time.Minute} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var lately []time.Duration
			for s := range 30 {
				lately = append(lately, time.Duration(s)*time.Second)
			}
			url, clock := storetest.SkewedURL(t)
			clock(ahead)
			r, sim := newFleetOn(t, newRigOn(t, url), haravansim.Options{Shops: 5})
			if got := r.run("", "doctor"); !strings.Contains(got.stdout, "the database's clock is off") {
				t.Errorf("the doctor sees nothing:\n%s", got.stdout)
			}
			r.ok("", "rotation", "start")
			r.ok("", "rotation", "confirm", "webhooks_dual", "--note", "deployed")
			r.ok("", "rotation", "confirm", "oauth_switched", "--note", "deployed")
			for _, args := range [][]string{{"--no-plan"}, {}} {
				got := r.exits(exitDone, sim.CreateRefreshToken().Value, append([]string{"rotation", "arm"}, args...)...)
				if !strings.Contains(got.stderr, "warning: the database's clock is 3m0s away from this machine's") {
					t.Errorf("arm %v does not warn:\n%s", args, got.stderr)
				}
				said := here.FindStringSubmatch(got.stdout)
				if said == nil {
					t.Fatalf("arm %v does not say when it ends:\n%s", args, got.stdout)
				}
				if !slices.ContainsFunc(lately, func(ago time.Duration) bool {
					return time.Now().Add(time.Hour-ago).Format(time.TimeOnly) == said[1]
				}) {
					t.Errorf("arm %v says that it ends at %s, which is not an hour from now", args, said[1])
				}
			}
			r.exits(exitWaiting, "", "worker", "--once")
			if got := r.run("", "rotation", "status"); !strings.Contains(got.stdout, " 5/5 proven") {
				t.Errorf("the run is not proven:\n%s", got.stdout)
			}
		})
	}
}
