package main

import (
	"bytes"
	"context"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// newFleet is a rig whose app main has a fleet at a simulated platform, stored
// with both secrets.
func newFleet(t *testing.T, o haravansim.Options) (*rig, *haravansim.Server) {
	t.Helper()
	return newFleetOn(t, newRig(t), o)
}

func newFleetOn(t *testing.T, r *rig, o haravansim.Options) (*rig, *haravansim.Server) {
	t.Helper()
	sim := startSim(t, o)
	r.env = append(r.env, "ROTATOR_API_URL="+sim.PlatformURL, "ROTATOR_LOG_LEVEL=debug")
	fresh, err := sim.CreateSecret()
	if err != nil {
		t.Fatal(err)
	}
	r.ok("", "app", "set", "--name", "main", "--client-id", sim.App().ClientID, "--webhook-grace", "0s", "--check-sample", "all", "--scope", "read_shop")
	r.ok(sim.Secrets()[0].Value, "secret", "add")
	r.ok(fresh.Value, "secret", "add")
	var list strings.Builder
	list.WriteString("domain,access_token\n")
	for s := range sim.Shops {
		list.WriteString(s.Domain + "," + s.AccessToken + "\n")
	}
	r.ok(list.String(), "shop", "import", "-")
	return r, sim
}

// exits runs a command that must end with the code.
func (r *rig) exits(code int, stdin string, args ...string) result {
	r.t.Helper()
	got := r.run(stdin, args...)
	if got.code != code {
		r.t.Fatalf("rotator %v: exit code %d, want %d\n%s%s", args, got.code, code, got.stdout, got.stderr)
	}
	return got
}

// toArmed takes the run to the point where a worker exchanges.
func (r *rig) toArmed(sim *haravansim.Server) {
	r.t.Helper()
	r.ok("", "rotation", "start")
	r.ok("", "rotation", "confirm", "webhooks_dual", "--note", "deployed")
	r.ok("", "rotation", "confirm", "oauth_switched", "--note", "deployed")
	r.ok(sim.CreateRefreshToken().Value, "rotation", "arm", "--no-plan")
}

// TestNoStepOfARotationShowsASecret drives a rotation with everything that can
// go wrong on the way, and searches all that was printed and logged for every
// token and secret that took part.
func TestNoStepOfARotationShowsASecret(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 60, Seed: 11, Faults: haravansim.Hostile()})
	values := []string{"planted/wrong+token", "planted/second+token"}
	for _, s := range sim.Secrets() {
		values = append(values, s.Value)
	}
	for s := range sim.Shops {
		values = append(values, s.AccessToken)
	}
	var said bytes.Buffer
	ran := map[string]bool{}
	do := func(stdin string, line ...string) {
		got := r.run(stdin, line...)
		ran[commandOf(line)] = true
		said.WriteString(got.stdout + got.stderr)
	}
	must(t, sim.AnswerAs("shop-000007.myharavan.com", "shop-000008.myharavan.com"))
	refresh := sim.CreateRefreshToken().Value
	values = append(values, refresh)
	for _, step := range [][]string{
		{"rotation", "plan"},
		{"rotation", "plan", "--json"},
		{"rotation", "start", "--json"},
		{"rotation", "start"},
		{"worker", "--once"},
		{"rotation", "confirm", "planted/wrong+token"},
		{"rotation", "confirm", "webhooks_dual", "--note", "n"},
		{"rotation", "confirm", "oauth_switched", "--note", "n"},
	} {
		do("", step...)
	}
	do("planted/wrong+token", "rotation", "arm")
	do("planted/wrong+token planted/second+token", "rotation", "arm")
	do("", "rotation", "arm", "planted/wrong+token")
	do("", "rotation", "arm", "--token=planted/wrong+token")
	do("", "worker", "--once")
	do("planted/wrong+token", "rotation", "arm")
	do("planted/second+token", "rotation", "arm", "--json", "--assume-latency", "1h")
	for _, line := range [][]string{
		{"rotation", "status"}, {"rotation", "explain"}, {"rotation", "explain", "shop-000001", "--json"}, {"rotation", "report"}, {"rotation", "resume"},
	} {
		do("", line...)
	}
	do(refresh, "rotation", "arm", "--json")
	for _, line := range [][]string{
		{"rotation", "pause"},
		{"rotation", "tune", "--inflight", "8"},
		{"rotation", "resume"},
		{"worker", "--once", "--log-format", "json"},
		{"rotation", "status", "--json"},
		{"rotation", "status", "--watch"},
		{"rotation", "next", "--json"},
		{"rotation", "report", "--json"},
		{"rotation", "report", "--exceptions"},
		{"rotation", "report", "--exceptions", "--json"},
		{"rotation", "explain", "shop-000007"},
		{"rotation", "explain", "planted/wrong+token"},
		{"rotation", "retry", "--json"},
		{"rotation", "retry", "--class", "planted/wrong+token"},
		{"worker", "--once"},
		{"rotation", "waive", "shop-000007", "--reason", "r"},
		{"worker", "--once"},
		{"rotation", "cancel"},
		{"rotation", "use-secret", "--confirm", "main"},
		{"rotation", "report", "--timeline"},
		{"rotation", "report", "--timeline", "--csv"},
		{"rotation", "report", "--timeline", "--json"},
		{"rotation", "confirm", "revoked", "--confirm", "main", "--note", "n"},
		{"rotation", "confirm", "revoked", "--note", "n"},
		{"worker", "--once"},
		{"rotation", "report"},
	} {
		do("", line...)
	}
	for s := range sim.Shops {
		values = append(values, s.AccessToken)
	}
	if !strings.Contains(said.String(), "still answer") {
		t.Fatalf("the rotation did not come to the revoke:\n%s", said.String())
	}
	if found := plant(values...).in(said.String()); found != "" {
		at := strings.Index(said.String(), found)
		t.Errorf("%q was shown: …%s…", found, said.String()[max(0, at-300):min(said.Len(), at+100)])
	}
	rotation, _, err := newRoot(newCLI(nil, nil, nil, nil)).Find([]string{"rotation"})
	must(t, err)
	for _, sub := range append(rotation.Commands(), rotation) {
		if sub.Runnable() && !sub.HasSubCommands() && !ran[sub.CommandPath()] {
			t.Errorf("%s was not searched for secrets", sub.CommandPath())
		}
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// TestInterruptedWatchLeavesTheRunAlone: Ctrl-C ends the watching and nothing
// else. Without a worker nothing moves, which the first line and the last say.
func TestInterruptedWatchLeavesTheRunAlone(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 10, Seed: 2})
	r.toArmed(sim)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	var stderr bytes.Buffer
	stdout := newWatched("armed no shop is in the run yet, no worker is alive: run `rotator worker`\n")
	ended := make(chan int, 1)
	go func() {
		ended <- run(ctx, []string{"rotation", "status", "--watch"}, r.env, strings.NewReader(""), stdout, &stderr)
	}()
	select {
	case <-stdout.seen:
	case code := <-ended:
		t.Fatalf("the watch ended by itself: exit code %d: %s%s", code, stdout, stderr.String())
	}
	cancel()
	const want = "No longer watching; nothing moves: no worker is alive, run `rotator worker`.\n"
	if code := <-ended; code != exitFailed || stderr.String() != want {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
	if got := r.ok("", "rotation", "status", "--json"); !strings.Contains(got.stdout, `"state":"open","phase":"armed"`) {
		t.Errorf("the run: %s", got.stdout)
	}
}

