package main

import (
	"encoding/json"
	"math"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// drillAnswer runs a drill that may fail only for its estimate.
func drillAnswer(t *testing.T, args ...string) (drillResult, result) {
	t.Helper()
	got := runOnce(t.Context(), []string{"DATABASE_URL=postgres://nobody@127.0.0.1:1/none"}, "", append([]string{"drill", "--json"}, args...)...)
	var r drillResult
	if err := json.Unmarshal([]byte(got.stdout), &r); err != nil {
		t.Fatalf("exit code %d, %v\n%s%s", got.code, err, got.stdout, got.stderr)
	}
	if r.Real <= 0 || r.ETA <= 0 || r.Ceiling <= 0 || r.P50MS <= 0 || r.ShopsPerMin <= 0 {
		t.Errorf("nothing was measured: %+v", r)
	}
	if off := (r.ETA/r.Real - 1) * 100; math.Abs(off-r.Error) > 1 {
		t.Errorf("the error is %.1f %%, not %.1f", off, r.Error)
	}
	return r, got
}

// TestDrill cannot want a good estimate of a machine that tests share; it wants
// one that says so.
func TestDrill(t *testing.T) {
	t.Parallel()
	r, got := drillAnswer(t, "--shops", "60", "--latency", "5ms", "--hostile", "--seed", "3", "--fleet", "2000000")
	if r.Shops != 60 || r.Proven+r.Skipped != 60 || !r.Hostile || r.CanaryETA == nil || r.Fleet == nil || r.Fleet.Shops != 2_000_000 {
		t.Errorf("%+v", r)
	}
	want := exitDone
	switch {
	case !r.Within:
		want = exitFailed
	case r.Fleet.Verdict.Outlook != rotation.OutlookFits:
		want = exitNoFit
	}
	if got.code != want || r.Within != (math.Abs(r.Error) <= drillWithin) {
		t.Errorf("exit code %d, want %d: %+v\n%s", got.code, want, r, got.stderr)
	}
}

// TestDrillScaled: a slow machine is told to take several windows, and does.
func TestDrillScaled(t *testing.T) {
	t.Parallel()
	r, got := drillAnswer(t, "--scale", "--factor", "360")
	s := r.Scale
	if s == nil || s.Shops != 1_000_000 || s.Factor != 360 || s.Verdict.Outlook == rotation.OutlookFits || s.Verdict.InFlight != r.InFlight {
		t.Fatalf("%+v", r)
	}
	if r.Shops != 1_000_000/360 || r.Window != 10 || r.Proven != r.Shops {
		t.Errorf("%+v", r)
	}
	if fits := got.code == exitDone; fits != (r.Real <= r.Window) || fits != r.FitsWindow {
		t.Errorf("exit code %d: %+v", got.code, r)
	}
}

func TestDrillRefuses(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--shops", "0"},
		{"--fleet", "-1"},
		{"--inflight", "0"},
		{"--latency", "-1s"},
		{"--jitter", "-1s"},
		{"--matrix", "--scale"},
		{"--matrix", "--shops", "5"},
		{"--scale", "--latency", "1s"},
		{"--scale", "--inflight", "5"},
		{"--factor", "9"},
		{"--scale", "--factor", "0"},
		{"--scale", "--factor", "361"},
		{"now"},
	} {
		if got := runOnce(t.Context(), nil, "", append([]string{"drill"}, args...)...); got.code != exitUsage {
			t.Errorf("%v: exit code %d: %s", args, got.code, got.stderr)
		}
	}
}

func TestOffPercent(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		estimate, took time.Duration
		want           float64
	}{{12 * time.Second, 10 * time.Second, 20}, {8 * time.Second, 10 * time.Second, -20}, {time.Second, time.Second, 0}} {
		if got := offPercent(tt.estimate, tt.took); got != tt.want {
			t.Errorf("%s of %s: %g", tt.estimate, tt.took, got)
		}
	}
}
