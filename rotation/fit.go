package rotation

import (
	"fmt"
	"time"
)

// MaxAdvisedInFlight is the most calls in flight that a verdict advises for one
// app: beyond it sockets and file handles become the limit.
const MaxAdvisedInFlight = 4096

// ExpectedRetries is the share of calls that a verdict expects to be made again.
const ExpectedRetries = 0.05

// Measured is how fast the platform answered when it was asked.
type Measured struct {
	// LatencyMS is the median time of one call, in milliseconds.
	LatencyMS float64 `json:"latency_ms"`
	// How says what was measured.
	How string `json:"how"`
}

// latency is the median as a duration.
func (m Measured) latency() time.Duration {
	return time.Duration(m.LatencyMS * float64(time.Millisecond))
}

// Judged is a verdict on a run, with what it was taken on and when.
type Judged struct {
	Verdict
	Measured Measured  `json:"measured"`
	At       time.Time `json:"at"`
}

// Fits reports whether one window is enough.
func (j *Judged) Fits() bool { return j.Outlook == OutlookFits }

// Fit judges what the run has still to do against what is left of its window,
// with the calls that the run allows and its live workers can make.
func Fit(s Snapshot, m Measured) Verdict {
	inflight := s.InFlight
	if s.Reach > 0 {
		inflight = min(inflight, s.Reach)
	}
	return Judge(Load{
		Shops: s.Counts.Open() + s.LateInstalls, Latency: m.latency(), InFlight: inflight,
		MaxInFlight: max(s.InFlight, MaxAdvisedInFlight), Left: s.Window.Left(s.Now), Retries: ExpectedRetries,
		Rate: s.CallsPerS / CallsPerShop,
	})
}

// fitCondition is the preflight's verdict, taken again on what is so now.
func fitCondition(s Snapshot) Condition {
	const name = "the fleet fits the window, or several are accepted"
	if s.Preflight == nil {
		return Condition{Name: name, Met: true, Evidence: "nobody measured; judged when the first wave is done"}
	}
	if !s.WalkDone && !s.AcceptWindows { // too few shops are counted yet
		return Condition{Name: name, Evidence: "not known before every shop is in the run"}
	}
	v := Fit(s, *s.Preflight)
	words := s.Preflight.How + ": " + v.Words
	if s.AcceptWindows && v.Outlook != OutlookFits {
		words = "several are accepted; " + words
	}
	return condition(name, v.Outlook == OutlookFits || s.AcceptWindows, words, words)
}

// judgeRun gives the verdict on measured latencies. hold is set when the run
// does not fit and nobody accepted that it takes more than one refresh token.
func judgeRun(s Snapshot, m Measured) (a Action, hold bool) {
	j := &Judged{Verdict: Fit(s, m), Measured: m, At: s.Now}
	a = Action{Judge: j, Why: m.How + ": " + j.Words}
	if j.Fits() || s.AcceptWindows {
		return a, false
	}
	_, way := wayOut(s, j.Verdict)
	a.Hold, a.Why = HeldWaiting, a.Why+"; "+way
	return a, true
}

// VerdictIsWhy reports whether the run is held because it does not fit.
func VerdictIsWhy(s Snapshot) bool {
	return s.Held == HeldWaiting && !s.Window.Refused && s.Judged != nil && !s.Judged.Fits() && !s.AcceptWindows
}

// wayOut is what an operator may do about a run that does not fit: the first
// thing to type, and all of it in words.
func wayOut(s Snapshot, v Verdict) (cmd, words string) {
	accept := command(s, "resume --accept-windows")
	others := fmt.Sprintf("or accept that it takes another refresh token before the end: `%s`, or enter a fresh one: `%s`",
		accept, command(s, "arm"))
	switch {
	case v.Outlook != OutlookRaise && s.CallsPerS > 0:
		return accept, fmt.Sprintf("allow more calls per second: `%s`, %s", command(s, "tune --rate 0"), others)
	case v.Outlook != OutlookRaise:
		return accept, fmt.Sprintf("accept that it takes more than this refresh token: `%s`; more in flight on more workers helps, and so does a fresh token: `%s`", accept, command(s, "arm"))
	case v.InFlight > s.InFlight:
		tune := command(s, fmt.Sprintf("tune --inflight %d", v.InFlight))
		words = fmt.Sprintf("raise what may be in flight: `%s`", tune)
		if s.Reach > 0 && s.Reach < v.InFlight {
			words += fmt.Sprintf(" (the live workers have at most %d: start more)", s.Reach)
		}
		return tune, words + ", " + others
	}
	return "rotator worker", fmt.Sprintf("start more workers (the live ones have at most %d in flight, %d are needed), then `%s`, %s",
		s.Reach, v.InFlight, command(s, "resume"), others)
}
