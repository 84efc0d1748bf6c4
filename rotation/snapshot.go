package rotation

import "time"

// Attestation is an operator's word for something that rotator cannot see.
type Attestation struct {
	Actor string    `json:"actor"`
	Note  string    `json:"note"`
	At    time.Time `json:"at"`
}

// Window is the life of the refresh token that a run uses.
type Window struct {
	// ExpiresAt is zero when no refresh token is stored.
	ExpiresAt time.Time
	// Refused is set once the platform has refused the token.
	Refused bool
	// Fingerprint tells the token from others.
	Fingerprint string
}

// Left is the window's remaining time at now, never negative; 0 without a token. More
// than its hour it cannot be, whatever the clock says that was set back.
func (w Window) Left(now time.Time) time.Duration {
	if w.ExpiresAt.IsZero() || w.Refused {
		return 0
	}
	return min(max(0, w.ExpiresAt.Sub(now)), WindowLength)
}

// Revocation is what the check after the revoke has found so far.
type Revocation struct {
	// Planned is how many shops the check looks at.
	Planned int `json:"planned"`
	// OldDead and OldAlive count the shops' former tokens.
	OldDead  int `json:"old_tokens_dead"`
	OldAlive int `json:"old_tokens_alive"`
	// NewAlive and NewDead count the tokens that are current now.
	NewAlive int `json:"new_tokens_alive"`
	NewDead  int `json:"new_tokens_dead"`
	// OnlyOld counts shops whose old token answers while their new one does not, NewKnown
	// those whose new one does and is of the new secret: an install may be of the old one.
	OnlyOld  int `json:"-"`
	NewKnown int `json:"-"`
}

// Done reports whether every shop of the check has been looked at.
func (r Revocation) Done() bool {
	return r.OldDead+r.OldAlive >= r.Planned && r.NewAlive+r.NewDead >= r.Planned
}

// Deliveries counts the new tokens of a run's shops by whether the app, at its
// deliver URL, knows them.
type Deliveries struct {
	// Required: the run waits for the app.
	Required bool
	// Pending were not tried yet, Failing in vain so far.
	Pending, Failing int
	Acknowledged     int
	// Waived are unacknowledged ones of shops that an operator waived, or that
	// are gone.
	Waived int
	// Oldest is the age of the oldest token that is pending or failing.
	Oldest time.Duration
	// DownSince is set while the app acknowledges nothing.
	DownSince time.Time
	// NoURL: the run waits, and there is nowhere to deliver to.
	NoURL bool
}

// Undelivered is the number of tokens that the app is still to acknowledge.
func (d Deliveries) Undelivered() int { return d.Pending + d.Failing }

// Health is how the app's own health URL answered last; zero without one.
type Health struct {
	URL string `json:"url"`
	// Failures is how many polls failed in a row, OKAt when one last succeeded.
	Failures int        `json:"failures"`
	OKAt     *time.Time `json:"ok_at"`
	// Why is what the last failure was.
	Why string `json:"why,omitempty"`
}

// UnhealthyAfter is how many polls in a row must fail before the run is held.
const UnhealthyAfter = 3

// Snapshot is everything that a decision about a run needs to know, read in one
// transaction.
type Snapshot struct {
	Now   time.Time
	App   string
	RunID int64
	Kind  Kind
	Mode  Mode
	Phase Phase
	// PhaseAt is when Phase was entered.
	PhaseAt time.Time
	Held    Held
	HeldWhy string
	// Cancelled tells that the run is over without being closed, LaterRun is then the
	// app's newest of its kind if that is another.
	Cancelled bool
	LaterRun  int64

	// SecretsDiffer is false when old and new secret are the same value.
	SecretsDiffer bool
	// OldSecret and NewSecret are their versions.
	OldSecret, NewSecret int
	// NewSecretGone tells that the new one was given up or revoked since.
	NewSecretGone bool
	// SecretReplaced tells that the new secret came to its place after the run was
	// held.
	SecretReplaced bool
	// KeyringOpens tells that both secrets could be unsealed.
	KeyringOpens bool
	// Attested holds the operator's word, by the phase that it let the run enter.
	Attested map[Phase]Attestation
	Window   Window

	// InFlight is the run's cap on the calls of all workers together, Reach what
	// its live workers can make at most, 0 if none is alive.
	InFlight, Reach int
	// CallsPerS is the run's cap on calls per second, 0 for none.
	CallsPerS float64
	// AcceptWindows tells that an operator accepted more than one refresh token.
	AcceptWindows bool
	// Preflight is what the plan measured before the run was armed, nil if none
	// was made; Measured what the first wave's calls took, once it is done and
	// until the run is Judged by it.
	Preflight, Measured *Measured
	Judged              *Judged
	Health              Health

	WalkDone bool
	Counts   Counts
	Waves    []WaveStatus
	// WavePolicy is the run's own, fixed at its start.
	WavePolicy WavePolicy

	// NoShops tells, of a rotation that is not armed yet, that no shop is stored.
	NoShops bool
	// LateInstalls counts shops that the run must still take in: stored since
	// the walk passed them or, in a token migration, given a legacy token (or
	// another one) since they were settled or derived.
	LateInstalls int
	// LateExchanges counts proven items for which a superseded worker, or one that
	// still had a call of a cancelled run under way, got a token afterwards: their
	// stored token must be proven again.
	LateExchanges int
	// OldVersionShops counts live shops whose stored token was not minted by
	// the new secret although their item was settled: proven, or skipped for a
	// reason that no longer holds.
	OldVersionShops int
	// NoneNeedsToken tells, once no refresh token can be used, that no shop is left
	// that needs one: what is open is only to be proven, or to be skipped.
	NoneNeedsToken bool

	// Down counts, from the revoke of a breach run until its check, the shops that have
	// no working token yet, as far as is known; those that are skipped need none. Spared
	// are those whose token the run has not proven, but which outlives the revoke: it is
	// of the new secret.
	Down, Spared int

	Deliveries Deliveries
	// ToLoad counts, while the run waits to be revoked, and in a breach until it is
	// closed, the shops with a new token that the app neither acknowledged nor has in
	// a bound row: somebody must load it there. Of a breach that is not proven they are
	// some of the Spared. LoadSince is the first run that made any of them: those before
	// this one were cancelled.
	ToLoad    int
	LoadSince int64
	// EarlierTokens tells of a run that stored no new token itself that earlier ones,
	// which were cancelled, did: both secrets are needed whatever becomes of it.
	EarlierTokens bool
	// Bound is the app's own table that the run works on.
	Bound Bound

	// Workers is the number of live worker processes, Unwriting of those that the
	// database lets store nothing, so that they have stopped their calls.
	Workers, Unwriting int
	// ReadOnly tells, while no worker is alive, that the server takes no writes: none
	// could be.
	ReadOnly bool
	// Certificate tells that the certificate of proof is written.
	Certificate bool
	Revocation  Revocation
	// AliveShops are the shops whose former token answers after the revoke, if they
	// are few.
	AliveShops []string
	// Migration is filled for a token migration only.
	Migration Migration
	// Grace is how long webhooks signed by the old secret may still come after
	// the revoke.
	Grace time.Duration
}
