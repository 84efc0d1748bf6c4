package rotation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/haravan-rotator/rotator/rotation"
)

// slow measured a second for each call.
var slow = &rotation.Measured{LatencyMS: 1000, How: "exchange and proof of the first 5 shops"}

// fitting is a run whose first wave is done and whose next one is due: 10 shops
// of two calls each, of a second, with 1.05 calls for one.
func fitting(change func(*rotation.Snapshot)) rotation.Snapshot {
	return snapshot(rotation.PhaseExchanging,
		withWaves(status(1, true, false, rotation.ItemProven), status(2, false, false, rotation.ItemPending)),
		func(s *rotation.Snapshot) {
			s.InFlight, s.Measured, s.Window.ExpiresAt = 1, slow, noon.Add(time.Minute)
		}, change)
}

func TestTheRunIsJudgedBeforeTheFirstWaveAfterTheCanary(t *testing.T) {
	t.Parallel()
	short := func(s *rotation.Snapshot) { s.Window.ExpiresAt = noon.Add(20 * time.Second) } // 21 s are needed
	tests := map[string]struct {
		change  func(*rotation.Snapshot)
		want    []rotation.Action
		outlook rotation.Outlook
		words   []string
	}{
		"it fits": {func(*rotation.Snapshot) {}, []rotation.Action{{Settle: 1}, {}, {Release: 2}}, rotation.OutlookFits, []string{"fits with a margin of 186 %"}},
		"in-flight is too low": {
			short,
			[]rotation.Action{{Settle: 1}, {Hold: rotation.HeldWaiting}},
			rotation.OutlookRaise,
			[]string{"rotator rotation tune --inflight 2", "rotator rotation resume --accept-windows", "rotator rotation arm"},
		},
		"the workers are too few": {
			func(s *rotation.Snapshot) { short(s); s.InFlight, s.Reach = 100, 1 },
			[]rotation.Action{{Settle: 1}, {Hold: rotation.HeldWaiting}},
			rotation.OutlookRaise,
			[]string{"start more workers (the live ones have at most 1 in flight, 2 are needed)", "rotator rotation resume`"},
		},
		"not with any number": {
			func(s *rotation.Snapshot) {
				short(s)
				s.Measured = &rotation.Measured{LatencyMS: 3e6, How: "x"}
				s.Window.ExpiresAt = noon.Add(time.Second)
			},
			[]rotation.Action{{Settle: 1}, {Hold: rotation.HeldWaiting}},
			rotation.OutlookWindows,
			[]string{"needs 22 refresh tokens", "= 17h30m0s, 1s left; raised to 10 in flight it needs 4, for 1h45m0s;", "rotator rotation resume --accept-windows"},
		},
		"several windows are accepted": {
			func(s *rotation.Snapshot) { short(s); s.AcceptWindows = true },
			[]rotation.Action{{Settle: 1}, {}, {Release: 2}},
			rotation.OutlookRaise, nil,
		},
		"judged before":      {func(s *rotation.Snapshot) { short(s); s.Judged = &rotation.Judged{} }, []rotation.Action{{Settle: 1}, {Release: 2}}, "", nil},
		"nothing measured":   {func(s *rotation.Snapshot) { short(s); s.Measured = nil }, []rotation.Action{{Settle: 1}, {Release: 2}}, "", nil},
		"the app is unwell":  {func(s *rotation.Snapshot) { s.Health.Failures = 1 }, []rotation.Action{{Settle: 1}}, "", nil},
		"first wave is work": {withWaves(status(1, true, false, rotation.ItemClaimed), status(2, false, false, rotation.ItemPending)), nil, "", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := fitting(tt.change)
			got := rotation.Advance(s)
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(rotation.Action{}, "Why", "Judge")); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
			for _, a := range got {
				if a.Judge == nil {
					continue
				}
				if a.Judge.Outlook != tt.outlook || !a.Judge.At.Equal(noon) || a.Judge.Measured != *s.Measured {
					t.Errorf("judged %+v", a.Judge)
				}
				for _, w := range tt.words {
					if !strings.Contains(a.Why, w) {
						t.Errorf("why %q does not say %q", a.Why, w)
					}
				}
				tt.outlook = ""
			}
			if tt.outlook != "" {
				t.Error("no verdict was given")
			}
		})
	}
}

