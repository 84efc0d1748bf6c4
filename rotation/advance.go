package rotation

import (
	"fmt"
	"strings"
	"time"
)

// Action is one thing that the engine must do to move a run.
type Action struct {
	// Enter is the phase to enter, if any.
	Enter Phase
	// Hold holds the run, with Why; Resume ends the hold that the snapshot saw.
	Hold   Held
	Resume bool
	// Release is the number of the wave to release, if any.
	Release int
	// Settle is the number of the wave to mark as settled, if any.
	Settle int
	// Sweep takes shops that came since the walk into the run, and opens proven
	// items again whose token was replaced or superseded since.
	Sweep bool
	// Certify writes the certificate.
	Certify bool
	// Judge stores a verdict, with the hold that it asks for, if any.
	Judge *Judged
	Why   string
}

// Advance decides what the engine does next. The actions are safe to carry out
// one after the other; each is fenced by the state that the snapshot saw.
func Advance(s Snapshot) []Action {
	if s.Held != HeldNot {
		return lift(s)
	}
	if s.Kind == KindTokenMigration {
		return advanceMigration(s)
	}
	switch s.Phase {
	case PhaseArmed:
		if GateMet(Gate(s)) {
			return []Action{{Enter: PhaseExchanging, Why: "every shop is in the run and the window is open"}}
		}
		return holdArmed(s)
	case PhaseExchanging:
		return advanceExchanging(s)
	case PhaseProven:
		if !GateMet(provenGate(s)) {
			return []Action{{Enter: PhaseExchanging, Why: "a shop came since whose token needs the old secret"}}
		}
		if !s.Certificate {
			return []Action{{Certify: true, Why: "every condition to revoke the old secret is met"}}
		}
		if t, ok := s.Course().Forward(PhaseProven); ok && t.Driver == DriverEngine {
			return []Action{{Enter: t.To, Why: "the old secret is revoked already: old and new tokens are looked at"}}
		}
	}
	return nil
}

func advanceExchanging(s Snapshot) []Action {
	if GateMet(Gate(s)) {
		return []Action{{Enter: PhaseProven, Why: "nothing needs the old secret any more"}}
	}
	var actions []Action
	// What is only to be proven needs no refresh token.
	if !s.NoneNeedsToken && s.Counts.Open()-s.Counts.Exchanged+s.LateInstalls+s.LateExchanges+s.OldVersionShops > 0 {
		if hold := holdIfExpired(s); hold != nil {
			return hold
		}
	}
	actions = append(actions, advanceWaves(s)...)
	if s.Counts.Open() == 0 && allReleased(s.Waves) {
		if again := s.LateExchanges + s.OldVersionShops; s.LateInstalls+again > 0 {
			actions = append(actions, Action{Sweep: true, Why: fmt.Sprintf("%s came since the walk, %d must be proven again", Plural(s.LateInstalls, "shop"), again)})
		}
	}
	return actions
}

// lift ends a hold for want of a refresh token whose reason is gone: a token came
// beside the hold, or what was left of the run was waived, excluded or exchanged in
// the answers that were still to come.
func lift(s Snapshot) []Action {
	if !holdIsOver(s) {
		return nil
	}
	if s.Window.Left(s.Now) > 0 {
		return []Action{{Resume: true, Why: "another refresh token came"}}
	}
	return []Action{{Resume: true, Why: "no refresh token is needed"}}
}

// holdIsOver reports whether a run is held because its window ended, although it has
// another one or needs none any more.
func holdIsOver(s Snapshot) bool {
	return s.Held == HeldWindowExpired && (s.Window.Left(s.Now) > 0 || s.NoneNeedsToken)
}

// advanceWaves settles what is done and releases the next wave, or opens the
// breaker when the one before it failed its error budget.
func advanceWaves(s Snapshot) []Action {
	var actions []Action
	proven := false
	for _, w := range s.Waves {
		switch {
		case w.Settled:
			proven = proven || w.Counts.Proven > 0
			continue
		case !w.Released:
			return append(actions, release(s, w)...)
		case !w.MaySettle():
			return actions
		case w.OverBudget(s.WavePolicy) != nil:
			return append(actions, Action{Hold: HeldBreakerOpen, Why: fmt.Sprintf(
				"wave %s failed its error budget: %s (%s)",
				w.Name, strings.Join(w.OverBudget(s.WavePolicy), ", and "), w.failures())})
		case w.Barren(proven):
			return append(actions, Action{Hold: HeldBreakerOpen, Why: fmt.Sprintf(
				"wave %s: not one of %s was proven; look at `%s` before more are tried%s", w.Name, Plural(w.Counts.Total, "shop"), command(s, "report"), stayAside(s, w))})
		case w.Undecided():
			return actions
		}
		proven = proven || w.Counts.Proven > 0
		actions = append(actions, Action{Settle: w.Number, Why: "wave " + w.Name})
	}
	return actions
}

// stayAside warns that shops which a wrong host took for gone are not tried again by
// a resume, and would lose their tokens with the old secret.
func stayAside(s Snapshot, w WaveStatus) string {
	if w.Counts.Skipped == 0 {
		return ""
	}
	return fmt.Sprintf("; those that were skipped stay so unless you have them tried again: `%s`", command(s, "retry --class CLASS"))
}

// release lets the next wave go, unless the app is unwell at the moment. Before
// the first one after the canary the run is judged again, by what the exchange
// itself was measured to take.
func release(s Snapshot, w WaveStatus) []Action {
	if s.Health.Failures > 0 {
		return nil
	}
	out := []Action{{Release: w.Number, Why: "wave " + w.Name}}
	if s.Judged != nil || s.Measured == nil || s.InFlight <= 0 || s.Window.Left(s.Now) <= 0 {
		return out
	}
	judge, hold := judgeRun(s, *s.Measured)
	if hold {
		return []Action{judge}
	}
	return append([]Action{judge}, out...)
}

func allReleased(ws []WaveStatus) bool {
	for _, w := range ws {
		if !w.Released {
			return false
		}
	}
	return true
}

// holdArmed holds a run that waits for nothing but its own verdict.
func holdArmed(s Snapshot) []Action {
	if hold := holdIfExpired(s); hold != nil {
		return hold
	}
	if !s.WalkDone || s.Preflight == nil || s.Window.Left(s.Now) <= 0 {
		return nil
	}
	judge, hold := judgeRun(s, *s.Preflight)
	if !hold {
		return nil
	}
	return []Action{judge}
}

func holdIfExpired(s Snapshot) []Action {
	if s.Window.Left(s.Now) > 0 || s.Window.ExpiresAt.IsZero() {
		return nil
	}
	why := "the refresh token's hour ended at " + s.Window.ExpiresAt.UTC().Format(time.RFC3339)
	if s.Window.Refused {
		return []Action{{Hold: HeldWaiting, Why: "the platform refused the refresh token"}}
	}
	return []Action{{Hold: HeldWindowExpired, Why: why}}
}
