package rotation_test

import (
	"math"
	"regexp"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestMayBeginOneTickEitherSide(t *testing.T) {
	t.Parallel()
	const p99, margin = 3 * time.Second, 2 * time.Second
	tests := []struct {
		left time.Duration
		want bool
	}{
		{p99 + margin + 1, true},
		{p99 + margin, false},
		{p99 + margin - 1, false},
		{0, false},
		{-time.Hour, false},
	}
	for _, tt := range tests {
		if got := rotation.MayBegin(tt.left, p99, margin); got != tt.want {
			t.Errorf("MayBegin with %s left = %t", tt.left, got)
		}
	}
	if rotation.MayBegin(0, 0, 0) {
		t.Error("a call begins when no time is left")
	}
}

func TestWindowLeft(t *testing.T) {
	t.Parallel()
	end := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	tests := map[string]struct {
		window rotation.Window
		now    time.Time
		want   time.Duration
	}{
		"no token":           {rotation.Window{}, end, 0},
		"an hour":            {rotation.Window{ExpiresAt: end}, end.Add(-time.Hour), time.Hour},
		"one tick":           {rotation.Window{ExpiresAt: end}, end.Add(-1), 1},
		"over at the moment": {rotation.Window{ExpiresAt: end}, end, 0},
		"long over":          {rotation.Window{ExpiresAt: end}, end.Add(time.Hour), 0},
		"refused":            {rotation.Window{ExpiresAt: end, Refused: true}, end.Add(-time.Hour), 0},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := tt.window.Left(tt.now); got != tt.want {
				t.Errorf("Left() = %s, want %s", got, tt.want)
			}
		})
	}
}

// load needs 2 × 1700 × 1 s ÷ 1 = 3400 s; an hour may be used for 3060 s.
func load(change func(*rotation.Load)) rotation.Load {
	l := rotation.Load{Shops: 1700, Latency: time.Second, InFlight: 1, MaxInFlight: 1, Left: time.Hour}
	change(&l)
	return l
}

func TestJudge(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		load     rotation.Load
		outlook  rotation.Outlook
		needs    float64
		inFlight int
		windows  int
		words    string
	}{
		"fits to the second": {load(func(l *rotation.Load) { l.Shops = 1530 }), rotation.OutlookFits, 3060, 1, 1, "taking 85 % of the window"},
		"one shop too many":  {load(func(l *rotation.Load) { l.Shops = 1531 }), rotation.OutlookWindows, 3062, 1, 2, "needs 2 refresh tokens"},
		"fits if raised":     {load(func(l *rotation.Load) { l.MaxInFlight = 2 }), rotation.OutlookRaise, 3400, 2, 1, "fits if in-flight is raised to 2"},
		"raised to the most": {load(func(l *rotation.Load) { l.Shops, l.MaxInFlight = 15_300, 10 }), rotation.OutlookRaise, 30_600, 10, 1, "raised to 10"},
		"over the most":      {load(func(l *rotation.Load) { l.Shops, l.MaxInFlight = 15_301, 10 }), rotation.OutlookWindows, 30_602, 1, 11, "needs 11 refresh tokens, one after the other: 15301 shops × 2 calls × 1s × 1.00 ÷ 1 in flight = 8h30m2s, 1h0m0s left; raised to 10 in flight it needs 2, for 51m0s"},
		"three windows":      {load(func(l *rotation.Load) { l.Shops = 4590 }), rotation.OutlookWindows, 9180, 1, 3, "needs 3 refresh tokens"},
		"a window half used": {load(func(l *rotation.Load) { l.Left, l.Shops = 30*time.Minute, 1530 }), rotation.OutlookWindows, 3060, 1, 2, "needs 2 refresh tokens"},
		"retries count":      {load(func(l *rotation.Load) { l.Shops, l.Retries = 1000, 0.5 }), rotation.OutlookFits, 3000, 1, 1, "× 1.50 ÷ 1 in flight = 50m0s"},
		"in-flight divides":  {load(func(l *rotation.Load) { l.Shops, l.InFlight = 1000, 4 }), rotation.OutlookFits, 500, 4, 1, "÷ 4 in flight = 8m20s"},
		"rate cap decides":   {load(func(l *rotation.Load) { l.Shops, l.InFlight, l.Rate = 1000, 1000, 0.5 }), rotation.OutlookFits, 2000, 1000, 1, "fits"},
		"raising does not lift a cap": {
			load(func(l *rotation.Load) { l.MaxInFlight, l.Rate = 100, 0.5 }),
			rotation.OutlookWindows, 3400, 1, 2, "by the cap = 56m40s, 1h0m0s left",
		},
		"no shop":           {load(func(l *rotation.Load) { l.Shops = 0 }), rotation.OutlookFits, 0, 1, 1, "fits"},
		"nothing in flight": {load(func(l *rotation.Load) { l.InFlight = 0 }), rotation.OutlookNever, 0, 0, 0, "no call may be made"},
		"a call too long":   {load(func(l *rotation.Load) { l.Shops, l.Latency, l.InFlight = 1, time.Hour, 1000 }), rotation.OutlookNever, 0, 0, 0, "does not fit: one call takes 1h0m0s"},
		"no time left":      {load(func(l *rotation.Load) { l.Left = 0 }), rotation.OutlookNever, 0, 0, 0, "no call may be made"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := rotation.Judge(tt.load)
			if v.Outlook != tt.outlook || v.InFlight != tt.inFlight || v.Windows != tt.windows {
				t.Errorf("got %s with %d in flight and %d windows", v.Outlook, v.InFlight, v.Windows)
			}
			if math.Abs(v.NeedsSeconds-tt.needs) > 1e-6 || math.Abs(v.Needs.Seconds()-tt.needs) > 1e-6 {
				t.Errorf("needs %g s (%s), want %g s", v.NeedsSeconds, v.Needs, tt.needs)
			}
			if tt.needs > 0 && math.Abs(v.Margin-(tt.load.Left.Seconds()/tt.needs-1)) > 1e-9 {
				t.Errorf("margin %g", v.Margin)
			}
			if !strings.Contains(v.Words, tt.words) {
				t.Errorf("words %q lack %q", v.Words, tt.words)
			}
		})
	}
}

