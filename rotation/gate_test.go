package rotation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
)

// unmet lists the conditions that keep the run in its phase.
func unmet(s rotation.Snapshot) []string {
	var names []string
	for _, c := range rotation.Gate(s) {
		if !c.Met {
			names = append(names, c.Name+": "+c.Evidence)
		}
	}
	return names
}

func TestGateMetWhenAllIsWell(t *testing.T) {
	t.Parallel()
	for _, p := range rotation.Phases {
		s := snapshot(p, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 10, Proven: 8, Skipped: 1, Waived: 1} })
		if got := unmet(s); got != nil {
			t.Errorf("%s: unmet %q", p, got)
		}
		for _, c := range rotation.Gate(s) {
			if c.Evidence == "" || c.Name == "" {
				t.Errorf("%s: condition %+v does not say on what evidence", p, c)
			}
		}
	}
}

func TestGateNamesEachConditionThatIsNotMet(t *testing.T) {
	t.Parallel()
	proven := func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 10, Proven: 10} }
	tests := map[string]struct {
		phase  rotation.Phase
		change func(*rotation.Snapshot)
		want   string
	}{
		"same secret twice":     {rotation.PhasePrepared, func(s *rotation.Snapshot) { s.SecretsDiffer = false }, "new secret differs from the old one: both secrets are the same value"},
		"foreign keyring":       {rotation.PhasePrepared, func(s *rotation.Snapshot) { s.KeyringOpens = false }, "keyring opens both secrets: the keyring does not open them"},
		"nobody said dual":      {rotation.PhaseWebhooksDual, func(s *rotation.Snapshot) { delete(s.Attested, rotation.PhaseWebhooksDual) }, "attested: the app accepts webhooks signed by the old and by the new secret: nobody has confirmed it"},
		"nobody said switched":  {rotation.PhaseOAuthSwitched, func(s *rotation.Snapshot) { delete(s.Attested, rotation.PhaseOAuthSwitched) }, "attested: the app uses only the new secret for OAuth: nobody has confirmed it"},
		"walk unfinished":       {rotation.PhaseArmed, func(s *rotation.Snapshot) { s.WalkDone = false }, "every stored shop is in the run: 10 shops so far; a worker must be running"},
		"never armed":           {rotation.PhaseArmed, func(s *rotation.Snapshot) { s.Window = rotation.Window{} }, "a refresh token with life left: no refresh token is stored"},
		"hour over to the tick": {rotation.PhaseArmed, func(s *rotation.Snapshot) { s.Window.ExpiresAt = noon }, "a refresh token with life left: its hour is over since 2026-03-01T12:00:00Z"},
		"token refused":         {rotation.PhaseArmed, func(s *rotation.Snapshot) { s.Window.Refused = true }, "a refresh token with life left: the platform refused it"},
		"one shop open":         {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 10, Proven: 9, Retrying: 1} }, "every shop is proven, skipped or waived: 1 open, 0 parked\nno stored token needs the old secret: not known before every shop is done"},
		"one shop parked":       {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 10, Proven: 9, Parked: 1} }, "every shop is proven, skipped or waived: 0 open, 1 parked\nno stored token needs the old secret: not known before every shop is done"},
		"late install":          {rotation.PhaseExchanging, func(s *rotation.Snapshot) { proven(s); s.LateInstalls = 2 }, "late installs are swept: 2 shops came since the walk"},
		"late exchange":         {rotation.PhaseExchanging, func(s *rotation.Snapshot) { proven(s); s.LateExchanges = 1 }, "no answer of a superseded worker is unproven: 1 token to prove again"},
		"old version":           {rotation.PhaseExchanging, func(s *rotation.Snapshot) { proven(s); s.OldVersionShops = 3 }, "no stored token needs the old secret: 3 shops"},
		"no certificate":        {rotation.PhaseProven, func(s *rotation.Snapshot) { s.Certificate = false }, "certificate written: not yet"},
		"late install, proven":  {rotation.PhaseProven, func(s *rotation.Snapshot) { s.LateInstalls = 1 }, "late installs are swept: 1 shop came since the walk"},
		"check unfinished":      {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation.OldDead = 9 }, "old and new tokens checked after the revoke: 9 of 10 shops; a worker must be running"},
		"check not begun":       {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation = rotation.Revocation{Planned: 10} }, "old and new tokens checked after the revoke: 0 of 10 shops; a worker must be running\nshops were checked: none"},
		"old token lives":       {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation.OldDead, s.Revocation.OldAlive = 9, 1 }, "old tokens are dead: 1 still answer: is the old secret revoked?"},
		"new token dead":        {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation.NewAlive, s.Revocation.NewDead = 9, 1 }, "new tokens live: 1 broke: see `rotation report`"},
		"nothing proven":        {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 10, Skipped: 7, Waived: 3} }, "shops are proven: none of 10: a run that exchanged nothing proves nothing"},
		"no shop at all":        {rotation.PhaseProven, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{} }, "shops are proven: none of 0: a run that exchanged nothing proves nothing"},
		"nothing checked":       {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation = rotation.Revocation{} }, "shops were checked: none"},
		"revoke said again": {rotation.PhaseRevoked, func(s *rotation.Snapshot) {
			s.Attested[rotation.PhaseRevoked] = rotation.Attestation{Actor: "operator", At: noon.Add(1 - time.Hour)}
		}, "grace for webhooks signed by the old secret is over: until 2026-03-01T12:00:00Z"},
		"grace one tick short":  {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.PhaseAt = noon.Add(1 - time.Hour) }, "grace for webhooks signed by the old secret is over: until 2026-03-01T12:00:00Z"},
		"single, late token":    {rotation.PhaseWebhooksSingle, func(s *rotation.Snapshot) { s.Revocation.NewAlive = 9 }, "shops whose token came late are checked: a worker must be running"},
		"single, late and dead": {rotation.PhaseWebhooksSingle, func(s *rotation.Snapshot) { s.Revocation.NewAlive, s.Revocation.NewDead = 9, 1 }, "new tokens live: 1 broke: see `rotation report`"},
		"nobody said single":    {rotation.PhaseWebhooksSingle, func(s *rotation.Snapshot) { delete(s.Attested, rotation.PhaseWebhooksSingle) }, "attested: the app accepts webhooks signed by the new secret only: nobody has confirmed it"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := snapshot(tt.phase)
			if tt.phase == rotation.PhaseExchanging {
				proven(&s)
			}
			tt.change(&s)
			if diff := cmp.Diff(strings.Split(tt.want, "\n"), unmet(s)); diff != "" {
				t.Errorf("unmet (-want +got):\n%s", diff)
			}
			if rotation.GateMet(rotation.Gate(s)) {
				t.Error("the gate is met")
			}
		})
	}
}

