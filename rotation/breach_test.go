package rotation_test

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"

	"github.com/haravan-rotator/rotator/rotation"
)

// breached is a breach run in a phase.
func breached(p rotation.Phase, change ...func(*rotation.Snapshot)) rotation.Snapshot {
	return snapshot(p, append([]func(*rotation.Snapshot){func(s *rotation.Snapshot) { s.Mode = rotation.ModeBreach }}, change...)...)
}

func TestABreachRevokesFirst(t *testing.T) {
	t.Parallel()
	want := []rotation.Phase{
		rotation.PhasePrepared, rotation.PhaseContained, rotation.PhaseOAuthSwitched, rotation.PhaseArmed, rotation.PhaseExchanging,
		rotation.PhaseProven, rotation.PhaseRevoked, rotation.PhaseWebhooksSingle, rotation.PhaseClosed,
	}
	if diff := cmp.Diff(want, rotation.CourseOf(rotation.KindRotation, rotation.ModeBreach).Phases()); diff != "" {
		t.Errorf("phases (-want +got):\n%s", diff)
	}
}

func TestABreachRunEndsAtTheSameGates(t *testing.T) {
	t.Parallel()
	for _, p := range []rotation.Phase{rotation.PhaseArmed, rotation.PhaseExchanging, rotation.PhaseProven} {
		if diff := cmp.Diff(rotation.Gate(snapshot(p)), rotation.Gate(breached(p))); diff != "" {
			t.Errorf("%s: gate (-planned +breach):\n%s", p, diff)
		}
	}
	dead := func(s *rotation.Snapshot) { s.Revocation.NewAlive, s.Revocation.NewDead = 9, 1 }
	alive := func(s *rotation.Snapshot) { s.Revocation.OldDead, s.Revocation.OldAlive = 9, 1 }
	for name, change := range map[string]func(*rotation.Snapshot){"new tokens live": dead, "old tokens are dead": alive} {
		if got := unmet(breached(rotation.PhaseRevoked, change)); len(got) != 1 || !strings.HasPrefix(got[0], name) {
			t.Errorf("unmet %q, want %s", got, name)
		}
	}
}

// What the leaked secret signs is not believed for another hour.
func TestABreachHasNoGraceForOldSignatures(t *testing.T) {
	t.Parallel()
	s := breached(rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.PhaseAt = s.Now })
	if got := unmet(s); got != nil {
		t.Errorf("unmet: %q", got)
	}
	for _, p := range rotation.CourseOf(s.Kind, s.Mode).Phases() {
		for _, c := range rotation.Gate(breached(p)) {
			if strings.Contains(c.Name, "grace") || strings.Contains(c.Name, "old and by the new") {
				t.Errorf("%s: %s", p, c.Name)
			}
		}
		if why := rotation.Next(breached(p)).Why; strings.Contains(why, "keep accepting") || strings.Contains(why, "signed by the old secret and by") {
			t.Errorf("%s: next says %q", p, why)
		}
	}
}

// sparedToLoad: two shops were exchanged by a run that was cancelled, and the app has
// not heard of it.
func sparedToLoad(s *rotation.Snapshot) { s.Down, s.Spared, s.ToLoad, s.LoadSince = 8, 2, 2, 5 }

