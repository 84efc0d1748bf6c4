package rotation

import (
	"fmt"
	"time"
)

// Burn sets the speed that a window asks for against the speed that there is.
type Burn struct {
	// Needed is how many shops per second must be settled for the last one to
	// be done when the window ends; 0 when none is open or no time is left.
	Needed float64 `json:"needed_shops_per_s"`
	// Rate is the actual speed, in shops per second.
	Rate float64 `json:"actual_shops_per_s"`
	// Late is how many shops will still be open when the window ends.
	Late int `json:"late_shops"`
	// Behind tells that the window ends before the shops do.
	Behind bool `json:"behind"`
}

// BurnDown tells whether open shops can be settled in what is left of the
// window at a rate in shops per second.
func BurnDown(open int, left time.Duration, rate float64) Burn {
	b := Burn{Rate: max(0, rate)}
	if open <= 0 {
		return b
	}
	if left <= 0 {
		b.Late, b.Behind = open, true
		return b
	}
	b.Needed = float64(open) / left.Seconds()
	if done := b.Rate * left.Seconds(); done < float64(open) {
		b.Late, b.Behind = open-int(done), true
	}
	return b
}

// Words says it in one clause.
func (b Burn) Words() string {
	switch {
	case !b.Behind:
		return fmt.Sprintf("%.1f shops/s are needed, %.1f are made", b.Needed, b.Rate)
	case b.Needed == 0:
		return "no time is left for " + Plural(b.Late, "shop")
	}
	return fmt.Sprintf("%.1f shops/s are needed, %.1f are made: %s will be left when the window ends", b.Needed, b.Rate, Plural(b.Late, "shop"))
}

// earlyWaves is how long a run is not held to its speed: the first waves are
// small on purpose.
const earlyWaves = 2 * time.Minute

// Burning is the burn-down of a run at a rate in shops per second. ok is false
// while a rate says nothing: the run does not exchange, or its first waves are
// on and most of the window is left.
func Burning(s Snapshot, rate float64) (b Burn, ok bool) {
	if !HasSpeed(s) {
		return b, false
	}
	return BurnDown(s.Counts.Open(), s.Window.Left(s.Now), rate), true
}

// HasSpeed reports whether the run's speed says anything yet: see Burning.
func HasSpeed(s Snapshot) bool {
	if s.Held != HeldNot || !windowRuns(s) || s.Counts.Open() == 0 {
		return false
	}
	early := s.Now.Sub(s.PhaseAt) < earlyWaves || !allReleased(s.Waves)
	return !early || s.Window.Left(s.Now) <= WindowLength/4
}
