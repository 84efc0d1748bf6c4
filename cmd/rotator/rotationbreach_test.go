package main

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/rotation"
)

// TestNoStepOfABreachShowsASecret drives a breach run, with a new secret that was
// entered wrongly, and searches all that was printed and logged.
func TestNoStepOfABreachShowsASecret(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 60, Seed: 12, Faults: haravansim.Hostile(), Knobs: haravansim.Knobs{MaxLiveSecrets: 3}})
	must(t, discard(sim, 2)) // what is stored as version 2 is not the app's any more
	right, err := sim.CreateSecret()
	must(t, err)
	refresh := sim.CreateRefreshToken().Value
	values := []string{refresh}
	for _, s := range sim.Secrets() {
		values = append(values, s.Value)
	}
	note := func() {
		for s := range sim.Shops {
			values = append(values, s.AccessToken)
		}
	}
	note()
	var said bytes.Buffer
	do := func(stdin string, line ...string) result {
		got := r.run(stdin, line...)
		said.WriteString(got.stdout + got.stderr)
		return got
	}
	do("", "rotation", "plan", "--breach")
	do("", "rotation", "start", "--breach")
	do("", "rotation", "start", "--breach", "--confirm", "main", "--json")
	must(t, discard(sim, 1))
	do("", "rotation", "confirm", "contained", "--note", "n", "--confirm", "main")
	do("", "rotation", "plan", "--breach", "--json")
	do("", "rotation", "confirm", "oauth_switched", "--note", "n")
	do(refresh, "rotation", "arm")
	if got := do("", "worker", "--once"); !strings.Contains(got.stdout, "waiting_for_operator") {
		t.Fatalf("a wrong secret does not hold the run: %s", got.stdout)
	}
	next := func(command string) {
		t.Helper()
		if got := do("", "rotation", "next"); !strings.Contains(got.stdout, " "+command+"\n") {
			t.Errorf("next is not %s: %s", command, got.stdout)
		}
	}
	next("rotator rotation use-secret --confirm main")
	do("", "rotation", "cancel", "--confirm", "main")
	do(right.Value, "secret", "add")
	do("", "rotation", "use-secret")
	do("", "rotation", "use-secret", "--confirm", "main")
	next("rotator rotation resume")
	do("", "rotation", "resume")
	do("", "worker", "--once")
	do("", "rotation", "retry")
	do("", "worker", "--once")
	do("", "rotation", "report")
	do("", "rotation", "report", "--timeline")
	do("", "rotation", "report", "--timeline", "--csv")
	do("", "rotation", "report", "--timeline", "--json")
	do("", "rotation", "confirm", "webhooks_single", "--note", "n")
	do("", "rotation", "confirm", "closed", "--confirm", "main")
	note()
	if got := do("", "rotation", "status", "--json"); !strings.Contains(got.stdout, `"state":"closed"`) {
		t.Errorf("the run did not come to its end: %s", said.String())
	}
	if found := plant(values...).in(said.String()); found != "" {
		at := strings.Index(said.String(), found)
		t.Errorf("%q was shown: …%s…", found, said.String()[max(0, at-300):min(said.Len(), at+100)])
	}
}

