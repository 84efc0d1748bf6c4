package rotation_test

import (
	"testing"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestWrongSecretRevoked(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		seen rotation.Revocation
		want bool
	}{
		"nothing seen":                            {rotation.Revocation{Planned: 12}, false},
		"the old one, at once":                    {rotation.Revocation{Planned: 12, OldDead: 12, NewAlive: 12, NewKnown: 12}, false},
		"the old one, not yet":                    {rotation.Revocation{Planned: 12, OldAlive: 12, NewAlive: 12, NewKnown: 12}, false},
		"not yet, and all but one shop have left": {rotation.Revocation{Planned: 12, OldDead: 11, OldAlive: 1, NewAlive: 1, NewDead: 11, NewKnown: 1}, false},
		"both":                             {rotation.Revocation{Planned: 12, OldDead: 12, NewDead: 12}, false},
		"the new one":                      {rotation.Revocation{Planned: 12, OldAlive: 12, NewDead: 12, OnlyOld: 12}, true},
		"the new one, and shops have left": {rotation.Revocation{Planned: 12, OldDead: 6, OldAlive: 6, NewDead: 12, OnlyOld: 6}, true},
		"the new one, beside installs of it, before": {rotation.Revocation{Planned: 24, OldDead: 4, OldAlive: 20, NewAlive: 4, NewDead: 20, OnlyOld: 20}, true},
		"single new tokens are dead":                 {rotation.Revocation{Planned: 12, OldAlive: 12, NewAlive: 10, NewDead: 2, OnlyOld: 2, NewKnown: 10}, false},
		"the new one, and single ones of it live":    {rotation.Revocation{Planned: 12, OldAlive: 12, NewAlive: 2, NewDead: 10, OnlyOld: 10, NewKnown: 2}, true},
		"not all looked at":                          {rotation.Revocation{Planned: 13, OldAlive: 12, NewDead: 12, OnlyOld: 12}, false},
	} {
		s := rotation.Snapshot{Kind: rotation.KindRotation, Mode: rotation.ModePlanned, Phase: rotation.PhaseRevoked, Revocation: tt.seen}
		if got := rotation.WrongSecretRevoked(s); got != tt.want {
			t.Errorf("%s: %t, want %t", name, got, tt.want)
		}
		s.Mode = rotation.ModeBreach
		if rotation.WrongSecretRevoked(s) {
			t.Errorf("%s, in a breach", name)
		}
	}
}
