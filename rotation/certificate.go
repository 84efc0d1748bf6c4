package rotation

import "time"

// Certificate states that nothing needs the old secret any more, and on what
// evidence. It is the output of the gate before the revoke.
type Certificate struct {
	App        string      `json:"app"`
	Run        int64       `json:"run"`
	At         time.Time   `json:"at"`
	Counts     Counts      `json:"items"`
	Conditions []Condition `json:"conditions"`
	// Attestations are the operators' words that the proof rests on.
	Attestations map[Phase]Attestation `json:"attestations"`
}

// Certify writes the certificate for a snapshot whose shops are all proven.
func Certify(s Snapshot) Certificate {
	return Certificate{
		App: s.App, Run: s.RunID, At: s.Now, Counts: s.Counts,
		Conditions: provenGate(s), Attestations: s.Attested,
	}
}
