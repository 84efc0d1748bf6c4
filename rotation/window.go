package rotation

import (
	"fmt"
	"math"
	"sort"
	"time"
)

// WindowLength is the life of a refresh token from its making in the Partners
// dashboard (Haravan, API Credential Rotation, step 4).
const WindowLength = time.Hour

// CallsPerShop is what one shop costs: the exchange and the identity read.
const CallsPerShop = 2

// MayBegin reports whether a call that usually takes up to p99 can end before
// the window does. Beginning a call that cannot be read to its end would make a
// token that nobody stores.
func MayBegin(left, p99, margin time.Duration) bool { return left > p99+margin }

// Load is the arithmetic's input: what must be done, and with what.
type Load struct {
	// Shops still to be exchanged.
	Shops int
	// Latency is the median time of one call.
	Latency time.Duration
	// InFlight is how many calls may run at once, over all workers.
	InFlight int
	// MaxInFlight is the most that may be asked for.
	MaxInFlight int
	// Rate is a cap in shops per second, 0 for none.
	Rate float64
	// Left is what remains of the window.
	Left time.Duration
	// Retries is the expected share of calls made again, e.g. 0.05.
	Retries float64
	// Waves are how the fleet is released; nil for all at once and in full swing
	// from the beginning, as for what is left of a run.
	Waves *WavePolicy
	// Begun tells that the run's canary is through: Waves are what comes after.
	Begun bool
	// Walk is how many of the shops are not in the run yet.
	Walk int
	// Workers share InFlight; 0 counts as one.
	Workers int
	// Ceiling is the most shops per second that one worker's machine manages
	// when calls take no time; 0 if it was not measured.
	Ceiling float64
	// Step is the time of one of the engine's own steps, 0 for DefaultStep.
	Step time.Duration
}

// Outlook is the kind of verdict.
type Outlook string

const (
	// OutlookFits: one window is enough, with the margin asked for.
	OutlookFits Outlook = "fits"
	// OutlookRaise: it fits with more calls in flight.
	OutlookRaise Outlook = "fits_if_raised"
	// OutlookWindows: it needs more than one refresh token.
	OutlookWindows Outlook = "needs_windows"
	// OutlookNever: no number of windows helps: nothing may be in flight, or a
	// single call outlives a window.
	OutlookNever Outlook = "does_not_fit"
)

// Verdict says whether a fleet fits the window, with the arithmetic.
type Verdict struct {
	Outlook Outlook       `json:"outlook"`
	Needs   time.Duration `json:"-"`
	// NeedsSeconds is Needs for machines.
	NeedsSeconds float64 `json:"needs_seconds"`
	// Margin is left/needed, minus one: 0.5 is half an hour to spare in one.
	Margin float64 `json:"margin"`
	// InFlight is how many calls in flight the outlook counts on: raised as far as
	// it takes when that makes it fit, else as given.
	InFlight int `json:"inflight"`
	// Windows is how many refresh tokens it takes with them.
	Windows int    `json:"windows"`
	Words   string `json:"words"`
}

// Safety is the share of the window that a plan leaves unused.
const Safety = 0.15

// longest bounds what is computed with, in seconds: a century is never, and a
// time.Duration holds it.
const longest = 100 * 365 * 24 * 3600

