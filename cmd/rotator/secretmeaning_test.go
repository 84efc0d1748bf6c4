package main

import (
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Before the dashboard one word decides which secret is revoked.
func TestWhatAVersionMeansBeforeTheRevoke(t *testing.T) {
	t.Parallel()
	now := time.Now()
	planned := store.Run{Mode: rotation.ModePlanned, Phase: rotation.PhasePrepared, OldSecretID: 1, NewSecretID: 2}
	breach := store.Run{Mode: rotation.ModeBreach, Phase: rotation.PhasePrepared, OldSecretID: 1, NewSecretID: 2}
	contained, cancelled := breach, breach
	contained.Phase, cancelled.CancelledAt = rotation.PhaseContained, &now
	for name, tt := range map[string]struct {
		v    store.Secret
		runs []store.Run
		want string
	}{
		"pending":                      {store.Secret{ID: 2, State: store.SecretPending}, nil, "entered as each other"},
		"pending in a breach":          {store.Secret{ID: 2, State: store.SecretPending}, []store.Run{breach}, "entered as each other"},
		"active, no run":               {store.Secret{ID: 1, State: store.SecretActive}, nil, "not the one to revoke"},
		"active, planned":              {store.Secret{ID: 1, State: store.SecretActive}, []store.Run{planned}, "not the one to revoke"},
		"active, leaked":               {store.Secret{ID: 1, State: store.SecretActive}, []store.Run{breach}, "revoke it now"},
		"active, the breach cancelled": {store.Secret{ID: 1, State: store.SecretActive}, []store.Run{cancelled}, "not the one to revoke"},
		"active, contained":            {store.Secret{ID: 2, State: store.SecretActive}, []store.Run{contained, breach}, "not the one to revoke"},
		"retiring":                     {store.Secret{ID: 1, State: store.SecretRetiring}, []store.Run{planned}, "and not before"},
		"revoked":                      {store.Secret{ID: 1, State: store.SecretRevoked}, nil, "said to be revoked"},
		"discarded":                    {store.Secret{ID: 3, State: store.SecretDiscarded}, nil, "given up"},
	} {
		if got := meaningOf(tt.v, tt.runs); !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s", name, got)
		}
	}
}
