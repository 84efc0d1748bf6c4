package rotation

import "slices"

// Kind says what a run does to the fleet.
type Kind string

const (
	// KindRotation exchanges every access token under a new shared secret.
	KindRotation Kind = "rotation"
	// KindTokenMigration derives OAuth tokens from legacy tokens.
	KindTokenMigration Kind = "token_migration"
)

// Noun is the word of the command line for a kind of run.
func (k Kind) Noun() string {
	if k == KindTokenMigration {
		return "tokenmigration"
	}
	return "rotation"
}

// Words names the kind to an operator.
func (k Kind) Words() string {
	if k == KindTokenMigration {
		return "token migration"
	}
	return "rotation"
}

// Mode says how a rotation treats the old secret.
type Mode string

const (
	// ModePlanned keeps the old secret alive until nothing needs it.
	ModePlanned Mode = "planned"
	// ModeBreach revokes first and accepts the outage.
	ModeBreach Mode = "breach"
)

// Phase is where a run stands. A phase is named for what is true once it is
// entered; its gate (see Gate) says what must be true to leave it.
//
// The six steps are those of Haravan, API Credential Rotation; the phases from
// deriving to scrubbed belong to a token migration and follow the four steps of
// Migrating a Haravan App from Legacy to OAuth Authentication.
type Phase string

const (
	// PhasePrepared: the new secret is stored, pending (step 1).
	PhasePrepared Phase = "prepared"
	// PhaseContained: the leaked secret is revoked, and every token of it dead.
	PhaseContained Phase = "contained"
	// PhaseWebhooksDual: the app accepts webhooks signed by either (step 2).
	PhaseWebhooksDual Phase = "webhooks_dual"
	// PhaseOAuthSwitched: the app installs with the new secret only (step 3).
	PhaseOAuthSwitched Phase = "oauth_switched"
	// PhaseArmed: a refresh token with life left is stored (step 4).
	PhaseArmed Phase = "armed"
	// PhaseExchanging: tokens are being exchanged and proven (step 5).
	PhaseExchanging Phase = "exchanging"
	// PhaseProven: nothing needs the old secret any more.
	PhaseProven Phase = "proven"
	// PhaseRevoked: the operator revoked the old secret (step 6).
	PhaseRevoked Phase = "revoked"
	// PhaseWebhooksSingle: the app accepts the new signature only (step 6).
	PhaseWebhooksSingle Phase = "webhooks_single"
	// PhaseDeriving: OAuth tokens are being derived from legacy ones (step 1).
	PhaseDeriving Phase = "deriving"
	// PhaseDerived: every shop that could has its derived token, stored beside
	// what the shop uses (step 1).
	PhaseDerived Phase = "derived"
	// PhaseChecked: derived tokens were seen to work (step 1).
	PhaseChecked Phase = "checked"
	// PhaseCutover: the app uses the derived tokens and its panel is switched to
	// OAuth (steps 2 and 3); each shop's token is proven and becomes current.
	PhaseCutover Phase = "cutover"
	// PhaseScrubbed: legacy credentials are no longer stored (step 4).
	PhaseScrubbed Phase = "scrubbed"
	// PhaseClosed: what the run kept sealed is shredded.
	PhaseClosed Phase = "closed"
)

// Phases lists every phase, in an order that each Course keeps.
var Phases = []Phase{
	PhasePrepared, PhaseContained, PhaseWebhooksDual, PhaseOAuthSwitched, PhaseArmed,
	PhaseExchanging, PhaseProven, PhaseRevoked, PhaseWebhooksSingle,
	PhaseDeriving, PhaseDerived, PhaseChecked, PhaseCutover, PhaseScrubbed, PhaseClosed,
}

// Valid reports whether p is one of Phases.
func (p Phase) Valid() bool { return slices.Contains(Phases, p) }

// Before reports whether p comes before q.
func (p Phase) Before(q Phase) bool {
	return slices.Index(Phases, p) < slices.Index(Phases, q)
}

// Held is the reason why a run makes no calls although its phase would let it.
// It is not a phase: the run continues where it stood once the reason is gone.
type Held string

const (
	// HeldNot: the run is free to work.
	HeldNot Held = ""
	// HeldPaused: an operator paused the run.
	HeldPaused Held = "paused"
	// HeldWindowExpired: the refresh token's hour is over; another continues it.
	HeldWindowExpired Held = "window_expired"
	// HeldBreakerOpen: too many shops failed in ways that are not theirs.
	HeldBreakerOpen Held = "breaker_open"
	// HeldWaiting: the platform refuses our credentials; a human must look.
	HeldWaiting Held = "waiting_for_operator"
)