// Judge tells whether the load fits the window: whether the time that Foresee
// computes does, of which the greatest part is
// shops × calls × latency × (1 + retries) ÷ in-flight.
func Judge(l Load) Verdict {
	if l.InFlight <= 0 || l.Left <= 0 {
		return Verdict{Outlook: OutlookNever, Words: "no call may be made: nothing may be in flight or no time is left"}
	}
	if l.Latency >= WindowLength {
		return Verdict{Outlook: OutlookNever, Words: fmt.Sprintf("does not fit: one call takes %s, longer than a refresh token lives", short(l.Latency))}
	}
	f := Foresee(l)
	seconds := f.Total.Seconds()
	usable := l.Left.Seconds() * (1 - Safety)
	v := Verdict{
		Needs: f.Total, NeedsSeconds: seconds,
		InFlight: l.InFlight, Windows: 1, Outlook: OutlookFits,
	}
	if seconds > 0 {
		v.Margin = l.Left.Seconds()/seconds - 1
	}
	sum := l.sum(f)
	if seconds <= usable {
		v.Words = fmt.Sprintf("fits with a margin of %s, taking %s of the window: %s", margin(v.Margin), share(seconds/l.Left.Seconds()), sum)
		return v
	}
	if need, ok := l.raised(usable); ok {
		v.Outlook, v.InFlight = OutlookRaise, need
		v.Words = fmt.Sprintf("fits if in-flight is raised to %d: %s", need, sum)
		return v
	}
	v.Outlook, v.Windows = OutlookWindows, windowsFor(seconds, usable)
	v.Words = fmt.Sprintf("needs %d refresh tokens, one after the other: %s", v.Windows, sum)
	// More calls than there are shops are never in flight.
	if l.InFlight = min(l.MaxInFlight, l.Shops); l.InFlight > v.InFlight {
		if faster := Foresee(l).Total; faster < f.Total {
			v.Words += fmt.Sprintf("; raised to %d in flight it needs %d, for %s", l.InFlight, windowsFor(faster.Seconds(), usable), short(faster))
		}
	}
	return v
}

// windowsFor is how many refresh tokens so many seconds take. The first window is
// what is left of it, the others are whole.
func windowsFor(seconds, usable float64) int {
	return 1 + int(math.Ceil(max(0, seconds-usable)/(WindowLength.Seconds()*(1-Safety))))
}

// FitsFresh reports whether the load would fit a refresh token made now, as it is.
func (v Verdict) FitsFresh() bool {
	return v.Outlook != OutlookNever && v.Needs.Seconds() <= WindowLength.Seconds()*(1-Safety)
}

// sum is the arithmetic in words. Behind the sign of equality is what a pocket
// calculator shows; what else the run takes is said beside it.
func (l Load) sum(f Forecast) string {
	parallel := max(l.InFlight, l.Workers) // each worker has one at least
	calls := seconds(float64(l.Shops) * CallsPerShop * l.Latency.Seconds() * (1 + l.Retries) / float64(parallel))
	text := fmt.Sprintf("%s × %d calls × %s × %.2f ÷ %d in flight",
		Plural(l.Shops, "shop"), CallsPerShop, short(l.Latency), 1+l.Retries, parallel)
	switch f.Bound {
	case BoundMachine:
		text += fmt.Sprintf(", at most %.0f shops/s by this machine", f.ShopsPerS)
	case BoundRate:
		text += fmt.Sprintf(", at most %.3g shops/s by the cap", l.Rate)
	}
	if f.Bound != BoundInFlight && f.ShopsPerS > 0 {
		calls = seconds(float64(l.Shops) / f.ShopsPerS)
	}
	other := f.Total - calls
	if other <= 0 || short(calls) == short(f.Total) {
		return fmt.Sprintf("%s = %s, %s left", text, short(f.Total), short(l.Left))
	}
	walk := ""
	if f.Walk > 0 {
		walk = "the walk, "
	}
	return fmt.Sprintf("%s = %s of calls, with %s for %sthe way up to full speed, the waves and the last shops: %s in all, %s left",
		text, short(calls), short(other), walk, short(f.Total), short(l.Left))
}

// raised is the least number of calls in flight with which the load takes no
// longer than usable seconds; false when MaxInFlight is not enough.
func (l Load) raised(usable float64) (int, bool) {
	least := l.InFlight
	fits := func(more int) bool {
		l.InFlight = least + more
		return Foresee(l).Total.Seconds() <= usable
	}
	most := l.MaxInFlight - least
	if most <= 0 || !fits(most) {
		return 0, false
	}
	return least + sort.Search(most, fits), true
}

// short rounds to what a person reads: three digits or so.
func short(d time.Duration) time.Duration {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second)
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond)
	}
	return d.Round(10 * time.Microsecond)
}

// margin writes what is to spare, in shares of what is needed.
func margin(m float64) string {
	if m <= 0 || m > 10 {
		return "more than tenfold"
	}
	return fmt.Sprintf("%.0f %%", m*100)
}

// share writes a fraction in percent.
func share(f float64) string {
	if f < 0.01 {
		return "less than 1 %"
	}
	return fmt.Sprintf("%.0f %%", f*100)
}
