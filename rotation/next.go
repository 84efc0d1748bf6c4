package rotation

import (
	"cmp"
	"fmt"
	"strings"
	"time"
)

// Step is what has to happen next, and why.
type Step struct {
	// Command is what an operator types; empty when nobody has to do anything.
	Command string `json:"command"`
	Why     string `json:"why"`
	// Human tells that the run waits for a person.
	Human bool `json:"human"`
}

// Next names the next safe action for the run.
func Next(s Snapshot) Step {
	if s.Phase == PhaseClosed {
		return Step{Why: "the run is closed; nothing is left to do"}
	}
	if s.Cancelled {
		return nextCancelled(s)
	}
	if s.Held != HeldNot {
		return nextHeld(s)
	}
	if s.Workers == 0 && !s.ReadOnly && needsWorker(s) {
		return Step{Command: "rotator worker", Why: "no worker is alive, so nothing moves", Human: true}
	}
	if s.unwritable() {
		return Step{Command: "rotator doctor", Why: unwritableWords + ": see why and mend it; they go on by themselves then", Human: true}
	}
	if s.Kind == KindTokenMigration {
		return nextMigration(s)
	}
	if step, ok := nextBreach(s); ok && s.Mode == ModeBreach {
		return step
	}
	switch s.Phase {
	case PhasePrepared:
		return human(s, "confirm webhooks_dual", "make the app accept webhooks signed by the old secret and by the new one, deploy it everywhere, then say so")
	case PhaseWebhooksDual:
		return human(s, "confirm oauth_switched", "make the app use only the new secret for OAuth (new installs), deploy it everywhere, then say so")
	case PhaseOAuthSwitched:
		if s.NoShops {
			return Step{Command: "rotator shop import FILE", Why: "no shop is stored, so a refresh token's hour would be for nothing: store the app's shops with their tokens first", Human: true}
		}
		return human(s, "arm", "create a refresh token in the Partners dashboard and enter it here: its hour starts when it is made")
	case PhaseArmed:
		return Step{Why: "the worker starts the exchange as soon as every shop is in the run"}
	case PhaseExchanging:
		return nextExchanging(s)
	case PhaseProven:
		if gate := Gate(s); !GateMet(gate) {
			return Step{Why: "do not revoke yet: " + unmet(gate)}
		}
		return human(s, "confirm revoked --confirm "+s.App, s.Counts.Words()+": "+beforeRevoke(s)+"revoke "+oldSecret(s)+" in the Partners dashboard (`rotator secret identify` tells it from the new one), then say so; but if one is revoked already and the app, or `rotator check`, finds new tokens refused, revoke nothing more: say so, and shops are asked which is dead")
	case PhaseRevoked:
		return nextRevoked(s)
	case PhaseWebhooksSingle:
		if step, ok := nextLateToken(s); ok {
			return step
		}
		return human(s, "confirm closed --confirm "+s.App, "old tokens and the refresh token can be shredded and the run closed")
	}
	return Step{}
}

func human(s Snapshot, verb, why string) Step {
	if s.Workers == 0 && !s.WalkDone {
		why += "; start `rotator worker` meanwhile, none is alive to count the shops"
	}
	return Step{Command: command(s, verb), Why: why, Human: true}
}

func command(s Snapshot, verb string) string {
	return fmt.Sprintf("rotator %s %s", s.Kind.Noun(), verb)
}

// SaysUnstorable begins the reason of a hold for what the database refuses to store.
const SaysUnstorable = "PostgreSQL refuses to store"

// SaysCancelling begins the reason of a hold for a cancel that is not over.
const SaysCancelling = "it is being cancelled"

