package rotation_test

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/haravan-rotator/rotator/rotation"
)

// forecastLoad is a run from its arming on a machine that is fast enough.
func forecastLoad(shops int, latency time.Duration, change func(*rotation.Load)) rotation.Load {
	waves := rotation.DefaultWavePolicy
	l := rotation.Load{Shops: shops, Latency: latency, InFlight: 256, MaxInFlight: 4096, Left: time.Hour, Waves: &waves}
	if change != nil {
		change(&l)
	}
	return l
}

// drilled is a run as `rotator drill` foresees it.
func drilled(shops int, latency time.Duration, ceiling float64, step time.Duration) rotation.Load {
	return forecastLoad(shops, latency, func(l *rotation.Load) { l.Walk, l.Ceiling, l.Step = shops, ceiling, step })
}

// TestForeseeAgainstRehearsals holds the forecast against runs that were
// measured with the simulator on two cores, in seconds. Of a hostile platform it is
// the middle one of several seeds: one shop that comes back later takes seconds.
func TestForeseeAgainstRehearsals(t *testing.T) {
	t.Parallel()
	unwalked := func(ceiling float64) func(*rotation.Load) {
		return func(l *rotation.Load) { l.Walk, l.Ceiling = l.Shops, ceiling }
	}
	for name, tt := range map[string]struct {
		load rotation.Load
		took float64
	}{
		"1,000 at 20 ms, nothing else running":   {drilled(1000, 20*time.Millisecond, 8714, 50*time.Millisecond), 0.82},
		"1,000 at 200 ms, nothing else running":  {drilled(1000, 200*time.Millisecond, 10798, 50*time.Millisecond), 4.06},
		"50,000 at 20 ms, nothing else running":  {drilled(50_000, 20*time.Millisecond, 10482, 50*time.Millisecond), 10.95},
		"50,000 at 200 ms, nothing else running": {drilled(50_000, 200*time.Millisecond, 10087, 50*time.Millisecond), 81.84},
		"200 at 20 ms, a fast machine":           {drilled(200, 20*time.Millisecond, 8036, 24*time.Millisecond), 0.46},
		"1,000 at 20 ms, a fast machine":         {drilled(1000, 20*time.Millisecond, 8703, 17*time.Millisecond), 0.64},
		"1,000 at 200 ms, a fast machine":        {drilled(1000, 200*time.Millisecond, 8934, 17*time.Millisecond), 3.68},
		"5,000 at 20 ms, a fast machine":         {drilled(5000, 20*time.Millisecond, 8377, 16*time.Millisecond), 1.42},
		"50,000 at 20 ms, a fast machine":        {drilled(50_000, 20*time.Millisecond, 8744, 22*time.Millisecond), 10.67},
		"1,000 at 200 ms":                        {forecastLoad(1000, 200*time.Millisecond, unwalked(1984)), 4.27},
		"50,000 at 20 ms":                        {forecastLoad(50_000, 20*time.Millisecond, unwalked(1984)), 30.86},
		"50,000 at 200 ms":                       {forecastLoad(50_000, 200*time.Millisecond, unwalked(1984)), 86.91},
		"1,000 at 20 ms, hostile": {forecastLoad(1000, 20*time.Millisecond, func(l *rotation.Load) {
			l.Walk, l.Ceiling, l.Step, l.Retries = 1000, 8328, 50*time.Millisecond, 0.04
		}), 14.02},
		"1,000 at 200 ms, hostile": {forecastLoad(1000, 200*time.Millisecond, func(l *rotation.Load) {
			l.Walk, l.Ceiling, l.Step, l.Retries = 1000, 2163, 56*time.Millisecond, 0.04
		}), 17.96},
		"50,000 at 20 ms, hostile": {forecastLoad(50_000, 20*time.Millisecond, func(l *rotation.Load) {
			l.Walk, l.Ceiling, l.Step, l.Retries = 50_000, 5721, 50*time.Millisecond, 0.04
		}), 41.95},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := rotation.Foresee(tt.load)
			if off := f.Total.Seconds()/tt.took - 1; math.Abs(off) > 0.2 {
				t.Errorf("off by %+.0f %%: %+v, it took %.2f s", off*100, f, tt.took)
			}
		})
	}
}