// TestABreachAfterACancelledRunCountsWhoIsDown: what the cancelled run exchanged is of
// the secret that lives on, and every command says so.
func TestABreachAfterACancelledRunCountsWhoIsDown(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 20})
	var left []string
	for s := range sim.Shops {
		if len(left) < 12 {
			left = append(left, s.Domain)
		}
	}
	for _, domain := range left {
		r.ok("", "shop", "exclude", domain, "--reason", "later")
	}
	r.toArmed(sim)
	r.exits(exitWaiting, "", "worker", "--once")
	r.ok("", "rotation", "cancel", "--confirm", "main")
	for _, domain := range left {
		r.ok("", "shop", "exclude", domain, "--undo")
	}
	says := func(got result, want ...string) {
		t.Helper()
		for _, w := range want {
			if !strings.Contains(got.stdout+got.stderr, w) {
				t.Errorf("no word of %q:\n%s%s", w, got.stdout, got.stderr)
			}
		}
	}
	says(r.run("", "rotation", "plan", "--breach"), "12 shops are down from the revoke on")
	says(r.exits(exitRefused, "", "rotation", "start", "--breach"), "the revoke of secret version 1, which kills every token that was made with it: 12 shops")
	r.ok("", "rotation", "start", "--breach", "--confirm", "main")
	must(t, discard(sim, 1))
	says(r.ok("", "rotation", "confirm", "contained", "--note", "n", "--confirm", "main"), "12 shops are down until they are exchanged", "8 more are", "`rotator shop export --changed-since 1 --output FILE`")
	says(r.ok("", "shop", "export", "--changed-since", "1", "--output", r.dir+"/load.csv"), "Wrote 8 shops")
	r.exits(exitWaiting, "", "worker", "--once") // takes the shops in
	says(r.exits(exitRefused, "", "rotation", "cancel", "--confirm", "main"), "12 shops are without a working token")
	says(r.ok("", "rotation", "report", "--timeline"), "back: ", "no shop yet")
	says(r.run("", "rotation", "plan", "--breach"), "12 shops are down from the revoke on")
	r.ok("", "rotation", "confirm", "oauth_switched", "--note", "n")
	says(r.run("", "rotation", "status"), "12 shops are down: create a refresh token")
	r.ok(sim.CreateRefreshToken().Value, "rotation", "arm", "--no-plan")
	for shop := range sim.Shops {
		got := r.ok("", "rotation", "explain", shop.Domain)
		if exchanged := !slices.Contains(left, shop.Domain); exchanged != strings.Contains(got.stdout, "`rotator shop export --changed-since 1 --output FILE`") {
			t.Errorf("%s, exchanged before: %v:\n%s", shop.Domain, exchanged, got.stdout)
		}
	}
	r.exits(exitWaiting, "", "worker", "--once")
	got := r.ok("", "rotation", "report", "--timeline")
	says(got, "not exchanged: ", "8 shops, whose token was of the new secret already: down only as long as the app did not have it", "12 shops; the first after", "half of 12 shops are back", "the last of them is back; 0 shops still down")
	says(r.ok("", "rotation", "report", "--timeline", "--json"), `"back":{"shops":12,"waiting":0,`, `"kept":8`)
}

// TestTheForeseenOutageHeedsTheRatesCap: the outage is accepted by what is said of
// it. The start's own cap counts, else the open run's, else the app's.
func TestTheForeseenOutageHeedsTheRatesCap(t *testing.T) {
	t.Parallel()
	r, _ := newFleet(t, haravansim.Options{Shops: 20})
	outage := func(args ...string) rotation.Outage {
		t.Helper()
		got := r.run("", append(args, "--breach", "--sample", "0", "--assume-latency", "10ms", "--json")...)
		var answer struct{ Outage rotation.Outage }
		if err := json.Unmarshal([]byte(got.stdout), &answer); err != nil {
			t.Fatalf("%v: %v\n%s%s", args, err, got.stdout, got.stderr)
		}
		return answer.Outage
	}
	heeds := func(o rotation.Outage, rate, least float64) {
		t.Helper()
		if o.CallsPerSecond != rate || o.ExchangeSeconds < least {
			t.Errorf("%g calls/s and %g s of exchange, want %g and at least %g", o.CallsPerSecond, o.ExchangeSeconds, rate, least)
		}
	}
	heeds(outage("rotation", "plan"), 2000, 0)
	r.ok("", "app", "set", "--name", "main", "--rate", "10")
	heeds(outage("rotation", "plan"), 10, 4)
	heeds(outage("rotation", "start"), 10, 4)
	heeds(outage("rotation", "start", "--rate", "5"), 5, 8)
	heeds(outage("rotation", "start", "--rate", "0"), 2000, 0)
	heeds(outage("rotation", "start", "--rate", "4", "--confirm", "main"), 4, 10)
	heeds(outage("rotation", "plan"), 4, 10)
	r.ok("", "rotation", "tune", "--rate", "0")
	heeds(outage("rotation", "plan"), 2000, 0)
}

// discard revokes a secret at the platform.
func discard(sim *haravansim.Server, version int) error {
	_, err := sim.RevokeSecret(version)
	return err
}
