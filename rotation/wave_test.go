package rotation_test

import (
	"testing"

	"github.com/google/go-cmp/cmp"
	"pgregory.net/rapid"

	"github.com/haravan-rotator/rotator/rotation"
)

func wave(n int, name string, first, last int64) rotation.Wave {
	return rotation.Wave{Number: n, Name: name, Range: rotation.Range{First: first, Last: last}}
}

func TestPlanWaves(t *testing.T) {
	t.Parallel()
	defaults := rotation.DefaultWavePolicy
	tests := map[string]struct {
		first  int64
		total  int
		policy rotation.WavePolicy
		want   []rotation.Wave
	}{
		"no shop":                {first: 1, total: 0, policy: defaults},
		"one shop":               {first: 1, total: 1, policy: defaults, want: []rotation.Wave{wave(1, "canary", 1, 1)}},
		"exactly the canary":     {first: 1, total: 5, policy: defaults, want: []rotation.Wave{wave(1, "canary", 1, 5)}},
		"one more than a canary": {first: 1, total: 6, policy: defaults, want: []rotation.Wave{wave(1, "canary", 1, 5), wave(2, "all", 6, 6)}},
		"too small for one percent": {first: 1, total: 100, policy: defaults, want: []rotation.Wave{
			wave(1, "canary", 1, 5), wave(2, "10%", 6, 15), wave(3, "all", 16, 100),
		}},
		"a thousand": {first: 1, total: 1000, policy: defaults, want: []rotation.Wave{
			wave(1, "canary", 1, 5), wave(2, "1%", 6, 15), wave(3, "10%", 16, 115), wave(4, "all", 116, 1000),
		}},
		"a million": {first: 1, total: 1_000_000, policy: defaults, want: []rotation.Wave{
			wave(1, "canary", 1, 5), wave(2, "1%", 6, 10_005), wave(3, "10%", 10_006, 110_005), wave(4, "all", 110_006, 1_000_000),
		}},
		"from a later position":  {first: 101, total: 6, policy: defaults, want: []rotation.Wave{wave(1, "canary", 101, 105), wave(2, "all", 106, 106)}},
		"no canary":              {first: 1, total: 10, policy: rotation.WavePolicy{Shares: []float64{0.5}}, want: []rotation.Wave{wave(1, "50%", 1, 5), wave(2, "all", 6, 10)}},
		"no policy":              {first: 1, total: 10, want: []rotation.Wave{wave(1, "all", 1, 10)}},
		"shares over the whole":  {first: 1, total: 10, policy: rotation.WavePolicy{Shares: []float64{0.8, 0.9, 1}}, want: []rotation.Wave{wave(1, "80%", 1, 8), wave(2, "90%", 9, 10)}},
		"a share that shrinks":   {first: 1, total: 100, policy: rotation.WavePolicy{Shares: []float64{0.2, 0.1, 0.3}}, want: []rotation.Wave{wave(1, "20%", 1, 20), wave(2, "30%", 21, 50), wave(3, "all", 51, 100)}},
		"canary over the fleet":  {first: 1, total: 3, policy: rotation.WavePolicy{Canary: 50}, want: []rotation.Wave{wave(1, "canary", 1, 3)}},
		"nonsense is no wave":    {first: 1, total: 3, policy: rotation.WavePolicy{Canary: -1, Shares: []float64{-1, 0}}, want: []rotation.Wave{wave(1, "all", 1, 3)}},
		"a share finer than one": {first: 1, total: 3, policy: rotation.WavePolicy{Shares: []float64{0.001}}, want: []rotation.Wave{wave(1, "0.1%", 1, 1), wave(2, "all", 2, 3)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, rotation.PlanWaves(tt.first, tt.total, tt.policy)); diff != "" {
				t.Errorf("waves (-want +got):\n%s", diff)
			}
		})
	}
}

// tiles fails unless ranges follow each other without gap from first to last.
func tiles(t *rapid.T, ranges []rotation.Range, first, last int64) {
	next := first
	for _, r := range ranges {
		if r.First != next || r.Last < r.First {
			t.Fatalf("%v does not follow %d in %v", r, next-1, ranges)
		}
		next = r.Last + 1
	}
	if next != last+1 {
		t.Fatalf("%v ends at %d, want %d", ranges, next-1, last)
	}
}

func TestWavesPartitionTheFleetAndBatchesAWave(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		first := rapid.Int64Range(1, 1<<40).Draw(t, "first")
		total := rapid.IntRange(0, 2_000_000).Draw(t, "total")
		p := rotation.WavePolicy{
			Canary: rapid.IntRange(-1, 1000).Draw(t, "canary"),
			Shares: rapid.SliceOfN(rapid.Float64Range(-0.5, 1.5), 0, 6).Draw(t, "shares"),
		}
		waves := rotation.PlanWaves(first, total, p)
		ranges := make([]rotation.Range, len(waves))
		for i, w := range waves {
			ranges[i] = w.Range
			if w.Number != i+1 || w.Name == "" {
				t.Fatalf("wave %d is %+v", i, w)
			}
			// Only the last may be smaller: it is what is left.
			if i > 0 && i < len(waves)-1 && w.Len() < waves[i-1].Len() {
				t.Fatalf("wave %d of %v is smaller than the one before", w.Number, waves)
			}
		}
		tiles(t, ranges, first, first+int64(total)-1)
		for _, r := range ranges {
			size := max(1, r.Len()/rapid.Int64Range(1, 50).Draw(t, "cut"))
			batches := r.Batches(size)
			tiles(t, batches, r.First, r.Last)
			for i, b := range batches {
				if b.Len() > size || (i < len(batches)-1 && b.Len() != size) {
					t.Fatalf("batch %v of size %d", b, size)
				}
			}
		}
	})
}

