package rotation

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// Policy is what a check holds the facts against; see DefaultPolicy.
type Policy struct {
	// MaxAge is how old the secret in use may become, WarnAge from when it is
	// said.
	MaxAge, WarnAge time.Duration
	// StalledAfter is how long a run may stand still while it has work to do.
	StalledAfter time.Duration
	// RetireWithin is how long an old secret may live when nothing needs it.
	RetireWithin time.Duration
	// Skew is how far a clock may be off.
	Skew time.Duration
}

// DefaultPolicy rotates a secret twice a year.
var DefaultPolicy = Policy{
	MaxAge: 180 * 24 * time.Hour, WarnAge: 150 * 24 * time.Hour,
	StalledAfter: 10 * time.Minute, RetireWithin: 24 * time.Hour, Skew: time.Minute,
}

// AppFacts is what is known of an app at one moment.
type AppFacts struct {
	App string
	Now time.Time
	// SecretAt is when the secret in use was stored here, zero without one.
	SecretAt time.Time
	// RetiringAt is when a secret that is not revoked yet was superseded.
	RetiringAt time.Time
	// Run is the open run's snapshot, nil when none is open.
	Run *Snapshot
	// ProgressAt is when the run last moved: a shop, a phase, a decision.
	ProgressAt time.Time
	// Rate is the run's speed of late, in shops per second.
	Rate float64
	// Untold are the new tokens that the app, at its deliver URL, does not know.
	Untold Untold
	// Sampled is what sampled shops answered, by class; "" is alive. Refused
	// names shops whose token was refused, Unsealed those whose token does not
	// open.
	Sampled           map[Class]int
	Refused, Unsealed []string
}

// Examine judges the facts of one app.
func Examine(f AppFacts, p Policy) []Finding {
	var found []Finding
	add := func(c Code, s Severity, next, format string, args ...any) {
		finding := Finding{Code: c, Severity: s, App: f.App, Words: fmt.Sprintf(format, args...), Next: next}
		if f.Run != nil && c != CodeSecretAge && c != CodeTokens && c != CodePlatform {
			finding.Run = f.Run.RunID
		}
		found = append(found, finding)
	}
	f.examineSecrets(p, add)
	if f.Run != nil {
		f.examineRun(p, add)
	}
	f.examineDeliveries(add)
	f.examineSample(add)
	return found
}

type adder func(c Code, s Severity, next, format string, args ...any)

func (f AppFacts) examineSecrets(p Policy, add adder) {
	age := f.Now.Sub(f.SecretAt)
	next := "rotator rotation plan"
	if f.Run != nil {
		next = nextCommand(*f.Run)
	}
	switch {
	case f.SecretAt.IsZero():
	case age >= p.MaxAge:
		add(CodeSecretAge, SeverityCritical, next, "the secret in use was stored %s ago, %s are allowed: rotate it", days(age), days(p.MaxAge))
	case age >= p.WarnAge:
		add(CodeSecretAge, SeverityWarning, next, "the secret in use was stored %s ago, %s are allowed: plan its rotation", days(age), days(p.MaxAge))
	}
	since, next := f.RetiringAt, "rotator rotation start"
	if f.Run != nil {
		if f.Run.Phase != PhaseProven || !f.Run.Certificate {
			return // the run still needs it, or it is revoked
		}
		since, next = f.Run.PhaseAt, nextCommand(*f.Run)
	}
	if idle := f.Now.Sub(since); !since.IsZero() && idle >= p.RetireWithin {
		why := "no stored token needs it: `rotator rotation next` says what comes before its revoke"
		if f.Run == nil {
			why = "no run is open: another rotation must be finished before it can be revoked"
		}
		add(CodeOldSecret, SeverityWarning, next, "the old secret is still alive after %s; %s", span(idle), why)
	}
}

func (f AppFacts) examineRun(p Policy, add adder) {
	s := *f.Run
	next := nextCommand(s)
	switch {
	case s.Held == HeldPaused:
		add(CodeHeld, SeverityWarning, next, "paused: %s", s.HeldWhy)
	case s.Held != HeldNot:
		add(CodeHeld, SeverityCritical, next, "%s: %s", s.Held, s.HeldWhy)
	}
	working := s.Held == HeldNot && (needsWorker(s) || !s.WalkDone && s.Phase.Before(PhaseExchanging))
	switch still := f.Now.Sub(f.ProgressAt); {
	case !working:
	case s.Workers == 0 && s.ReadOnly:
		add(CodeDatabaseWrites, SeverityCritical, "rotator doctor", "%s in phase %s", unwritableWords, s.Phase)
	case s.Workers == 0 && windowRuns(s):
		add(CodeNoWorker, SeverityCritical, "rotator worker", "no worker is alive, and %s of the window are left", span(s.Window.Left(s.Now)))
	case s.Workers == 0:
		add(CodeNoWorker, SeverityWarning, "rotator worker", "no worker is alive, and the run has work for one in phase %s", s.Phase)
	case s.unwritable():
		// A moment's stop is no finding, and never hidden behind the one below.
		if still >= unwritablePatience {
			add(CodeDatabaseWrites, SeverityCritical, next, "%s for %s in phase %s", unwritableWords, span(still), s.Phase)
		}
	case f.untold() && s.Counts.Open() == 0 && s.Deliveries.Required: // which says what it waits for
	case still >= p.StalledAfter:
		add(CodeStalled, SeverityCritical, command(s, "explain"), "nothing moved for %s in phase %s, with %s open and workers alive", span(still), s.Phase, Plural(s.Counts.Open(), "shop"))
	}
	if b, ok := Burning(s, f.Rate); ok && b.Behind {
		add(CodeWindow, SeverityCritical, command(s, "status"), "%s are left of the window: %s; raise --inflight with `rotator rotation tune`, or have another refresh token ready",
			span(s.Window.Left(s.Now)), b.Words())
	}
	if n := s.Counts.Parked; n > 0 {
		add(CodeParked, SeverityWarning, command(s, "report"), "%s parked: retry, or waive by name", Counted(n, "shop", "is", "are"))
	}
	if WrongSecretRevoked(s) { // whose words below would lead to the revoke of the other
		step := nextWrongRevoke(s)
		add(CodeBroken, SeverityCritical, step.Command, "%s", step.Why)
		return
	}
	if n := s.Revocation.NewDead - s.Revocation.OnlyOld; n > 0 {
		add(CodeBroken, SeverityCritical, "rotator rotation report", "%s no working token since the revoke: send the re-install links of the report", Counted(n, "shop", "has", "have"))
	}
	if n := s.Revocation.OldAlive; n > 0 && s.Revocation.Done() {
		again := "then say so again, or "
		if s.Phase != PhaseRevoked { // found by a late look
			next, again = command(s, "report"), ""
		}
		add(CodeOldTokens, SeverityCritical, next, "the old secret was said to be revoked: %s; %swaive a shop whose former token was of the new secret already", stillAlive(s), again)
	}
}

