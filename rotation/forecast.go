package rotation

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Forecast is how long a run's exchange is expected to take, and what of it is
// spent on what.
type Forecast struct {
	// Total is from the arming until the last shop is proven.
	Total time.Duration
	// Walk is for taking shops into the run, Turns for beginning, for going from
	// wave to wave and for ending, Work for the calls, Tail for the shops that
	// come back later because the platform asked for a pause.
	Walk, Turns, Work, Tail time.Duration
	// ShopsPerS is the speed in full swing, and Bound names what bounds it.
	ShopsPerS float64
	Bound     Bottleneck
}

// Bottleneck names what bounds the speed of a run in full swing.
type Bottleneck string

const (
	// BoundInFlight: the calls in flight; more of them would be faster.
	BoundInFlight Bottleneck = "in_flight"
	// BoundMachine: what the workers' machines and the database manage.
	BoundMachine Bottleneck = "machine"
	// BoundRate: the run's cap in shops per second.
	BoundRate Bottleneck = "rate"
)

// PaceStart is how many calls a worker has in flight before it knows the
// platform; PaceWindow is the least number of calls after which it doubles.
const (
	PaceStart  = 16
	PaceWindow = 20
)

// A wave is reckoned in rounds of calls, but for the steady middle of a long one:
// roundsSame rounds are kept of it. roundsLeft of a call is what rounding leaves.
const (
	roundsLeft = 1e-6
	roundsSame = 4
)

// DefaultStep is the time of one of the engine's own steps where nobody measured
// it: from the last commit of a wave to the first call of the next.
const DefaultStep = 150 * time.Millisecond

// What the engine takes besides its calls, as `rotator drill` shows it: from the
// arming to the first call; between waves; for the group commit that each of a shop's
// calls waits for; from the last commit to the phase proven. Its own pauses are the
// same on every machine.
var (
	forecastBegin  = stretch{0.1, 2}
	forecastTurn   = stretch{0, 1}
	forecastCommit = stretch{6e-3, 0.08}
	forecastEnd    = stretch{10e-3, 0.5}
)

// stretch is a time of so many seconds and steps.
type stretch struct{ seconds, steps float64 }

func (s stretch) of(step float64) float64 { return s.seconds + s.steps*step }

// Looking over the fleet at the end and walking it take seconds for each shop.
const (
	forecastLook = 4e-6
	forecastWalk = 20e-6
)

// StepOf is the engine's step on a machine where these times passed from the last
// proof of a wave to the first claim of the next: the middle one, because one
// look may have met a moment in which something else had the machine, and from a
// tenth of DefaultStep to twice it in any case.
func StepOf(turns []time.Duration) time.Duration {
	if len(turns) == 0 {
		return DefaultStep
	}
	turns = slices.Sorted(slices.Values(turns))
	return min(max(turns[len(turns)/2], DefaultStep/10), 2*DefaultStep)
}

// Of the calls that are made again most are at once. The others, mostly 429,
// take their shop out of its batch until its bucket, of 80 calls of which 4 leak a
// second, has room beside the default headroom, and somebody looks; a shop may
// meet that more than once. The pause is the one that fits rehearsals best.
const (
	forecastLater = 0.3
	forecastPause = 5.5
	forecastMost  = 8 // attempts, as package jobs gives a shop before it parks it
)

// Foresee computes how long a load takes: the walk, then wave after wave with a
// limit that begins low and doubles, then the shops that wait. Without Waves it
// is the work alone, in full swing from the beginning.
func Foresee(l Load) Forecast {
	workers := float64(max(1, l.Workers))
	swing := newRamp(l, workers)
	f := Forecast{Bound: swing.bound(), ShopsPerS: swing.fullSpeed() * workers}
	if l.Waves == nil {
		f.Work = seconds(swing.flat(float64(l.Shops) / workers))
		f.Total = f.Work
		return f
	}
	if l.Shops == 0 {
		return f
	}
	swing.limit = min(PaceStart, swing.most)
	turns, work, tails := forecastBegin.of(swing.step), 0.0, 0.0
	policy := *l.Waves
	if l.Begun {
		turns, policy.Canary = forecastTurn.of(swing.step), 0
	} else {
		work = swing.latency // the first exchange finds the wire variant, alone
	}
	turns += forecastEnd.of(swing.step) + forecastLook*float64(l.Shops)
	waves := PlanWaves(1, l.Shops, policy)
	for i, w := range waves {
		work += swing.wave(float64(w.Len()) / workers)
		if last := i == len(waves)-1; last {
			tails += tail(float64(w.Len()), l.Retries*CallsPerShop)
		} else {
			// Shops that have their token to prove hold a wave up, others do not.
			tails += tail(float64(w.Len()), l.Retries*CallsPerShop/2)
			turns += forecastTurn.of(swing.step)
		}
	}
	walk := forecastWalk * float64(l.Walk)
	f.Walk, f.Turns, f.Work, f.Tail = seconds(walk), seconds(turns), seconds(work), seconds(tails)
	f.Total = seconds(walk + turns + work + tails)
	return f
}