func TestStepOf(t *testing.T) {
	t.Parallel()
	const ms = time.Millisecond
	for name, tt := range map[string]struct {
		turns []time.Duration
		want  time.Duration
	}{
		"nothing seen":  {nil, rotation.DefaultStep},
		"one disturbed": {[]time.Duration{90 * ms, 900 * ms, 80 * ms}, 90 * ms},
		"one hurried":   {[]time.Duration{120 * ms, 10 * ms, 130 * ms}, 120 * ms},
		"at once":       {[]time.Duration{0, ms, 2 * ms}, rotation.DefaultStep / 10},
		"for ever":      {[]time.Duration{time.Hour}, 2 * rotation.DefaultStep},
	} {
		if got := rotation.StepOf(tt.turns); got != tt.want {
			t.Errorf("%s: %s, want %s", name, got, tt.want)
		}
	}
}

func TestForeseeBound(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*rotation.Load)
		bound  rotation.Bottleneck
		speed  float64
	}{
		"calls in flight": {nil, rotation.BoundInFlight, 640},
		"more of them":    {func(l *rotation.Load) { l.InFlight = 512 }, rotation.BoundInFlight, 1280},
		"machine":         {func(l *rotation.Load) { l.InFlight, l.Ceiling = 4096, 100 }, rotation.BoundMachine, 100},
		"two machines":    {func(l *rotation.Load) { l.InFlight, l.Ceiling, l.Workers = 4096, 100, 2 }, rotation.BoundMachine, 200},
		"rate":            {func(l *rotation.Load) { l.Rate, l.Workers = 10, 2 }, rotation.BoundRate, 10},
		"nothing":         {func(l *rotation.Load) { l.Latency = 0 }, rotation.BoundInFlight, math.Inf(1)},
		"no latency":      {func(l *rotation.Load) { l.Latency, l.Ceiling = 0, 50 }, rotation.BoundMachine, 50},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f := rotation.Foresee(forecastLoad(50_000, 200*time.Millisecond, tt.change))
			if f.Bound != tt.bound || math.Abs(f.ShopsPerS/tt.speed-1) > 0.01 {
				t.Errorf("%+v, want %.0f shops/s bound by %s", f, tt.speed, tt.bound)
			}
		})
	}
}

func TestForeseeNothing(t *testing.T) {
	t.Parallel()
	if f := rotation.Foresee(forecastLoad(0, time.Second, nil)); f.Total != 0 {
		t.Errorf("no shop takes %s", f.Total)
	}
}

// TestForeseeParts: the parts are the whole, no part is faster than can be, and
// more calls in flight never take longer.
func TestForeseeParts(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		l := forecastLoad(rapid.IntRange(1, 2_000_000).Draw(t, "shops"), time.Duration(rapid.Int64Range(0, int64(10*time.Second)).Draw(t, "latency")), func(l *rotation.Load) {
			l.InFlight = rapid.IntRange(1, 5000).Draw(t, "inflight")
			l.Workers = rapid.IntRange(0, 5).Draw(t, "workers")
			l.Ceiling = rapid.Float64Range(1, 5000).Draw(t, "ceiling")
			l.Retries = rapid.Float64Range(0, 1).Draw(t, "retries")
			l.Walk = rapid.IntRange(0, l.Shops).Draw(t, "walk")
		})
		f := rotation.Foresee(l)
		if sum := f.Walk + f.Turns + f.Work + f.Tail; (sum - f.Total).Abs() > time.Millisecond {
			t.Fatalf("%+v adds up to %s", f, sum)
		}
		if least := float64(l.Shops) / f.ShopsPerS; !math.IsInf(f.ShopsPerS, 1) && f.Work.Seconds() < least*0.999 {
			t.Fatalf("%+v is faster than its full speed, %.3f s", f, least)
		}
		more := l
		more.InFlight *= 2
		if again := rotation.Foresee(more); again.Total > f.Total+time.Millisecond {
			t.Fatalf("twice the calls in flight take longer: %s, %s", again.Total, f.Total)
		}
	})
}

// TestJudgeAMillion: the in-flight that a verdict asks for is the least one.
func TestJudgeAMillion(t *testing.T) {
	t.Parallel()
	l := forecastLoad(1_000_000, 200*time.Millisecond, func(l *rotation.Load) { l.InFlight, l.Retries = 1, 0.05 })
	v := rotation.Judge(l)
	if v.Outlook != rotation.OutlookRaise || v.InFlight < 137 || v.InFlight > 145 {
		t.Fatalf("%+v", v)
	}
	for inflight, want := range map[int]rotation.Outlook{v.InFlight: rotation.OutlookFits, v.InFlight - 1: rotation.OutlookRaise} {
		l.InFlight = inflight
		if got := rotation.Judge(l); got.Outlook != want {
			t.Errorf("%d in flight: %+v, want %s", inflight, got, want)
		}
	}
}