func TestGateShowsWhoAttestedWhatAndWhen(t *testing.T) {
	t.Parallel()
	gate := rotation.Gate(snapshot(rotation.PhaseWebhooksDual))
	if want := "operator, 2026-03-01T10:00:00Z: deployed"; len(gate) != 1 || gate[0].Evidence != want {
		t.Errorf("gate %+v, want evidence %q", gate, want)
	}
}

func TestCertificateRestsOnTheGateBeforeTheRevoke(t *testing.T) {
	t.Parallel()
	s := snapshot(rotation.PhaseProven)
	c := rotation.Certify(s)
	if c.App != s.App || c.Run != s.RunID || !c.At.Equal(noon) {
		t.Errorf("certificate of %q, run %d, at %s", c.App, c.Run, c.At)
	}
	if diff := cmp.Diff(s.Counts, c.Counts); diff != "" {
		t.Errorf("counts (-want +got):\n%s", diff)
	}
	if !rotation.GateMet(c.Conditions) || len(c.Conditions) != 5 {
		t.Errorf("conditions %+v", c.Conditions)
	}
	for _, cond := range c.Conditions {
		if strings.Contains(cond.Name, "certificate") {
			t.Error("the certificate proves itself")
		}
	}
	if _, ok := c.Attestations[rotation.PhaseOAuthSwitched]; !ok {
		t.Error("the certificate does not name the words that it rests on")
	}
}

// A snapshot whose shops were not counted says nothing of them.
func TestGatesThatDoNotCountAreTheSameWithoutCounts(t *testing.T) {
	t.Parallel()
	for _, of := range []struct {
		kind rotation.Kind
		mode rotation.Mode
	}{
		{rotation.KindRotation, rotation.ModePlanned},
		{rotation.KindRotation, rotation.ModeBreach},
		{rotation.KindTokenMigration, rotation.ModePlanned},
	} {
		for _, phase := range rotation.CourseOf(of.kind, of.mode).Phases() {
			bare := rotation.Snapshot{Kind: of.kind, Mode: of.mode, Phase: phase}
			counted := bare
			counted.Counts = rotation.Counts{Total: 9, Pending: 1, Claimed: 1, Exchanged: 1, Proven: 1, Retrying: 1, Unknown: 1, Parked: 1, Skipped: 1, Waived: 1}
			counted.LateInstalls, counted.LateExchanges, counted.OldVersionShops, counted.ToLoad = 1, 1, 1, 1
			counted.Deliveries = rotation.Deliveries{Required: true, Pending: 1, Failing: 1, Acknowledged: 1, Waived: 1}
			counted.Bound = rotation.Bound{Table: "public.shops", LeftOut: 1, Behind: 1}
			counted.Migration = rotation.Migration{CheckPlanned: 1, CheckDone: 1, CheckAlive: 1, LegacyLeft: 1, LegacyOnly: 1, Counted: true}
			if diff := cmp.Diff(rotation.Gate(bare), rotation.Gate(counted)); diff != "" && !rotation.GateCounts(phase) {
				t.Errorf("%s, %s, %s: %s", of.kind, of.mode, phase, diff)
			}
		}
	}
}

// The conditions of the check do not contradict each other while it goes on.
func TestTheGateAfterTheRevokeCountsWhatWasLookedAt(t *testing.T) {
	t.Parallel()
	s := snapshot(rotation.PhaseRevoked)
	s.Revocation = rotation.Revocation{Planned: 10, OldDead: 6, OldAlive: 1, NewAlive: 7}
	for _, c := range rotation.Gate(s) {
		if c.Name == "shops were checked" && (!c.Met || c.Evidence != "7") {
			t.Errorf("%+v, want 7", c)
		}
	}
}