// InFullSwing reports whether a run's last wave is released, so that nothing
// holds its speed back on purpose.
func InFullSwing(waves []WaveStatus) bool { return len(waves) > 0 && allReleased(waves) }

// tail is the expected time that a wave waits for shops that were told to come
// back later: a round for all of them, another for those that are told again.
// again is the share of shops with a call to be made again.
func tail(shops, again float64) float64 {
	took, still := 0.0, shops
	for range forecastMost {
		still *= again * forecastLater
		took += forecastPause * (1 - math.Exp(-still))
	}
	return took
}

// Estimate is the forecast as a range.
func (f Forecast) Estimate() Estimate {
	e := Estimate{P50: f.Total, P90: seconds(f.Total.Seconds() * estimateSpread)}
	if f.Tail > 0 {
		e.P90 += estimateTail
	}
	return e
}

// ramp is one worker's limit on its way up, as package jobs moves it.
type ramp struct {
	latency, calls float64 // of one call in seconds; for one shop
	// machine and rate are the most shops per second, infinite if unknown.
	machine, rate float64
	limit, most   float64
	since         float64 // calls since the limit was last moved
	step          float64
}

func newRamp(l Load, workers float64) ramp {
	r := ramp{
		latency: l.Latency.Seconds(), calls: CallsPerShop * (1 + l.Retries),
		machine: math.Inf(1), rate: math.Inf(1),
		most: max(1, float64(l.InFlight)/workers),
		step: cmp.Or(l.Step, DefaultStep).Seconds(),
	}
	if l.Ceiling > 0 {
		r.machine = l.Ceiling
	}
	if l.Rate > 0 {
		r.rate = l.Rate / workers
	}
	r.limit = r.most
	return r
}

// speed is in shops per second with so many calls in flight. Near the machine's
// own most, calls wait for each other.
func (r ramp) speed(parallel float64) float64 {
	s := r.machine
	if r.latency > 0 {
		calls := parallel / r.latency / r.calls
		s = calls
		if !math.IsInf(r.machine, 1) {
			s = 1 / math.Cbrt(math.Pow(calls, -3)+math.Pow(r.machine, -3))
		}
	}
	return min(s, r.rate)
}

func (r ramp) fullSpeed() float64 { return r.speed(r.most) }

func (r ramp) bound() Bottleneck {
	calls := math.Inf(1)
	if r.latency > 0 {
		calls = r.most / r.latency / r.calls
	}
	switch {
	case !math.IsInf(r.rate, 1) && r.rate <= calls && r.rate <= r.machine:
		return BoundRate
	case r.machine < calls:
		return BoundMachine
	}
	return BoundInFlight
}

// flat is the time for shops in full swing.
func (r ramp) flat(shops float64) float64 {
	if shops <= 0 || math.IsInf(r.fullSpeed(), 1) {
		return 0
	}
	return min(shops/r.fullSpeed(), longest)
}

// wave is the time for the shops of one wave. Calls wait for the platform and for
// the machine, partly at the same time.
func (r *ramp) wave(shops float64) float64 {
	waits := r.rounds(shops*r.calls/CallsPerShop) * r.latency
	took := max(math.Cbrt(math.Pow(waits, 3)+math.Pow(shops/r.machine, 3)), shops/r.rate)
	return min(CallsPerShop*forecastCommit.of(r.step)+took, longest)
}

// rounds is how many calls follow upon each other until so many exchanges and
// their proofs are through, proofs first, with the limit moved on the way.
func (r *ramp) rounds(exchanges float64) float64 {
	n, proofs := 0.0, 0.0
	for exchanges+proofs > roundsLeft {
		if kept := roundsSame * r.most; r.limit >= r.most && exchanges > kept {
			n += CallsPerShop * (exchanges - kept) / r.most
			exchanges = kept
		}
		read := min(proofs, r.limit)
		made := min(exchanges, r.limit-read)
		n, exchanges, proofs = n+1, exchanges-made, proofs+made-read
		r.since += read + made
		for window := max(PaceWindow, r.limit); r.since >= window && r.limit < r.most; window = max(PaceWindow, r.limit) {
			r.limit, r.since = min(2*r.limit, r.most), r.since-window
		}
	}
	return n
}
