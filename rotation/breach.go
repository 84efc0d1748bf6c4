package rotation

import (
	"fmt"
	"strings"
)

// breach is the course for a secret that has leaked: it is revoked first, which
// takes every token that it made with it (Haravan, API Credential Rotation, step 6),
// and the rest of the six steps brings the shops back. The app never accepts two
// signatures: what the leaked secret signs is not to be believed.
var breach = Course{
	{From: PhasePrepared, To: PhaseContained, Driver: DriverHuman, Irreversible: true},
	{From: PhaseContained, To: PhaseOAuthSwitched, Driver: DriverHuman},
	{From: PhaseOAuthSwitched, To: PhaseArmed, Driver: DriverHuman},
	{From: PhaseArmed, To: PhaseExchanging, Driver: DriverEngine},
	{From: PhaseExchanging, To: PhaseProven, Driver: DriverEngine},
	// The secret is revoked already: the phase is the check of the tokens.
	{From: PhaseProven, To: PhaseRevoked, Driver: DriverEngine},
	{From: PhaseProven, To: PhaseExchanging, Driver: DriverEngine},
	{From: PhaseRevoked, To: PhaseWebhooksSingle, Driver: DriverHuman},
	{From: PhaseWebhooksSingle, To: PhaseClosed, Driver: DriverHuman, Irreversible: true},
}

// DefaultBreachWaves is a canary that is small, since its shops wait for nobody
// but show a wrong secret, and then the fleet in two steps.
var DefaultBreachWaves = WavePolicy{Canary: 3, Shares: []float64{0.10}, Budget: 0.25}

// BreachCanaryMost is the largest canary of a breach run: the fleet is down
// while it is tried.
const BreachCanaryMost = 5

// Contained reports whether the leaked secret is revoked: from then on no shop
// has a token but those that the run brought back, or that an earlier one spared.
func (s Snapshot) Contained() bool { return Contained(s.Mode, s.Phase) }

// Contained is the same of a run's mode and phase.
func Contained(m Mode, p Phase) bool { return m == ModeBreach && !p.Before(PhaseContained) }

// Irrevocable reports whether a run in this phase can only be finished: shops
// depend on it for a working token.
func Irrevocable(m Mode, p Phase) bool { return Contained(m, p) || !p.Before(PhaseRevoked) }

// breachText says what an operator attests in a breach run, where that differs.
var breachText = map[Phase]string{
	PhaseContained:      "the old secret is revoked in the Partners dashboard; every token that was made with it is dead from now on",
	PhaseOAuthSwitched:  "the app uses only the new secret, for OAuth and for the signatures of webhooks",
	PhaseWebhooksSingle: "no instance of the app accepts webhooks signed by the leaked secret",
}

// nextBreach is the next step of a breach run that is not held, where it differs
// from a planned one's.
func nextBreach(s Snapshot) (Step, bool) {
	switch s.Phase {
	case PhasePrepared:
		return human(s, "confirm contained --confirm "+s.App, "revoke "+oldSecret(s)+" in the Partners dashboard now (`rotator secret identify` tells it from the new one): that ends the abuse, and every access token that was made with it; then say so at once"), true
	case PhaseContained:
		return human(s, "confirm oauth_switched", "make the app use only the new secret, for OAuth and for the signatures of webhooks (what the leaked one signed must not be believed from now on); deploy it everywhere, then say so: "+areDown(s)+" until they are exchanged"+loadSpared(s)), true
	case PhaseOAuthSwitched:
		return human(s, "arm", areDown(s)+": create a refresh token in the Partners dashboard and enter it here; its hour starts when it is made"+loadSpared(s)), true
	case PhaseProven:
		if gate := Gate(s); !GateMet(gate) {
			return Step{Why: "every shop is back; what is left: " + unmet(gate)}, true
		}
		return Step{Why: beforeUp(s) + "a worker is about to look at old and new tokens"}, true
	case PhaseRevoked:
		if s.Revocation.Done() && s.Revocation.OldAlive+s.Revocation.NewDead == 0 {
			return human(s, "confirm webhooks_single", beforeUp(s)+"make sure that no instance of the app accepts a webhook signed by the leaked secret, then say so"), true
		}
	case PhaseWebhooksSingle:
		if step, ok := nextLateToken(s); ok {
			return step, true
		}
		return human(s, "confirm closed --confirm "+s.App, beforeUp(s)+"dead tokens and the refresh token can be shredded and the run closed; "+reportTimeline), true
	}
	return Step{}, false
}

