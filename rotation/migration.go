package rotation

// Migration is what a snapshot knows of a token migration beyond any run's facts.
//
// Its items: pending is to be derived, exchanged has its derived token stored,
// proven is the same read after the cutover and made the shop's own. In every
// phase from deriving to cutover the engine derives what is not derived yet, at
// once and with no call to the platform, so that a shop that came late or was
// retried catches up wherever the run stands.
type Migration struct {
	// SecretVersion is the version of the secret that tokens are derived from.
	SecretVersion int `json:"secret_version"`
	// CheckPlanned is how many derived tokens the check before the cutover looks
	// at, 0 for none. A shop that was set aside since counts as done.
	CheckPlanned int `json:"check_planned"`
	// CheckDone is how many of them need no further look.
	CheckDone int `json:"check_done"`
	// CheckAlive and CheckDead count the answers: the token works, or it was
	// refused.
	CheckAlive int `json:"check_alive"`
	CheckDead  int `json:"check_dead"`
	// LegacyLeft counts shops of the run whose legacy credential is still stored.
	LegacyLeft int `json:"legacy_left"`
	// LegacyOnly counts skipped shops that have no other credential than a legacy
	// one, or had none when it was scrubbed: after the scrub nobody can call them.
	LegacyOnly int `json:"legacy_only"`
	// Counted tells that LegacyLeft and LegacyOnly were counted: until then their
	// zero says nothing.
	Counted bool `json:"-"`
}

// Checked reports whether the check before the cutover has come to its end.
func (m Migration) Checked() bool { return m.CheckDone >= m.CheckPlanned }

// underived counts items that the engine still has to derive a token for.
func underived(s Snapshot) int { return s.Counts.Open() - s.Counts.Exchanged }

// deriveSettled reports whether no shop is left to derive or to take in.
func deriveSettled(s Snapshot) bool {
	return s.WalkDone && underived(s) == 0 && s.LateInstalls == 0
}