func TestAnArmedRunIsHeldByItsPreflight(t *testing.T) {
	t.Parallel()
	armed := func(change func(*rotation.Snapshot)) rotation.Snapshot {
		return snapshot(rotation.PhaseArmed, func(s *rotation.Snapshot) {
			s.InFlight, s.Preflight, s.Window.ExpiresAt = 1, slow, noon.Add(20*time.Second)
			s.Counts = rotation.Counts{Total: 10, Pending: 10}
		}, change)
	}
	const fit = "the fleet fits the window, or several are accepted"
	if got := unmet(armed(func(*rotation.Snapshot) {})); len(got) != 1 || !strings.HasPrefix(got[0], fit+": "+slow.How+": fits if in-flight is raised to 2") {
		t.Errorf("unmet: %q", got)
	}
	empty := armed(func(s *rotation.Snapshot) { s.WalkDone, s.Counts = false, rotation.Counts{} })
	if got := unmet(empty); len(got) != 2 || got[1] != fit+": not known before every shop is in the run" {
		t.Errorf("unmet before the walk: %q", got)
	}
	enter := []rotation.Action{{Enter: rotation.PhaseExchanging}}
	for name, tt := range map[string]struct {
		change func(*rotation.Snapshot)
		want   []rotation.Action
	}{
		"too short":             {func(*rotation.Snapshot) {}, []rotation.Action{{Hold: rotation.HeldWaiting}}},
		"too short, walk open":  {func(s *rotation.Snapshot) { s.WalkDone = false }, nil},
		"too short, accepted":   {func(s *rotation.Snapshot) { s.AcceptWindows = true }, enter},
		"tuned":                 {func(s *rotation.Snapshot) { s.InFlight = 2 }, enter},
		"tuned, but no workers": {func(s *rotation.Snapshot) { s.InFlight, s.Reach = 2, 1 }, []rotation.Action{{Hold: rotation.HeldWaiting}}},
		"nobody measured":       {func(s *rotation.Snapshot) { s.Preflight = nil }, enter},
		"expired":               {func(s *rotation.Snapshot) { s.Window.ExpiresAt = noon }, []rotation.Action{{Hold: rotation.HeldWindowExpired}}},
	} {
		got := rotation.Advance(armed(tt.change))
		if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(rotation.Action{}, "Why", "Judge")); diff != "" {
			t.Errorf("%s: actions (-want +got):\n%s", name, diff)
		}
	}
}

func TestNextOfARunThatDoesNotFit(t *testing.T) {
	t.Parallel()
	held := func(outlook rotation.Outlook, inflight int) rotation.Snapshot {
		return snapshot(rotation.PhaseExchanging, func(s *rotation.Snapshot) {
			s.Held, s.HeldWhy, s.InFlight, s.Reach = rotation.HeldWaiting, "too slow", 8, 8
			s.Judged = &rotation.Judged{Verdict: rotation.Verdict{Outlook: outlook, InFlight: inflight}}
		})
	}
	for want, s := range map[string]rotation.Snapshot{
		"rotator rotation tune --inflight 20":      held(rotation.OutlookRaise, 20),
		"rotator worker":                           held(rotation.OutlookRaise, 8),
		"rotator rotation resume --accept-windows": held(rotation.OutlookWindows, 4096),
	} {
		if got := rotation.Next(s); got.Command != want || !got.Human || !strings.Contains(got.Why, "too slow") {
			t.Errorf("next is %+v, want %q", got, want)
		}
	}
	s := held(rotation.OutlookRaise, 20)
	s.AcceptWindows = true // then it is held for something else
	if rotation.VerdictIsWhy(s) || rotation.Next(s).Command != "rotator rotation resume" {
		t.Errorf("next is %+v", rotation.Next(s))
	}
}
