package operate_test

import (
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// A cancel adopts tokens that were not proven yet.
func TestACancelTellsOfUnprovenTokens(t *testing.T) {
	t.Parallel()
	counts := rotation.Counts{Total: 10, Proven: 4, Exchanged: 3, Pending: 3}
	got := operate.Leaves(rotation.Snapshot{Kind: rotation.KindRotation, Counts: counts})
	if want := "4 shops keep their new, proven token, 3 get a new one that is not proven yet, 3 keep the old one; "; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q at its beginning", got, want)
	}
	counts.Exchanged, counts.Pending = 0, 6
	got = operate.Leaves(rotation.Snapshot{Kind: rotation.KindRotation, Counts: counts})
	if want := "4 shops keep their new, proven token, 6 keep the old one; "; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q at its beginning", got, want)
	}
}

// Before the walk no shop is counted, which does not mean that there is none.
func TestACancelBeforeTheWalkTellsOfEveryShop(t *testing.T) {
	t.Parallel()
	got := operate.Leaves(rotation.Snapshot{Kind: rotation.KindRotation, Phase: rotation.PhasePrepared})
	if want := "every shop keeps the token that it has"; !strings.HasPrefix(got, want) {
		t.Errorf("%q, want %q at its beginning", got, want)
	}
}

// A run that is cancelled at its beginning does not free of the tokens that one before
// it made.
func TestACancelRemembersTheTokensOfEarlierRuns(t *testing.T) {
	t.Parallel()
	got := operate.Leaves(rotation.Snapshot{Kind: rotation.KindRotation, Phase: rotation.PhasePrepared, EarlierTokens: true})
	if want := "both secrets must stay alive"; !strings.Contains(got, want) {
		t.Errorf("%q, want %q in it", got, want)
	}
}

// Only tokens of the new secret want it kept alive.
func TestACancelTellsOfBothSecretsOnlyWhenBothAreNeeded(t *testing.T) {
	t.Parallel()
	const both = "both secrets must stay alive"
	for name, tt := range map[string]struct {
		phase  rotation.Phase
		counts rotation.Counts
		want   string // "" for no word of secrets
	}{
		"nothing was sent":       {rotation.PhasePrepared, rotation.Counts{Total: 10, Pending: 10}, ""},
		"installs use the new":   {rotation.PhaseArmed, rotation.Counts{Total: 10, Pending: 10}, "keep both alive until it uses the old one again"},
		"all were refused":       {rotation.PhaseExchanging, rotation.Counts{Total: 10, Pending: 7, Retrying: 3}, "keep both alive until it uses the old one again"},
		"one is proven":          {rotation.PhaseExchanging, rotation.Counts{Total: 10, Proven: 1, Pending: 9}, both},
		"one is exchanged":       {rotation.PhaseExchanging, rotation.Counts{Total: 10, Exchanged: 1, Pending: 9}, both},
		"an answer did not come": {rotation.PhaseExchanging, rotation.Counts{Total: 10, Unknown: 2, Pending: 8}, "may have been made for 2 of them: " + both},
		"a parked one may be":    {rotation.PhaseExchanging, rotation.Counts{Total: 10, Parked: 1, Pending: 9}, "may have been made for 1 of them: " + both},
	} {
		got := operate.Leaves(rotation.Snapshot{Kind: rotation.KindRotation, Phase: tt.phase, Counts: tt.counts})
		if !strings.Contains(got, tt.want) || tt.want == "" && strings.Contains(got, "alive") {
			t.Errorf("%s: %q, want %q in it", name, got, tt.want)
		}
	}
}