func TestBatches(t *testing.T) {
	t.Parallel()
	r := func(first, last int64) rotation.Range { return rotation.Range{First: first, Last: last} }
	tests := map[string]struct {
		in   rotation.Range
		size int64
		want []rotation.Range
	}{
		"exact":         {r(1, 4), 2, []rotation.Range{r(1, 2), r(3, 4)}},
		"remainder":     {r(3, 7), 2, []rotation.Range{r(3, 4), r(5, 6), r(7, 7)}},
		"larger":        {r(5, 6), 500, []rotation.Range{r(5, 6)}},
		"one":           {r(9, 9), 1, []rotation.Range{r(9, 9)}},
		"empty":         {r(2, 1), 10, nil},
		"no size":       {r(1, 2), 0, []rotation.Range{r(1, 1), r(2, 2)}},
		"negative size": {r(1, 2), -3, []rotation.Range{r(1, 1), r(2, 2)}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff(tt.want, tt.in.Batches(tt.size)); diff != "" {
				t.Errorf("batches (-want +got):\n%s", diff)
			}
		})
	}
}

func TestWaveMaySettle(t *testing.T) {
	t.Parallel()
	forgiven := rotation.WaveStatus{Released: true, Again: 1, Counts: rotation.Counts{Total: 10, Proven: 9, Retrying: 1}}
	if forgiven.MaySettle() {
		t.Error("a wave settles before what was forgiven is tried again")
	}
	holdsBack := map[rotation.ItemState]bool{
		rotation.ItemPending: true, rotation.ItemClaimed: true, rotation.ItemExchanged: true, rotation.ItemUnknown: true,
	}
	for _, s := range rotation.ItemStates {
		w := rotation.WaveStatus{Released: true}
		w.Counts.Add(rotation.ItemProven, 9)
		w.Counts.Add(s, 1)
		if got := w.MaySettle(); got == holdsBack[s] {
			t.Errorf("with one shop %s: MaySettle() = %t", s, got)
		}
		w.Released = false
		if w.MaySettle() {
			t.Errorf("with one shop %s: settles before its release", s)
		}
	}
	if (rotation.WaveStatus{Released: true}).MaySettle() {
		t.Error("a wave that was never counted settles")
	}
}

func TestAWaveIsBarrenWhenShopsWereTriedAndNoneIsProven(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		w                 rotation.WaveStatus
		provenBefore      bool
		barren, undecided bool
	}{
		"nothing tried":           {w: rotation.WaveStatus{Counts: rotation.Counts{Total: 5, Skipped: 3, Waived: 2}}},
		"never counted":           {w: rotation.WaveStatus{}},
		"one waits":               {w: rotation.WaveStatus{Counts: rotation.Counts{Total: 5, Skipped: 4, Retrying: 1}, Aside: 4}, undecided: true},
		"one set aside":           {w: rotation.WaveStatus{Counts: rotation.Counts{Total: 5, Skipped: 5}, Aside: 1}, barren: true},
		"one proven":              {w: rotation.WaveStatus{Counts: rotation.Counts{Total: 5, Proven: 1, Retrying: 2, Parked: 2}, Aside: 2}},
		"all set aside, accepted": {w: rotation.WaveStatus{Counts: rotation.Counts{Total: 5, Parked: 5}, Aside: 5, Accepted: true}},
		"a few late ones are dead, others were proven": {w: rotation.WaveStatus{Counts: rotation.Counts{Total: 4, Skipped: 4}, Aside: 4}, provenBefore: true},
		"a wave went dead after others were proven":    {w: rotation.WaveStatus{Counts: rotation.Counts{Total: 5, Skipped: 5}, Aside: 5}, provenBefore: true, barren: true},
	}
	for name, tt := range tests {
		if got := tt.w.Barren(tt.provenBefore); got != tt.barren {
			t.Errorf("%s: Barren() = %t", name, got)
		}
		if got := tt.w.Undecided(); got != tt.undecided {
			t.Errorf("%s: Undecided() = %t", name, got)
		}
	}
}

func TestWaveBudget(t *testing.T) {
	t.Parallel()
	tests := []struct {
		failed, total int
		budget        float64
		want          bool
	}{
		{0, 1, 0, true},
		{1, 1, 0, true}, // one failure never breaks a budget
		{2, 5, 0, false},
		{2, 8, 0.25, true},
		{3, 12, 0.25, true},
		{3, 11, 0.25, false},
		{250_000, 1_000_000, 0.25, true},
		{250_001, 1_000_000, 0.25, false},
		{1000, 1000, 1, true},
	}
	for _, tt := range tests {
		w := rotation.WaveStatus{Failed: tt.failed, Counts: rotation.Counts{Total: tt.total}}
		if got := w.WithinBudget(tt.budget); got != tt.want {
			t.Errorf("%d of %d failed, budget %g: WithinBudget() = %t", tt.failed, tt.total, tt.budget, got)
		}
	}
}