func nextHeld(s Snapshot) Step {
	why := fmt.Sprintf("held (%s): %s", s.Held, s.HeldWhy)
	switch s.Held {
	case HeldWindowExpired:
		if s.NoneNeedsToken && s.Workers > 0 {
			return Step{Why: why + "; no refresh token is needed any more: the run goes on by itself"}
		}
		if s.NoneNeedsToken {
			return Step{Command: "rotator worker", Why: why + "; no refresh token is needed any more, but no worker is alive to go on", Human: true}
		}
		return human(s, "arm", why+"; create another refresh token and enter it: the run continues where it stands")
	case HeldWaiting:
		if strings.HasPrefix(s.HeldWhy, SaysUnstorable) {
			return human(s, "resume", why) // which says what to mend
		}
		if s.Kind == KindTokenMigration {
			return nextRefused(s, why)
		}
		if VerdictIsWhy(s) {
			cmd, _ := wayOut(s, s.Judged.Verdict)
			return Step{Command: cmd, Why: why, Human: true}
		}
		if s.Window.Refused && s.NoneNeedsToken {
			return human(s, "resume", why+"; but nothing is left that needs one: resume")
		}
		if s.Window.Refused {
			return human(s, "arm", why+"; enter a fresh refresh token of this app")
		}
		if s.Bound.concerns(s.HeldWhy) {
			return human(s, "resume", why+tableWords(s))
		}
		if step, ok := wrongSecret(s, why); ok {
			return step
		}
		return human(s, "resume", why+"; check secret, client id and hosts with `rotator doctor`, then resume")
	case HeldBreakerOpen:
		if s.Window.Refused {
			return human(s, "arm", why+fmt.Sprintf("; the refresh token is refused, too: enter a fresh one of this app, look at `%s`, then `%s`", command(s, "report"), command(s, "resume")))
		}
		if s.EarlierTokens && !s.Contained() { // the shops' tokens are of the secret that the run goes to
			return human(s, "resume", why+fmt.Sprintf("; look at `%s`. If the new secret, version %d, has leaked or was revoked: do not revoke the old one, then `%s`, %s; else mend the cause, then resume",
				command(s, "report"), s.NewSecret, command(s, "cancel --confirm "+s.App), AfterLoss(s)))
		}
		return human(s, "resume", why+fmt.Sprintf("; look at `%s`, mend the cause, then resume", command(s, "report")))
	default:
		if strings.HasPrefix(s.HeldWhy, SaysCancelling) {
			return human(s, "cancel --confirm "+s.App, why+fmt.Sprintf("; or let the run go on with `%s`: what is cleared already is derived anew", command(s, "resume")))
		}
		return human(s, "resume", why)
	}
}

// tableWords are about a hold for the app's own table: it, or some of its rows.
func tableWords(s Snapshot) string {
	return fmt.Sprintf("; `rotator shop bind` tells whether the table is in order, `%s` which shops it refuses; then resume; a row that goes on refusing is parked by itself", command(s, "report"))
}

func nextExchanging(s Snapshot) Step {
	c := s.Counts
	if barren(s) {
		return human(s, "report", fmt.Sprintf("not one of %s is proven, and nothing is left to try: see why, then retry them by class or by name, or cancel the run", Plural(c.Total, "shop")))
	}
	if c.Open() == 0 && c.Parked == 0 && s.Deliveries.Required && s.Deliveries.Undelivered() > 0 {
		return nextDelivery(s.Deliveries)
	}
	if c.Open() > 0 || c.Parked == 0 {
		return Step{Why: fmt.Sprintf("working: %d of %s settled", c.Settled(), Plural(c.Total, "shop"))}
	}
	return human(s, "retry", Counted(c.Parked, "shop", "is", "are")+" parked: see `rotator rotation report`, then retry or waive by name (`rotator rotation waive DOMAIN --reason …`)")
}

// deliveryPatience is how long a token may be underway to the app before
// somebody is called.
const deliveryPatience = time.Minute

func nextDelivery(d Deliveries) Step {
	why := "the app is yet to acknowledge " + Plural(d.Undelivered(), "new token")
	if d.NoURL {
		return Step{Command: "rotator app set --deliver-url URL", Human: true, Why: why + ", but has no URL any more: set one, or give it up with `rotator rotation tune --require-delivery=false`"}
	}
	// While some are pending for another reason than that the app is down, they
	// are being sent.
	if d.Failing == 0 || d.Oldest < deliveryPatience || d.Pending > 0 && d.DownSince.IsZero() {
		return Step{Why: why}
	}
	return Step{Command: "rotator delivery list", Human: true, Why: fmt.Sprintf(
		"%s, and %d were sent in vain: mend what receives them, then `rotator delivery retry`; a shop can be waived by name", why, d.Failing)}
}

// exportCommand writes the tokens that the app may not have: also those that runs
// before this one swapped and left when they were cancelled.
func exportCommand(s Snapshot) string {
	return fmt.Sprintf("rotator shop export --changed-since %d --output FILE", cmp.Or(s.LoadSince, s.RunID))
}

// beforeRevoke is what must be so before the tokens die that the app may still
// work with.
func beforeRevoke(s Snapshot) string {
	words := ""
	if n := s.Deliveries.Undelivered(); n > 0 {
		words = fmt.Sprintf("the app has not acknowledged %s yet (`rotator delivery list`); when it has, ", Plural(n, "new token"))
	}
	if n := s.ToLoad - s.Deliveries.Undelivered(); n > 0 {
		words += fmt.Sprintf("load the new tokens of %s into the app (`%s`), whose old ones die with the old secret; then ", Plural(n, "shop"), exportCommand(s))
	}
	return words
}