func TestNextInABreach(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		phase   rotation.Phase
		change  func(*rotation.Snapshot)
		command string
		why     string
	}{
		"prepared":                   {rotation.PhasePrepared, nil, "rotator rotation confirm contained --confirm shopbot", "revoke the old secret in the Partners dashboard now (`rotator secret identify`"},
		"contained":                  {rotation.PhaseContained, nil, "rotator rotation confirm oauth_switched", "signatures of webhooks"},
		"switched":                   {rotation.PhaseOAuthSwitched, nil, "rotator rotation arm", "the shops are down"},
		"contained, some are spared": {rotation.PhaseContained, func(s *rotation.Snapshot) { s.Down, s.Spared = 8, 2 }, "rotator rotation confirm oauth_switched", "then say so: 8 shops are down until they are exchanged"},
		"switched, some are spared":  {rotation.PhaseOAuthSwitched, func(s *rotation.Snapshot) { s.Down, s.Spared = 8, 2 }, "rotator rotation arm", "8 shops are down: create"},
		"contained, spared to load":  {rotation.PhaseContained, sparedToLoad, "rotator rotation confirm oauth_switched", "8 shops are down until they are exchanged; 2 more are, whose token an earlier run made with the new secret, until the app works with it: load it now (`rotator shop export --changed-since 5 --output FILE`)"},
		"switched, spared to load":   {rotation.PhaseOAuthSwitched, sparedToLoad, "rotator rotation arm", "its hour starts when it is made; 2 more are"},
		"switched, spared have it":   {rotation.PhaseOAuthSwitched, func(s *rotation.Snapshot) { s.Down, s.Spared = 8, 2 }, "rotator rotation arm", "8 shops are down: create a refresh token in the Partners dashboard and enter it here; its hour starts when it is made"},
		"prepared, what dies":        {rotation.PhasePrepared, nil, "rotator rotation confirm contained --confirm shopbot", "that ends the abuse, and every access token that was made with it; then"},
		"armed":                      {rotation.PhaseArmed, nil, "", "as soon as every shop is in the run"},
		"parked":                     {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 10, Parked: 3, Proven: 7} }, "rotator rotation retry", "3 shops are parked"},
		"proven":                     {rotation.PhaseProven, nil, "", "about to look at old and new tokens"},
		"proven, shop came":          {rotation.PhaseProven, func(s *rotation.Snapshot) { s.LateInstalls = 1 }, "", "late installs are swept"},
		"proven, no worker":          {rotation.PhaseProven, func(s *rotation.Snapshot) { s.Workers = 0; s.Certificate = false }, "rotator worker", "no worker"},
		"checking":                   {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation.OldDead = 4 }, "", "4 of 10 shops"},
		"old token lives":            {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation.OldDead, s.Revocation.OldAlive = 9, 1 }, "rotator rotation confirm revoked --confirm shopbot", "still answer"},
		"checked":                    {rotation.PhaseRevoked, nil, "rotator rotation confirm webhooks_single", "signed by the leaked secret"},
		"checked, to load":           {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.ToLoad = 10 }, "rotator rotation confirm webhooks_single", "load the new tokens of 10 shops into the app (`rotator shop export --changed-since 7 --output FILE`), which are down until it works with them; then make sure"},
		"checked, one to load":       {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.ToLoad = 1 }, "rotator rotation confirm webhooks_single", "load the new tokens of 1 shop into the app (`rotator shop export --changed-since 7 --output FILE`), which is down until it works with them; then make sure"},
		"checked, not acknowledged":  {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Deliveries.Pending, s.ToLoad = 10, 10 }, "rotator rotation confirm webhooks_single", "the app has not acknowledged 10 new tokens yet"},
		"single":                     {rotation.PhaseWebhooksSingle, nil, "rotator rotation confirm closed --confirm shopbot", "report --timeline"},
		"wrong secret":               {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Held = rotation.HeldWaiting }, "rotator rotation use-secret --confirm shopbot", "rotator secret add` with the right one, `rotator rotation use-secret --confirm shopbot`, then `rotator rotation resume`"},
		"secret replaced":            {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Held, s.SecretReplaced = rotation.HeldWaiting, true }, "rotator rotation resume", "another new secret"},
		"secret made tokens": {rotation.PhaseExchanging, func(s *rotation.Snapshot) {
			s.Held, s.Counts = rotation.HeldWaiting, rotation.Counts{Total: 10, Proven: 1, Retrying: 9}
		}, "rotator rotation resume", "rotator doctor"},
		"window expired": {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Held = rotation.HeldWindowExpired }, "rotator rotation arm", "another refresh token"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := breached(tt.phase)
			if tt.change != nil {
				tt.change(&s)
			}
			if got := rotation.Next(s); got.Command != tt.command || !strings.Contains(got.Why, tt.why) {
				t.Errorf("next is %q: %q, want %q: …%s…", got.Command, got.Why, tt.command, tt.why)
			}
		})
	}
}

func TestTheEngineEntersTheCheckOfABreachByItself(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		change func(*rotation.Snapshot)
		want   []rotation.Action
	}{
		"certified":     {func(*rotation.Snapshot) {}, []rotation.Action{{Enter: rotation.PhaseRevoked}}},
		"not certified": {func(s *rotation.Snapshot) { s.Certificate = false }, []rotation.Action{{Certify: true}}},
		"a shop came":   {func(s *rotation.Snapshot) { s.LateInstalls = 1 }, []rotation.Action{{Enter: rotation.PhaseExchanging}}},
		"paused":        {func(s *rotation.Snapshot) { s.Held = rotation.HeldPaused }, nil},
	} {
		got := rotation.Advance(breached(rotation.PhaseProven, tt.change))
		if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(rotation.Action{}, "Why")); diff != "" {
			t.Errorf("%s: actions (-want +got):\n%s", name, diff)
		}
	}
}

func TestIrrevocable(t *testing.T) {
	t.Parallel()
	for mode, first := range map[rotation.Mode]rotation.Phase{
		rotation.ModePlanned: rotation.PhaseRevoked, rotation.ModeBreach: rotation.PhaseContained,
	} {
		for _, p := range rotation.CourseOf(rotation.KindRotation, mode).Phases() {
			if got := rotation.Irrevocable(mode, p); got == p.Before(first) {
				t.Errorf("%s: Irrevocable(%s) = %t", mode, p, got)
			}
		}
	}
}
