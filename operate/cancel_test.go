package operate

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
)

// What a check shows while a cancel is on its way is not what its caller asked about.
func TestAWrongRevokeIsCancelledByThoseWhoAsked(t *testing.T) {
	t.Parallel()
	s := rotation.Snapshot{
		App: "main", Kind: rotation.KindRotation, Mode: rotation.ModePlanned, Phase: rotation.PhaseRevoked, NewSecret: 2, OldSecret: 1,
		Revocation: rotation.Revocation{Planned: 3, OldAlive: 3, NewDead: 3, OnlyOld: 3},
	}
	if err := mayCancel(s, "main", false); err == nil || !strings.Contains(err.Error(), "say it again") {
		t.Errorf("without having asked: %v", err)
	}
	if err := mayCancel(s, "main", true); err != nil {
		t.Errorf("after having asked: %v", err)
	}
	s.Phase = rotation.PhaseProven
	if err := mayCancel(s, "main", false); err != nil {
		t.Errorf("before the revoke: %v", err)
	}
}
