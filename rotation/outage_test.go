package rotation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestExpectOutage(t *testing.T) {
	t.Parallel()
	fast := rotation.DefaultBreachWaves
	tests := map[string]struct {
		load                    rotation.OutageLoad
		human, first, half, end float64
		calls                   float64
		windows                 int
		tiers                   []rotation.TierBack
	}{
		"nobody": {rotation.OutageLoad{Latency: time.Second, InFlight: 10, Waves: fast, Deploy: time.Minute}, 60, 0, 0, 0, 1, 1, []rotation.TierBack{}},
		// One wave's turn of 0.5 s, and two calls of a second.
		"one shop": {
			rotation.OutageLoad{Tiers: []rotation.Tier{{Priority: 0, Shops: 1}}, Latency: time.Second, InFlight: 10, Waves: fast, Deploy: time.Minute, Arm: time.Minute},
			120, 122.5, 122.5, 122.5, 1, 1,
			[]rotation.TierBack{{Tier: rotation.Tier{Shops: 1}, FirstSeconds: 122.5, LastSeconds: 122.5}},
		},
		// Canary 3: one round. 10 %: 10 rounds. The rest, 897: 90 rounds.
		"a fleet in three waves": {
			rotation.OutageLoad{Tiers: []rotation.Tier{{Priority: 9, Shops: 3}, {Priority: 0, Shops: 997}}, Latency: time.Second, InFlight: 10, Waves: fast},
			0, 2.5, 103.5, 203.5, 10, 1,
			[]rotation.TierBack{
				{Tier: rotation.Tier{Priority: 9, Shops: 3}, FirstSeconds: 2.5, LastSeconds: 2.5},
				{Tier: rotation.Tier{Shops: 997}, FirstSeconds: 5, LastSeconds: 203.5},
			},
		},
		// 4,500 s of exchange: at 3,600 a second token is made, for 300 s.
		"two windows": {
			rotation.OutageLoad{Tiers: []rotation.Tier{{Shops: 2250}}, Latency: time.Second, InFlight: 1, Waves: rotation.WavePolicy{}, Arm: 5 * time.Minute},
			300, 302.5, 2550.5, 5100.5, 1, 2,
			[]rotation.TierBack{{Tier: rotation.Tier{Shops: 2250}, FirstSeconds: 302.5, LastSeconds: 5100.5}},
		},
		"retries": {
			rotation.OutageLoad{Tiers: []rotation.Tier{{Shops: 100}}, Latency: 100 * time.Millisecond, InFlight: 10, Retries: 0.5, Waves: rotation.WavePolicy{}},
			0, 0.8, 2, 3.5, 100, 1,
			[]rotation.TierBack{{Tier: rotation.Tier{Shops: 100}, FirstSeconds: 0.8, LastSeconds: 3.5}},
		},
		// 200 calls and half of them again at 5 a second; one wave's turn of 0.5 s.
		"a cap on the rate": {
			rotation.OutageLoad{Tiers: []rotation.Tier{{Shops: 100}}, Latency: 100 * time.Millisecond, InFlight: 10, Retries: 0.5, Rate: 5, Waves: rotation.WavePolicy{}},
			0, 1.1, 30.5, 60.5, 5, 1,
			[]rotation.TierBack{{Tier: rotation.Tier{Shops: 100}, FirstSeconds: 1.1, LastSeconds: 60.5}},
		},
		"a cap that is never met": {
			rotation.OutageLoad{Tiers: []rotation.Tier{{Shops: 100}}, Latency: 100 * time.Millisecond, InFlight: 10, Retries: 0.5, Rate: 1000, Waves: rotation.WavePolicy{}},
			0, 0.8, 2, 3.5, 100, 1,
			[]rotation.TierBack{{Tier: rotation.Tier{Shops: 100}, FirstSeconds: 0.8, LastSeconds: 3.5}},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := rotation.ExpectOutage(tt.load)
			if o.HumanSeconds != tt.human || o.FirstSeconds != tt.first || o.HalfSeconds != tt.half || o.LastSeconds != tt.end || o.CallsPerSecond != tt.calls || o.Windows != tt.windows {
				t.Errorf("human %g, back %g, %g, %g, calls/s %g, windows %d", o.HumanSeconds, o.FirstSeconds, o.HalfSeconds, o.LastSeconds, o.CallsPerSecond, o.Windows)
			}
			if diff := cmp.Diff(tt.tiers, o.Tiers); diff != "" {
				t.Errorf("tiers (-want +got):\n%s", diff)
			}
			if o.Words() == "" || len(o.Assumptions) == 0 {
				t.Error("the outage is not said")
			}
		})
	}
}