// nextLateToken is what a token that was made late, for a run that is past its check,
// asks for before it can be closed.
func nextLateToken(s Snapshot) (Step, bool) {
	switch r := s.Revocation; {
	case !r.Done():
		return Step{Why: fmt.Sprintf("looking at the tokens of %s once more, for which a call of an earlier run got another", Plural(r.Planned-r.NewAlive-r.NewDead, "shop"))}, true
	case r.NewDead > 0:
		return nextBroken(s), true
	}
	return Step{}, false
}

func nextBroken(s Snapshot) Step {
	if r := s.Revocation; r.NewDead > 1 && r.NewAlive == 0 { // no merchants' doing
		return human(s, "report", fmt.Sprintf("not one of %d new tokens lives, and the old ones are dead: it seems that the new secret is revoked, too. If it is: waive these shops (`rotator rotation waive DOMAIN --reason …`), "+
			"finish the run (`%s`, `%s`), then `rotator secret add` another and `rotator rotation start --breach`; if it is not, send the re-install links of the report", r.NewDead, command(s, "confirm webhooks_single"), command(s, "confirm closed --confirm "+s.App)))
	}
	return human(s, "report", fmt.Sprintf("%s no working token: send the re-install links of the report, then `rotator rotation waive DOMAIN --reason …`", Counted(s.Revocation.NewDead, "shop", "has", "have")))
}

// stillAlive says what old tokens that answer after the revoke mean.
func stillAlive(s Snapshot) string {
	r := s.Revocation
	revoke := "revoke " + oldSecret(s) + " in the Partners dashboard (it can take a while to bite)"
	n := Counted(r.OldAlive, "old token", "still answers", "still answer")
	if len(s.AliveShops) > 0 {
		n += " (" + strings.Join(s.AliveShops, ", ") + ")"
	}
	if r.OldDead > r.OldAlive {
		return fmt.Sprintf("%s, and %d are dead: give the revoke a while to bite", n, r.OldDead)
	}
	return n + ": " + revoke + "; but if it shows that another secret was revoked instead, revoke nothing more"
}

func nextRevoked(s Snapshot) Step {
	r := s.Revocation
	switch {
	case WrongSecretRevoked(s):
		return nextWrongRevoke(s)
	case !r.Done():
		why := fmt.Sprintf("checking that old tokens are dead and new ones live: %d of %s; one that never gives a clear answer can be waived by name", r.OldDead+r.OldAlive, Plural(r.Planned, "shop"))
		if r.looksWrong() {
			why += fmt.Sprintf("; so far %s only under the old token: %s", Counted(r.OnlyOld, "shop", "answers", "answer"), RevokeNothingMore)
		}
		return Step{Why: why}
	case r.OldAlive > 0:
		return human(s, "confirm revoked --confirm "+s.App, stillAlive(s)+"; then say so again; `rotator rotation waive DOMAIN --reason …` accepts a shop whose former token was of the new secret already")
	case r.NewDead > 0:
		return nextBroken(s)
	}
	if g := graceCondition(s); !g.Met {
		return Step{Command: command(s, "confirm webhooks_single"), Human: true, Why: "keep accepting webhooks signed by the old secret " + g.Evidence + ", then make the app accept the new signature only and say so"}
	}
	return human(s, "confirm webhooks_single", "make the app accept webhooks signed by the new secret only, then say so")
}

// needsWorker reports whether the phase's work is done by a worker.
func needsWorker(s Snapshot) bool {
	if s.Kind == KindTokenMigration {
		return migrationNeedsWorker(s)
	}
	switch s.Phase {
	case PhaseArmed:
		return true
	case PhaseExchanging:
		// With parked shops alone it is a person's turn.
		return !barren(s) && (s.Counts.Open() > 0 || s.Counts.Parked == 0)
	case PhaseProven:
		return !GateMet(Gate(s))
	case PhaseRevoked, PhaseWebhooksSingle:
		return !s.Revocation.Done()
	}
	return false
}

// barren reports whether a walked run came to its end with nothing proven: no
// worker can move it on.
func barren(s Snapshot) bool {
	c := s.Counts
	return s.WalkDone && c.Open()+c.Parked+c.Proven == 0 && s.LateInstalls+s.LateExchanges+s.OldVersionShops == 0
}

// ThrottledByDatabase is what a worker says that waits for the database.
const ThrottledByDatabase = "database"

const unwritableWords = "the workers cannot write to the database (a full disk, say, or a server that takes no writes), so nothing moves"

// unwritable reports whether there is work, and no live worker can store any.
func (s Snapshot) unwritable() bool {
	return (s.ReadOnly || s.Unwriting > 0 && s.Unwriting >= s.Workers) && needsWorker(s)
}

// unmet names the first condition that is not met.
func unmet(gate []Condition) string {
	for _, c := range gate {
		if !c.Met {
			return c.Name + ": " + c.Evidence
		}
	}
	return ""
}