// areDown says which shops wait for the run: not those that an earlier one, which was
// cancelled, gave a token of the new secret.
func areDown(s Snapshot) string {
	if s.Spared > 0 {
		return Counted(s.Down, "shop", "is down", "are down")
	}
	return "the shops are down"
}

// loadSpared is what brings those shops back that wait for nothing but the app.
func loadSpared(s Snapshot) string {
	if s.Spared == 0 || s.ToLoad == 0 {
		return ""
	}
	return fmt.Sprintf("; %d more are, whose token an earlier run made with the new secret, until the app works with it: load it now (`%s`)", s.ToLoad, exportCommand(s))
}

// beforeUp is what must be so before the app works again.
func beforeUp(s Snapshot) string {
	if n := s.Deliveries.Undelivered(); n > 0 {
		return fmt.Sprintf("the app has not acknowledged %s yet (`rotator delivery list`), whose shops are down until it has; ", Plural(n, "new token"))
	}
	if s.ToLoad > 0 {
		down := "which are"
		if s.ToLoad == 1 {
			down = "which is"
		}
		return fmt.Sprintf("load the new tokens of %s into the app (`%s`), %s down until it works with them; then ", Plural(s.ToLoad, "shop"), exportCommand(s), down)
	}
	return ""
}

const reportTimeline = "the incident's timeline is `rotator rotation report --timeline`"

// refusedCredentials is in the reason of every hold for a secret or client id
// that the platform refuses.
const refusedCredentials = "credentials"

// lostSecret is the way out of a new secret that has made tokens, and is refused now.
func lostSecret(s Snapshot, why string) (Step, bool) {
	if !strings.Contains(s.HeldWhy, refusedCredentials) {
		return Step{}, false
	}
	out := fmt.Sprintf("do not revoke the old one, then `%s`, %s", command(s, "cancel --confirm "+s.App), AfterLoss(s))
	if s.Contained() {
		out = fmt.Sprintf("`rotator secret add` with another, `%s`, then resume", command(s, "use-secret --lost --confirm "+s.App))
	}
	return human(s, "resume", why+fmt.Sprintf("; tokens were made with the new secret, version %d, so it was right: if it did not leak and was not revoked, check client id and hosts with `rotator doctor`, then resume; if it did or was: %s",
		s.NewSecret, out)), true
}

// wrongSecret is the way out of a new secret that was entered wrongly. It is one
// as long as the platform made no token with that secret and no other took its
// place. A planned run is given up with the secret; a breach run cannot be
// cancelled for another.
func wrongSecret(s Snapshot, why string) (Step, bool) {
	switch {
	case s.SecretReplaced:
		return human(s, "resume", why+"; the run has had another new secret since: resume"), true
	case s.Phase != PhaseExchanging:
		return Step{}, false
	case s.Counts.Exchanged+s.Counts.Proven+s.Spared > 0 || s.EarlierTokens:
		return lostSecret(s, why)
	}
	if !s.Contained() {
		if !strings.Contains(s.HeldWhy, refusedCredentials) {
			return Step{}, false
		}
		cancel := "cancel --confirm " + s.App
		return human(s, cancel, why+fmt.Sprintf("; compare the new secret and the client id with the Partners dashboard. If the secret was entered wrongly: `%s`, "+
			"`rotator secret discard %d --confirm %s`, `rotator secret add` with the right one, then `%s`; "+
			"if it is right: mend client id and hosts (`rotator app set`, `rotator doctor`), then `%s`",
			command(s, cancel), s.NewSecret, s.App, command(s, "start"), command(s, "resume"))), true
	}
	use := "use-secret --confirm " + s.App
	return human(s, use, why+fmt.Sprintf("; if the new secret was entered wrongly: `rotator secret add` with the right one, `%[1]s`, then `%[2]s`; "+
		"if it is right: check client id and hosts with `rotator doctor`, then `%[2]s`", command(s, use), command(s, "resume"))), true
}