// TestReinstallLinks: a shop whose new token died after its proof gets a link.
func TestReinstallLinks(t *testing.T) {
	t.Parallel()
	r, sim := newFleet(t, haravansim.Options{Shops: 20, Seed: 3})
	r.toArmed(sim)
	r.exits(exitWaiting, "", "worker", "--once")
	must(t, sim.Uninstall("shop-000004.myharavan.com"))
	_, err := sim.RevokeSecret(1)
	must(t, err)
	r.ok("", "rotation", "confirm", "revoked", "--confirm", "main", "--note", "n")
	r.exits(exitExceptions, "", "worker", "--once")
	const link = "https://shop-000004.myharavan.com/admin/oauth/authorize?"
	for _, line := range [][]string{{"report"}, {"report", "--json"}, {"report", "--exceptions"}} {
		got := r.exits(exitExceptions, "", append([]string{"rotation"}, line...)...)
		text := strings.ReplaceAll(got.stdout, `\u0026`, "&")
		if !strings.Contains(text, link) || strings.Contains(text, "shop-000005.myharavan.com/admin") {
			t.Errorf("%v: %s", line, text)
		}
	}
	if got := r.ok("", "rotation", "explain", "shop-000004"); !strings.Contains(got.stdout, "dead after the revoke") {
		t.Error(got.stdout)
	}
	r.ok("", "rotation", "waive", "shop-000004", "--reason", "the merchant left")
	r.exits(exitWaiting, "", "rotation", "next")
	r.ok("", "rotation", "report")
}