func TestAVerdictHoldsItsOwnArithmetic(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := rotation.Load{
			Shops:       rapid.IntRange(0, 2_000_000).Draw(t, "shops"),
			Latency:     time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "latency")),
			InFlight:    rapid.IntRange(0, 500).Draw(t, "inflight"),
			MaxInFlight: rapid.IntRange(0, 5000).Draw(t, "most"),
			Rate:        rapid.Float64Range(0, 1000).Draw(t, "rate"),
			Left:        time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "left")),
			Retries:     rapid.Float64Range(0, 1).Draw(t, "retries"),
		}
		v := rotation.Judge(l)
		usable := l.Left.Seconds() * (1 - rotation.Safety)
		switch v.Outlook {
		case rotation.OutlookFits:
			if v.NeedsSeconds > usable || v.Windows != 1 {
				t.Fatalf("fits, but %+v", v)
			}
		case rotation.OutlookRaise:
			if v.InFlight <= l.InFlight || v.InFlight > l.MaxInFlight || v.Windows != 1 {
				t.Fatalf("raised from %d (at most %d): %+v", l.InFlight, l.MaxInFlight, v)
			}
			raised := l
			raised.InFlight = v.InFlight + 1 // one more takes rounding out
			if again := rotation.Judge(raised); again.Outlook != rotation.OutlookFits {
				t.Fatalf("raised to %d it still does not fit: %+v", raised.InFlight, again)
			}
		case rotation.OutlookWindows:
			if v.NeedsSeconds <= usable || v.Windows < 2 || v.InFlight != l.InFlight || v.Windows != 1+int(math.Ceil((v.NeedsSeconds-usable)/3060)) {
				t.Fatalf("needs windows, but %+v", v)
			}
		case rotation.OutlookNever:
			if l.InFlight > 0 && l.Left > 0 {
				t.Fatalf("never, but calls may be made: %+v", v)
			}
		}
	})
}

func TestASumIsWhatACalculatorShows(t *testing.T) {
	t.Parallel()
	fleet := rotation.Load{
		Shops: 300, Latency: 2002 * time.Millisecond, InFlight: 256, MaxInFlight: 4096, Left: 59 * time.Minute, Retries: 0.05,
		Waves: &rotation.DefaultWavePolicy,
	}
	for name, tt := range map[string]struct {
		change func(*rotation.Load)
		words  []string
	}{
		"the way up is the most of it": {
			func(*rotation.Load) {},
			[]string{"300 shops × 2 calls × 2.002s × 1.05 ÷ 256 in flight = 4.927s of calls, with ", " for the way up to full speed, the waves and the last shops: ", " in all, 59m0s left"},
		},
		"a walk to come": {
			func(l *rotation.Load) { l.Walk = 300 },
			[]string{"= 4.927s of calls, with ", " for the walk, the way up to full speed, "},
		},
		"the machine is the limit": {
			func(l *rotation.Load) { l.Ceiling, l.Shops, l.Latency = 10, 3000, time.Millisecond },
			[]string{"÷ 256 in flight, at most 10 shops/s by this machine = 5m0s of calls, with "},
		},
		"as set, and raised": {
			func(l *rotation.Load) { l.InFlight, l.Left = 4, 25*time.Second },
			[]string{"needs 2 refresh tokens, one after the other: 300 shops × 2 calls × 2.002s × 1.05 ÷ 4 in flight = 5m15s of calls, with ", "; raised to 300 in flight it needs 2, for "},
		},
		"nothing but calls": {
			func(l *rotation.Load) { l.Waves = nil },
			[]string{"÷ 256 in flight = 4.927s, 59m0s left"},
		},
	} {
		l := fleet
		tt.change(&l)
		v := rotation.Judge(l)
		for _, words := range tt.words {
			if !strings.Contains(v.Words, words) {
				t.Errorf("%s: %q lacks %q", name, v.Words, words)
			}
		}
		if all := regexp.MustCompile(`: ([0-9.]+s) in all`).FindStringSubmatch(v.Words); all != nil {
			if d, err := time.ParseDuration(all[1]); err != nil || math.Abs(d.Seconds()-v.NeedsSeconds) > 0.5 {
				t.Errorf("%s: %q, and %g s are needed", name, v.Words, v.NeedsSeconds)
			}
		}
	}
}

func TestAFreshTokenIsEnough(t *testing.T) {
	t.Parallel()
	load := rotation.Load{Shops: 100, Latency: time.Second, InFlight: 10, MaxInFlight: 100, Left: 10 * time.Second}
	for name, tt := range map[string]struct {
		change func(*rotation.Load)
		want   bool
	}{
		"ten seconds left for twenty": {func(*rotation.Load) {}, true},
		"two hours of work":           {func(l *rotation.Load) { l.Shops = 36_000 }, false},
		"nothing may be in flight":    {func(l *rotation.Load) { l.InFlight = 0 }, false},
	} {
		l := load
		tt.change(&l)
		if v := rotation.Judge(l); v.Outlook == rotation.OutlookFits || v.FitsFresh() != tt.want {
			t.Errorf("%s: %+v", name, v)
		}
	}
}
