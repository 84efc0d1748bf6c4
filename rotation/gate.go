package rotation

import (
	"fmt"
	"slices"
	"time"
)

// Condition is one line of a gate.
type Condition struct {
	Name     string `json:"name"`
	Met      bool   `json:"met"`
	Evidence string `json:"evidence"`
}

// GateMet reports whether every condition is met.
func GateMet(cs []Condition) bool {
	for _, c := range cs {
		if !c.Met {
			return false
		}
	}
	return true
}

// GateCounts reports whether the gate to leave a phase, in any kind of run, speaks of
// its shops. One that does must not be judged by a snapshot that did not count them.
func GateCounts(p Phase) bool {
	switch p {
	case PhasePrepared, PhaseContained, PhaseWebhooksDual, PhaseOAuthSwitched, PhaseWebhooksSingle:
		return false
	}
	return true
}

// Gate lists the conditions to leave the snapshot's phase.
func Gate(s Snapshot) []Condition {
	if s.Kind == KindTokenMigration {
		return migrationGate(s)
	}
	switch s.Phase {
	case PhasePrepared:
		return []Condition{
			condition("new secret differs from the old one", s.SecretsDiffer, "keyed fingerprints differ", "both secrets are the same value"),
			condition("keyring opens both secrets", s.KeyringOpens, "unsealed just now", "the keyring does not open them"),
		}
	case PhaseContained, PhaseWebhooksDual, PhaseOAuthSwitched:
		return []Condition{attested(s, s.Phase)}
	case PhaseArmed:
		return []Condition{
			condition("every stored shop is in the run", s.WalkDone, Plural(s.Counts.Total, "shop"), Plural(s.Counts.Total, "shop")+" so far; a worker must be running"),
			windowCondition(s),
			fitCondition(s),
		}
	case PhaseExchanging:
		return provenGate(s)
	case PhaseProven:
		return append(provenGate(s),
			condition("certificate written", s.Certificate, "in the journal and in `rotation report`", "not yet"))
	case PhaseRevoked:
		r := s.Revocation
		looked := r.OldDead + r.OldAlive
		gate := []Condition{
			condition("old and new tokens checked after the revoke", r.Done(),
				Plural(r.Planned, "shop"), fmt.Sprintf("%d of %s; a worker must be running", looked, Plural(r.Planned, "shop"))),
			condition("shops were checked", looked > 0 || s.Counts.Waived > 0, fmt.Sprintf("%d", looked), "none"),
			condition("old tokens are dead", r.OldAlive == 0, fmt.Sprintf("%d dead", r.OldDead), fmt.Sprintf("%d still answer: %s", r.OldAlive, whichRevoked(s))),
			condition("new tokens live", r.NewDead == 0, fmt.Sprintf("%d live", r.NewAlive), fmt.Sprintf("%d broke: see `rotation report`", r.NewDead)),
		}
		if s.Mode == ModeBreach { // nothing that the leaked secret signed is believed
			return gate
		}
		return append(gate, graceCondition(s))
	case PhaseWebhooksSingle:
		r := s.Revocation // a token that came late can have asked for one more look
		return []Condition{
			attested(s, PhaseWebhooksSingle),
			condition("shops whose token came late are checked", r.Done(), "none is left", "a worker must be running"),
			condition("new tokens live", r.NewDead == 0, fmt.Sprintf("%d live", r.NewAlive), fmt.Sprintf("%d broke: see `rotation report`", r.NewDead)),
		}
	}
	return nil
}

func provenGate(s Snapshot) []Condition {
	c := s.Counts
	return slices.Concat(shopConditions(c, "a run that exchanged nothing proves nothing", ""), []Condition{
		condition("late installs are swept", s.LateInstalls == 0, "none", Plural(s.LateInstalls, "shop")+" came since the walk"),
		condition("no answer of a superseded worker is unproven", s.LateExchanges == 0, "none", Plural(s.LateExchanges, "token")+" to prove again"),
		oldSecretCondition(s),
	}, deliveryGate(s.Deliveries), boundGate(s.Bound))
}

