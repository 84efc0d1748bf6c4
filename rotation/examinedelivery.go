package rotation

import (
	"fmt"
	"time"
)

// Untold counts the new tokens that an app has not acknowledged at its deliver URL,
// whatever became of the runs that made them. Those that an operator waived are left
// out.
type Untold struct {
	// Shops is how many, Failing of those were sent in vain.
	Shops, Failing int
	// FailingSince is when the oldest of the failing was made, zero without one.
	FailingSince time.Time
	// DownSince is since when the app acknowledges nothing at all, zero if it does.
	DownSince time.Time
}

// untold reports whether somebody must look why the app does not know its tokens: what
// failed a moment ago is only tried again.
func (f AppFacts) untold() bool {
	u := f.Untold
	down := u.Shops > 0 && !u.DownSince.IsZero()
	return down || u.Failing > 0 && f.Now.Sub(u.FailingSince) >= deliveryPatience || f.nowhere()
}

// nowhere: the run waits for the app, and has no URL to tell it at.
func (f AppFacts) nowhere() bool {
	return f.Run != nil && f.Run.Deliveries.NoURL && f.Run.Deliveries.Undelivered() > 0
}

func (f AppFacts) examineDeliveries(add adder) {
	if !f.untold() {
		return
	}
	if f.nowhere() {
		step := nextDelivery(f.Run.Deliveries)
		add(CodeDeliveries, SeverityCritical, step.Command, "%s", step.Why)
		return
	}
	u := f.Untold
	severity := SeverityWarning
	if f.Run != nil && f.Run.Deliveries.Required || !u.DownSince.IsZero() {
		severity = SeverityCritical
	}
	words := fmt.Sprintf("the app has not acknowledged the new tokens of %s", Plural(u.Shops, "shop"))
	if u.Failing > 0 {
		words += fmt.Sprintf(", of which %d were sent in vain, the oldest since %s", u.Failing, u.FailingSince.Format(time.RFC3339))
	}
	if !u.DownSince.IsZero() {
		words += fmt.Sprintf("; it acknowledges nothing since %s", u.DownSince.Format(time.RFC3339))
	}
	add(CodeDeliveries, severity, "rotator delivery list", "%s: mend what receives them, then `rotator delivery retry`", words)
}