// unwritablePatience is how long the database may take no writes before somebody is
// called.
const unwritablePatience = 15 * time.Second

// windowRuns reports whether the refresh token's hour is being used.
func windowRuns(s Snapshot) bool {
	return (s.Phase == PhaseArmed || s.Phase == PhaseExchanging) && s.Window.Left(s.Now) > 0
}

// examineRefused judges the tokens that were refused of those that got a clear answer.
func (f AppFacts) examineRefused(asked, answered int, add adder) {
	n := len(f.Refused)
	words := fmt.Sprintf("%d of %s refused: %s", n, sampled(asked), naming(f.Refused))
	switch {
	case n == 0:
	case n > 1 && n*2 > answered && f.beforeRevoke(): // where the next step is a revoke
		cancel := command(*f.Run, "cancel --confirm "+f.App)
		add(CodeTokens, SeverityCritical, cancel, "%s, before the old secret is said to be revoked: if the new one was instead, %s: make the app use the old one again, then `%s`, and %s",
			words, RevokeNothingMore, cancel, AfterLoss(*f.Run))
	case n > 1 && n == answered:
		add(CodeTokens, SeverityCritical, "rotator doctor", "not one of %d sampled tokens is accepted: is it this app's list, and the right platform? A secret that was revoked looks the same: `%s`", n, f.afterRevoke())
	case n > 1 && n*2 > answered: // not one merchant's doing
		add(CodeTokens, SeverityCritical, f.afterRevoke(), "%s; so many at once look like a secret that was revoked: if it was, its shops are down until they are exchanged", words)
	default:
		severity := SeverityWarning
		if n*2 > answered {
			severity = SeverityCritical
		}
		shop := slices.Min(f.Refused)
		add(CodeTokens, severity, "rotator shop show "+shop, "%s; a shop that removed the app can be left out: `rotator shop exclude %s --reason \"removed the app\"`", words, shop)
	}
}

func sampled(n int) string {
	if n == 1 {
		return "1 sampled token is"
	}
	return fmt.Sprintf("%d sampled tokens are", n)
}

// beforeRevoke reports whether the open run waits for the old secret's revoke.
func (f AppFacts) beforeRevoke() bool {
	return f.Run != nil && f.Run.Kind == KindRotation && f.Run.Mode != ModeBreach && f.Run.Phase == PhaseProven
}

// afterRevoke is what to look at when a secret seems to be revoked: the run that is
// open gives its shops other tokens, else one that begins with the revoke does.
func (f AppFacts) afterRevoke() string {
	if f.Run != nil {
		return command(*f.Run, "next")
	}
	return "rotator rotation plan --breach"
}

func (f AppFacts) examineSample(add adder) {
	if len(f.Unsealed) > 0 {
		add(CodeTokens, SeverityCritical, "rotator doctor", "the keyring does not open the tokens of %s", naming(f.Unsealed))
	}
	asked, silent := 0, 0
	for class, n := range f.Sampled {
		asked += n
		if class.Retryable() {
			silent += n
		}
	}
	f.examineRefused(asked, asked-silent, add)
	switch alive := f.Sampled[""] + f.Sampled[ClassScope]; {
	case alive+silent+len(f.Refused) == 0 && asked >= allGone:
		add(CodePlatform, SeverityCritical, "rotator doctor", "not one of %d sampled shops is there: a wrong host or path says the same of every shop", asked)
	case silent*2 > asked:
		add(CodePlatform, SeverityCritical, "rotator doctor", "%d of %d sampled shops got no proper answer from the platform", silent, asked)
	}
}

// allGone is how many sampled shops must all be gone to be no merchants' doing.
const allGone = 5

// nextCommand is what a person types next in the run, or how to see why nobody
// has to.
func nextCommand(s Snapshot) string {
	if c := Next(s).Command; c != "" {
		return c
	}
	return command(s, "status")
}

// named is how many shops a finding names.
const named = 3

func naming(shops []string) string {
	shops = slices.Sorted(slices.Values(shops))
	if more := len(shops) - named; more > 0 {
		return strings.Join(shops[:named], ", ") + fmt.Sprintf(" and %d more", more)
	}
	return strings.Join(shops, ", ")
}

func days(d time.Duration) string { return fmt.Sprintf("%d days", int(d.Hours()/24)) }

func span(d time.Duration) string { return max(0, d).Round(time.Second).String() }