func TestTheOutageSaysInWordsWhatItCosts(t *testing.T) {
	t.Parallel()
	o := rotation.ExpectOutage(rotation.OutageLoad{
		Tiers: []rotation.Tier{{Shops: 2_000_000}}, Latency: 500 * time.Millisecond, InFlight: 256,
		Waves: rotation.DefaultBreachWaves, Deploy: rotation.DefaultDeploy, Arm: rotation.DefaultArm,
	})
	for _, part := range []string{"2000000 shops are down", "first is back after 20m", "512 calls/s", "3 refresh tokens"} {
		if !strings.Contains(o.Words(), part) {
			t.Errorf("%q does not say %q", o.Words(), part)
		}
	}
}

func TestManyTiersAreSummedUp(t *testing.T) {
	t.Parallel()
	var tiers []rotation.Tier
	for i := range 50 {
		tiers = append(tiers, rotation.Tier{Priority: 50 - i, Shops: 2})
	}
	o := rotation.ExpectOutage(rotation.OutageLoad{Tiers: tiers, Latency: time.Second, InFlight: 1, Waves: rotation.DefaultBreachWaves})
	last := o.Tiers[len(o.Tiers)-1]
	if len(o.Tiers) != 10 || !last.Lower || last.Shops != 82 || last.LastSeconds != o.LastSeconds {
		t.Errorf("%d tiers, the last %+v of an outage of %g s", len(o.Tiers), last, o.LastSeconds)
	}
}

// Whatever the fleet: nobody is back before people are done, the more important
// never after the less, and neither more calls in flight nor no cap on their rate make
// it longer.
func TestAnOutageIsInOrder(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		var l rotation.OutageLoad
		for p := rapid.IntRange(0, 20).Draw(t, "tiers"); p > 0; p-- {
			l.Tiers = append(l.Tiers, rotation.Tier{Priority: p, Shops: rapid.IntRange(0, 500_000).Draw(t, "shops")})
		}
		l.Latency = time.Duration(rapid.Int64Range(0, int64(time.Hour)).Draw(t, "latency"))
		l.InFlight = rapid.IntRange(-1, 5000).Draw(t, "inflight")
		l.Retries = rapid.Float64Range(0, 3).Draw(t, "retries")
		l.Rate = rapid.SampledFrom([]float64{0, 0.1, 5, 1000, 100_000}).Draw(t, "rate")
		l.Waves = rotation.WavePolicy{Canary: rapid.IntRange(0, 5).Draw(t, "canary"), Shares: []float64{0.1}}
		l.Deploy, l.Arm = time.Minute, time.Minute
		o := rotation.ExpectOutage(l)
		if o.Shops == 0 {
			return
		}
		times := []float64{o.HumanSeconds, o.FirstSeconds, o.HalfSeconds, o.LastSeconds}
		if !slices.IsSorted(times) || o.Windows < 1 {
			t.Fatalf("out of order: %v, %d windows", times, o.Windows)
		}
		sum := 0
		for i, tier := range o.Tiers {
			sum += tier.Shops
			if tier.FirstSeconds > tier.LastSeconds || (i > 0 && o.Tiers[i-1].LastSeconds > tier.FirstSeconds) {
				t.Fatalf("tiers out of order: %+v", o.Tiers)
			}
		}
		if sum != o.Shops {
			t.Fatalf("%d shops in tiers, %d in all", sum, o.Shops)
		}
		l.InFlight = max(l.InFlight, 1) * 2
		if more := rotation.ExpectOutage(l); more.LastSeconds > o.LastSeconds {
			t.Fatalf("twice the calls in flight take %g s instead of %g", more.LastSeconds, o.LastSeconds)
		}
		l.Rate = 0
		if free := rotation.ExpectOutage(l); free.LastSeconds > o.LastSeconds || free.CallsPerSecond < o.CallsPerSecond {
			t.Fatalf("without a cap it takes %g s instead of %g", free.LastSeconds, o.LastSeconds)
		}
	})
}
