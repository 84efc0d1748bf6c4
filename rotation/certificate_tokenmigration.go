package rotation

import (
	"maps"
	"time"
)

// WaivedShop is a shop that an operator accepted by name, and why.
type WaivedShop struct {
	Shop   string `json:"shop"`
	Reason string `json:"reason"`
}

// ScrubCertificate states that legacy credentials were removed, by whom, and on
// what evidence. There is nothing to go back to afterwards.
type ScrubCertificate struct {
	App           string    `json:"app"`
	Run           int64     `json:"run"`
	At            time.Time `json:"at"`
	Actor         string    `json:"actor"`
	SecretVersion int       `json:"secret_version"`
	Counts        Counts    `json:"items"`
	// Waived shops may have no working token: their legacy credential went too.
	Waived []WaivedShop `json:"waived"`
	// LegacyOnly is how many skipped shops lost the only credential they had.
	LegacyOnly int `json:"legacy_only"`
	// LegacyColumn is what was done to the legacy column of the app's own table.
	LegacyColumn string                `json:"legacy_column,omitempty"`
	Conditions   []Condition           `json:"conditions"`
	Attestations map[Phase]Attestation `json:"attestations"`
}

// CertifyScrub writes the certificate for a snapshot whose shops are all proven,
// skipped or waived, on an operator's word that the legacy credentials may go.
func CertifyScrub(s Snapshot, word Attestation, waived []WaivedShop, legacyColumn string) ScrubCertificate {
	attested := map[Phase]Attestation{}
	maps.Copy(attested, s.Attested)
	attested[PhaseScrubbed] = word
	return ScrubCertificate{
		App: s.App, Run: s.RunID, At: s.Now, Actor: word.Actor, SecretVersion: s.Migration.SecretVersion,
		Counts: s.Counts, Waived: waived, LegacyOnly: s.Migration.LegacyOnly, LegacyColumn: legacyColumn, Conditions: scrubConditions(s), Attestations: attested,
	}
}