// oldSecretCondition is judged of the shops that are done: the token of any other
// may need the old secret, whatever is counted.
func oldSecretCondition(s Snapshot) Condition {
	lack := "not known before every shop is done"
	if s.OldVersionShops > 0 {
		lack = Plural(s.OldVersionShops, "shop")
	}
	done := s.Counts.Open()+s.Counts.Parked == 0
	return condition("no stored token needs the old secret", done && s.OldVersionShops == 0, "none does", lack)
}

// shopConditions tell that shops are proven and none is left to do. barren says
// what it means if none is proven, aside what is to be said of the skipped.
func shopConditions(c Counts, barren, aside string) []Condition {
	return []Condition{
		condition("shops are proven", c.Proven > 0, fmt.Sprintf("%d are", c.Proven), fmt.Sprintf("none of %d: %s", c.Total, barren)),
		condition("every shop is proven, skipped or waived", c.Open() == 0 && c.Parked == 0,
			fmt.Sprintf("%d proven, %d skipped%s, %d waived", c.Proven, c.Skipped, aside, c.Waived),
			fmt.Sprintf("%d open, %d parked", c.Open(), c.Parked)),
	}
}

// deliveryGate is empty for a run that does not wait for its app.
func deliveryGate(d Deliveries) []Condition {
	if !d.Required {
		return nil
	}
	return []Condition{condition("every new token is acknowledged by the app", d.Undelivered() == 0,
		fmt.Sprintf("%d acknowledged, %d waived", d.Acknowledged, d.Waived),
		fmt.Sprintf("%d are not, of which %d were sent in vain", d.Undelivered(), d.Failing))}
}

func condition(name string, met bool, evidence, lack string) Condition {
	if !met {
		evidence = lack
	}
	return Condition{Name: name, Met: met, Evidence: evidence}
}

func attested(s Snapshot, p Phase) Condition {
	a, ok := s.Attested[p]
	text := attestationText[p]
	if other := breachText[p]; s.Mode == ModeBreach && other != "" {
		text = other
	}
	return condition("attested: "+text, ok,
		fmt.Sprintf("%s, %s: %s", a.Actor, a.At.UTC().Format(time.RFC3339), a.Note),
		"nobody has confirmed it")
}

var attestationText = map[Phase]string{
	PhaseWebhooksDual:   "the app accepts webhooks signed by the old and by the new secret",
	PhaseOAuthSwitched:  "the app uses only the new secret for OAuth",
	PhaseRevoked:        "the old secret is revoked in the Partners dashboard",
	PhaseWebhooksSingle: "the app accepts webhooks signed by the new secret only",
	PhaseChecked:        "derived tokens were seen to work",
	PhaseCutover:        "the app uses the derived tokens and its panel is switched to OAuth",
	PhaseScrubbed:       "the legacy credentials may be removed",
}

func windowCondition(s Snapshot) Condition {
	left := s.Window.Left(s.Now)
	lack := "no refresh token is stored"
	switch {
	case s.Window.Refused:
		lack = "the platform refused it"
	case !s.Window.ExpiresAt.IsZero():
		lack = "its hour is over since " + s.Window.ExpiresAt.UTC().Format(time.RFC3339)
	}
	return condition("a refresh token with life left", left > 0, left.Round(time.Second).String()+" left", lack)
}

func graceCondition(s Snapshot) Condition {
	since := s.PhaseAt
	if a := s.Attested[PhaseRevoked]; a.At.After(since) {
		since = a.At // a revoke that had not bitten was confirmed again
	}
	until := since.Add(s.Grace)
	return condition("grace for webhooks signed by the old secret is over", !s.Now.Before(until),
		s.Grace.String()+" since the revoke", "until "+until.UTC().Format(time.RFC3339))
}
