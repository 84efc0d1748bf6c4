package rotation

import (
	"cmp"
	"slices"
)

// Severity is how bad a finding is.
type Severity string

const (
	// SeverityWarning: somebody should look within days.
	SeverityWarning Severity = "warning"
	// SeverityCritical: somebody must look now.
	SeverityCritical Severity = "critical"
)

// Code names a kind of finding. Codes are a contract with alerting: they are
// added, never renamed.
type Code string

// Every code that a check can find, in the order of Codes.
const (
	// CodeDatabase: the database does not answer, or answers wrongly.
	CodeDatabase Code = "database"
	// CodeDatabaseWrites: a run's workers can store nothing.
	CodeDatabaseWrites Code = "database_writes"
	// CodeSchema: the schema is not the one that this program works with.
	CodeSchema Code = "schema"
	// CodeKeyring: the keyring is missing, readable by others, damaged, or not
	// the one that sealed the database.
	CodeKeyring Code = "keyring"
	// CodeKeyringCopy: nobody has confirmed a second copy, and it is about to be
	// needed.
	CodeKeyringCopy Code = "keyring_copy"
	// CodeClock: a clock is off.
	CodeClock Code = "clock"
	// CodeNothing: no app is set: there is nothing to look after.
	CodeNothing Code = "nothing_to_check"
	// CodeSecretAge: the secret in use is older than the policy allows, or soon.
	CodeSecretAge Code = "secret_age"
	// CodeOldSecret: an old secret is alive long after nothing needs it.
	CodeOldSecret Code = "old_secret"
	// CodeHeld: the run is held.
	CodeHeld Code = "run_held"
	// CodeStalled: the run makes no progress although nothing holds it.
	CodeStalled Code = "run_stalled"
	// CodeWindow: the window ends before the shops do.
	CodeWindow Code = "window_closing"
	// CodeNoWorker: the run needs a worker and none is alive.
	CodeNoWorker Code = "no_worker"
	// CodeParked: shops wait for a person's look.
	CodeParked Code = "shops_parked"
	// CodeBroken: shops have no working token since the revoke.
	CodeBroken Code = "shops_broken"
	// CodeOldTokens: tokens of the old secret answer although it was said to be
	// revoked.
	CodeOldTokens Code = "old_tokens_alive"
	// CodeDeliveries: the app does not acknowledge its new tokens.
	CodeDeliveries Code = "deliveries"
	// CodeTokens: sampled tokens are refused or do not open.
	CodeTokens Code = "tokens"
	// CodePlatform: the platform did not answer for sampled shops.
	CodePlatform Code = "platform"
)

// Codes lists every code.
var Codes = []Code{
	CodeDatabase, CodeDatabaseWrites, CodeSchema, CodeKeyring, CodeKeyringCopy, CodeClock, CodeNothing, CodeSecretAge, CodeOldSecret,
	CodeHeld, CodeStalled, CodeWindow, CodeNoWorker, CodeParked, CodeBroken, CodeOldTokens,
	CodeDeliveries, CodeTokens, CodePlatform,
}

// Finding is one thing that is wrong or due.
type Finding struct {
	Code     Code     `json:"code"`
	Severity Severity `json:"severity"`
	// App and Run are empty where the finding is about neither.
	App string `json:"app,omitempty"`
	Run int64  `json:"run,omitempty"`
	// Words say what is wrong, Next is the next safe command.
	Words string `json:"words"`
	Next  string `json:"next"`
}

// Worst is the highest severity of the findings, "" for none.
func Worst(fs []Finding) Severity {
	worst := Severity("")
	for _, f := range fs {
		if f.Severity == SeverityCritical || worst == "" {
			worst = f.Severity
		}
	}
	return worst
}

// SortFindings puts the worst first, then in the order of Codes.
func SortFindings(fs []Finding) {
	slices.SortStableFunc(fs, func(a, b Finding) int {
		return cmp.Or(cmp.Compare(a.Severity, b.Severity), cmp.Compare(slices.Index(Codes, a.Code), slices.Index(Codes, b.Code)))
	})
}
