package rotation

import (
	"fmt"
	"math"
)

// WavePolicy sizes the waves of a run.
type WavePolicy struct {
	// Canary is the number of shops in the first wave; 0 means no canary.
	Canary int `json:"canary"`
	// Shares are the sizes of the following waves, as fractions of the fleet.
	// What is left is the last wave.
	Shares []float64 `json:"shares"`
	// Budget is the share of a wave's shops that may have failed in ways that
	// trip the breaker before the next wave is refused.
	Budget float64 `json:"budget"`
	// Budgets are narrower ones for single classes; see Class.MayBudget.
	Budgets map[Class]float64 `json:"budgets,omitempty"`
}

// DefaultWavePolicy is canary, one percent, ten percent, all.
var DefaultWavePolicy = WavePolicy{Canary: 5, Shares: []float64{0.01, 0.10}, Budget: 0.25}

// Range is a contiguous range of positions in a run, both ends included.
type Range struct{ First, Last int64 }

// Len is the number of positions in r.
func (r Range) Len() int64 { return r.Last - r.First + 1 }

// Wave is a slice of the fleet that is released together.
type Wave struct {
	Number int
	Name   string
	Range
}

// PlanWaves cuts positions first..first+total-1 into waves. Waves that would be
// empty or smaller than the one before are merged into their successor, so that
// a small fleet is not cut into crumbs.
func PlanWaves(first int64, total int, p WavePolicy) []Wave {
	var waves []Wave
	next, left := first, int64(total)
	add := func(name string, n int64) {
		n = min(n, left)
		if n <= 0 {
			return
		}
		waves = append(waves, Wave{Number: len(waves) + 1, Name: name, Range: Range{next, next + n - 1}})
		next += n
		left -= n
	}
	last := int64(p.Canary)
	add("canary", last)
	for _, share := range p.Shares {
		n := int64(math.Ceil(share * float64(total)))
		if n < last {
			continue
		}
		add(fmt.Sprintf("%g%%", share*100), n)
		last = n
	}
	add("all", left)
	return waves
}

// Batches cuts r into ranges of at most size positions, at least one.
func (r Range) Batches(size int64) []Range {
	size = max(size, 1)
	var out []Range
	for at := r.First; at <= r.Last; at += size {
		out = append(out, Range{at, min(at+size-1, r.Last)})
	}
	return out
}

// WaveStatus is how far a wave is.
type WaveStatus struct {
	Wave
	Released bool
	Settled  bool
	Counts   Counts
	// Failed counts items, retrying or parked, that failed for reasons that are
	// not their shops': the classes that trip the breaker or stop the run.
	Failed int
	// FailedBy are the same by class; "" is a new token that is not proven.
	FailedBy map[Class]int
	// Examples are a few of them, when there are more than one budget bears.
	Examples []Example
	// Again counts retrying items that no failure is held against: nobody asked
	// the platform yet, an operator resumed the run since, or they met a
	// credential that was refused, which is the run's matter.
	Again int
	// Aside counts items that were set aside, skipped or parked, because of what
	// the platform answered.
	Aside int
	// Waiting counts exchanged items whose proof only waits for their row in the
	// app's own table, which another transaction has locked: it says nothing
	// about the exchange, and may take longer than the window lasts.
	Waiting int
	// Accepted tells that an operator let the run go on from here.
	Accepted bool
}

// MaySettle reports whether the wave's shops have all been tried to an end, so
// that the next wave may be judged. Shops that wait for a later attempt do not
// hold a wave back: they count as failed until they are done.
func (w WaveStatus) MaySettle() bool {
	c := w.Counts
	return w.Released && c.Total > 0 && c.Pending+c.Claimed+c.Exchanged-w.Waiting+c.Unknown+w.Again == 0
}

// barrenAside is how many shops set aside make a wave without a proven one
// suspicious even if earlier waves went well.
const barrenAside = 5

// Barren reports whether the wave's shops were tried to an end and none came to
// be proven. Dead shops never count, but a fleet of nothing else looks exactly
// like a wrong path or an outage that answers 401 or 404. A late install or two
// that are dead, after waves that went well, are only that.
func (w WaveStatus) Barren(provenBefore bool) bool {
	return !w.Accepted && w.Counts.Proven == 0 && w.Counts.Retrying == 0 &&
		w.Aside > 0 && (!provenBefore || w.Aside >= barrenAside)
}

// Undecided reports whether nothing of the wave is proven yet and shops of it
// wait for another attempt: it is too early to judge.
func (w WaveStatus) Undecided() bool {
	return !w.Accepted && w.Counts.Proven == 0 && w.Counts.Retrying > 0
}
