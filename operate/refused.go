package operate

import (
	"fmt"
	"strings"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Refused says why an operation is not allowed now.
type Refused struct {
	// What was asked for, e.g. "confirm revoked".
	What string
	Why  string
	// Unmet are the gate's conditions that stand in the way.
	Unmet []rotation.Condition
	Next  rotation.Step
}

// Error implements error.
func (r *Refused) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%s is refused", r.What)
	if r.Why != "" {
		b.WriteString(": " + r.Why)
	}
	for _, c := range r.Unmet {
		fmt.Fprintf(&b, "\n  not met: %s (%s)", c.Name, c.Evidence)
	}
	return b.String()
}

// DoesNotFit says that the window is too short for the fleet.
type DoesNotFit struct{ Verdict rotation.Verdict }

// Error implements error.
func (d *DoesNotFit) Error() string {
	return "the window is too short: " + d.Verdict.Words
}

// refuseConflict is refuse by what the store says of a conflict, without the
// tail that only says that it is one.
func refuseConflict(what string, conflict error, s rotation.Snapshot) *Refused {
	return refuse(what, strings.TrimSuffix(conflict.Error(), ": "+store.ErrConflict.Error()), s)
}

func refuse(what, why string, s rotation.Snapshot) *Refused {
	return &Refused{What: what, Why: why, Next: rotation.Next(s)}
}

func gateRefusal(what string, s rotation.Snapshot, gate []rotation.Condition) *Refused {
	r := refuse(what, "", s)
	for _, c := range gate {
		if !c.Met {
			r.Unmet = append(r.Unmet, c)
		}
	}
	return r
}
