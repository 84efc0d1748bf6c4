package main

import (
	"strings"
	"sync"
	"testing"
)

// TestWorkersOnceAtTheSameTime: cron may start one while another still works.
func TestWorkersOnceAtTheSameTime(t *testing.T) {
	t.Parallel()
	r, sim, _ := checkedRig(t)
	fresh, err := sim.CreateSecret()
	if err != nil {
		t.Fatal(err)
	}
	r.ok(fresh.Value, "secret", "add", "--file", "-")
	once := func() result { return r.run("", "worker", "--once", "--quiet") }
	silent := func(got result, code int) {
		t.Helper()
		if got.code != code || got.stdout+got.stderr != "" {
			t.Errorf("exit code %d, want %d\n%s%s", got.code, code, got.stdout, got.stderr)
		}
	}
	silent(once(), exitDone)
	r.ok("", "rotation", "start")
	silent(once(), exitWaiting)
	r.ok("", "rotation", "confirm", "webhooks_dual", "--note", "a")
	r.ok("", "rotation", "confirm", "oauth_switched", "--note", "b")
	r.ok(sim.CreateRefreshToken().Value, "rotation", "arm", "--file", "-")
	var both sync.WaitGroup
	for range 2 {
		both.Go(func() { silent(once(), exitWaiting) })
	}
	both.Wait()
	if got := r.ok("", "rotation", "status", "--json"); !strings.Contains(got.stdout, `"phase":"proven"`) {
		t.Errorf("status: %s", got.stdout)
	}
	for domain, c := range sim.EachCount {
		if c.Minted > 1 {
			t.Errorf("%s got %d tokens", domain, c.Minted)
		}
	}
	if c := sim.Counts(); c.Misuse > 0 || c.Exchanges != 30 {
		t.Errorf("%+v, %v", c, sim.Misuse())
	}
	// A human step waits: said when asked, with the same exit code.
	if got := r.run("", "worker", "--once", "--log-level", "warn"); got.code != exitWaiting || !strings.Contains(got.stdout, "confirm revoked") {
		t.Errorf("exit code %d: %s", got.code, got.stdout)
	}
}

func TestQuietWorkerRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"--quiet"}, {"--once", "--quiet", "--json"}} {
		if got := runOnce(t.Context(), nil, "", append([]string{"worker"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: exit code %d", args, got.code)
		}
	}
}
