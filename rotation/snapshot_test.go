package rotation_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// noon is when the snapshots of these tests are taken.
var noon = time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)

// snapshot is a healthy run of ten shops in the given phase, changed as told.
func snapshot(p rotation.Phase, change ...func(*rotation.Snapshot)) rotation.Snapshot {
	s := rotation.Snapshot{
		Now: noon, App: "shopbot", RunID: 7, Kind: rotation.KindRotation, Mode: rotation.ModePlanned,
		Phase: p, PhaseAt: noon.Add(-time.Hour), SecretsDiffer: true, KeyringOpens: true,
		Attested: map[rotation.Phase]rotation.Attestation{}, Window: rotation.Window{ExpiresAt: noon.Add(time.Minute)},
		WalkDone: true, WavePolicy: rotation.DefaultWavePolicy, Workers: 1, Grace: time.Hour,
		Revocation: rotation.Revocation{Planned: 10, OldDead: 10, NewAlive: 10},
	}
	for _, q := range []rotation.Phase{rotation.PhaseContained, rotation.PhaseWebhooksDual, rotation.PhaseOAuthSwitched, rotation.PhaseRevoked, rotation.PhaseWebhooksSingle} {
		if !p.Before(q) {
			s.Attested[q] = rotation.Attestation{Actor: "operator", Note: "deployed", At: noon.Add(-2 * time.Hour)}
		}
	}
	s.Counts.Add(rotation.ItemPending, 10)
	if !p.Before(rotation.PhaseProven) {
		s.Counts = rotation.Counts{Total: 10, Proven: 10}
		s.Certificate = true
	}
	for _, c := range change {
		c(&s)
	}
	return s
}

func TestRevocationIsDone(t *testing.T) {
	t.Parallel()
	tests := []struct {
		r    rotation.Revocation
		want bool
	}{
		{rotation.Revocation{}, true},
		{rotation.Revocation{Planned: 2, OldDead: 1, OldAlive: 1, NewAlive: 1, NewDead: 1}, true},
		{rotation.Revocation{Planned: 2, OldDead: 1, NewAlive: 2}, false},
		{rotation.Revocation{Planned: 2, OldDead: 2, NewAlive: 1}, false},
	}
	for _, tt := range tests {
		if got := tt.r.Done(); got != tt.want {
			t.Errorf("%+v: Done() = %t", tt.r, got)
		}
	}
}
