package rotation_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
)

var checkedAt = time.Date(2026, 6, 1, 12, 0, 0, 0, time.UTC)

// exchangingFacts is a run that goes well, half an hour into its window.
func exchangingFacts(change func(*rotation.AppFacts, *rotation.Snapshot)) rotation.AppFacts {
	run := rotation.Snapshot{
		Now: checkedAt, App: "main", RunID: 7, Kind: rotation.KindRotation, Mode: rotation.ModePlanned,
		Phase: rotation.PhaseExchanging, PhaseAt: checkedAt.Add(-30 * time.Minute), WalkDone: true, Workers: 2,
		Window: rotation.Window{ExpiresAt: checkedAt.Add(30 * time.Minute)},
		Counts: rotation.Counts{Total: 36_000, Proven: 18_000, Pending: 18_000},
		Waves:  []rotation.WaveStatus{{Released: true}},
	}
	f := rotation.AppFacts{
		App: "main", Now: checkedAt, SecretAt: checkedAt.Add(-24 * time.Hour), Run: &run,
		ProgressAt: checkedAt.Add(-time.Second), Rate: 10,
	}
	change(&f, &run)
	return f
}

// quietFacts is an app without a run.
func quietFacts(change func(*rotation.AppFacts)) rotation.AppFacts {
	f := rotation.AppFacts{App: "main", Now: checkedAt, SecretAt: checkedAt.Add(-24 * time.Hour)}
	change(&f)
	return f
}

const day = 24 * time.Hour

func TestExamine(t *testing.T) {
	t.Parallel()
	type facts = *rotation.AppFacts
	type snap = *rotation.Snapshot
	for name, tt := range map[string]struct {
		facts rotation.AppFacts
		want  []string // severity code next
	}{
		"all is well":                {exchangingFacts(func(facts, snap) {}), nil},
		"no run":                     {quietFacts(func(facts) {}), nil},
		"no secret yet":              {quietFacts(func(f facts) { f.SecretAt = time.Time{} }), nil},
		"a day before the warning":   {quietFacts(func(f facts) { f.SecretAt = checkedAt.Add(-149 * day) }), nil},
		"secret ages":                {quietFacts(func(f facts) { f.SecretAt = checkedAt.Add(-150 * day) }), []string{"warning secret_age rotator rotation plan"}},
		"secret too old":             {quietFacts(func(f facts) { f.SecretAt = checkedAt.Add(-180 * day) }), []string{"critical secret_age rotator rotation plan"}},
		"a cancelled run left it":    {quietFacts(func(f facts) { f.RetiringAt = checkedAt.Add(-day) }), []string{"warning old_secret rotator rotation start"}},
		"cancelled a moment ago":     {quietFacts(func(f facts) { f.RetiringAt = checkedAt.Add(-day + 1) }), nil},
		"retiring while a run works": {exchangingFacts(func(f facts, _ snap) { f.RetiringAt = checkedAt.Add(-9 * day) }), nil},
		"proven, not revoked": {exchangingFacts(func(_ facts, s snap) {
			s.Phase, s.PhaseAt, s.Certificate = rotation.PhaseProven, checkedAt.Add(-day), true
			s.Counts = rotation.Counts{Total: 9, Proven: 9}
		}), []string{"warning old_secret rotator rotation confirm revoked --confirm main"}},
		"paused": {exchangingFacts(func(_ facts, s snap) { s.Held, s.HeldWhy = rotation.HeldPaused, "lunch" }), []string{"warning run_held rotator rotation resume"}},
		"window over": {exchangingFacts(func(_ facts, s snap) {
			s.Held, s.Window.ExpiresAt = rotation.HeldWindowExpired, checkedAt
		}), []string{"critical run_held rotator rotation arm"}},
		"breaker": {exchangingFacts(func(_ facts, s snap) { s.Held = rotation.HeldBreakerOpen }), []string{"critical run_held rotator rotation resume"}},
		"held long without a worker": {exchangingFacts(func(f facts, s snap) {
			s.Held, s.Workers, f.ProgressAt, f.Rate = rotation.HeldPaused, 0, checkedAt.Add(-day), 0
		}), []string{"warning run_held rotator rotation resume"}},
		"stalled":         {exchangingFacts(func(f facts, _ snap) { f.ProgressAt = checkedAt.Add(-10 * time.Minute) }), []string{"critical run_stalled rotator rotation explain"}},
		"not stalled yet": {exchangingFacts(func(f facts, _ snap) { f.ProgressAt = checkedAt.Add(-10*time.Minute + 1) }), nil},
		"a full disk": {exchangingFacts(func(f facts, s snap) {
			s.Unwriting, f.ProgressAt = 2, checkedAt.Add(-15*time.Second)
		}), []string{"critical database_writes rotator doctor"}},
		"a full disk for long": {exchangingFacts(func(f facts, s snap) {
			s.Unwriting, f.ProgressAt = 2, checkedAt.Add(-time.Hour)
		}), []string{"critical database_writes rotator doctor"}},
		"a server that takes no writes": {exchangingFacts(func(f facts, s snap) {
			s.Workers, s.ReadOnly = 0, true
		}), []string{"critical database_writes rotator doctor"}},
		"writes stopped a moment ago":  {exchangingFacts(func(f facts, s snap) { s.Unwriting = 2 }), nil},
		"another machine still writes": {exchangingFacts(func(f facts, s snap) { s.Unwriting, f.ProgressAt = 1, checkedAt.Add(-time.Minute) }), nil},
		"the app is down": {quietFacts(func(f facts) {
			f.Untold = rotation.Untold{Shops: 20, DownSince: checkedAt.Add(-time.Second)}
		}), []string{"critical deliveries rotator delivery list"}},
		"the app was down": {quietFacts(func(f facts) { f.Untold = rotation.Untold{DownSince: checkedAt.Add(-time.Hour)} }), nil},
		"the app refuses one": {quietFacts(func(f facts) {
			f.Untold = rotation.Untold{Shops: 1, Failing: 1, FailingSince: checkedAt.Add(-time.Minute)}
		}), []string{"warning deliveries rotator delivery list"}},
		"the app refused one just now": {quietFacts(func(f facts) {
			f.Untold = rotation.Untold{Shops: 9, Failing: 1, FailingSince: checkedAt.Add(1 - time.Minute)}
		}), nil},
		"the app is being told": {quietFacts(func(f facts) { f.Untold = rotation.Untold{Shops: 9} }), nil},
		"the run waits for the app": {exchangingFacts(func(f facts, s snap) {
			s.Counts, s.Deliveries = rotation.Counts{Total: 9, Proven: 9}, rotation.Deliveries{Required: true, Failing: 9}
			f.Untold, f.ProgressAt = rotation.Untold{Shops: 9, Failing: 9, FailingSince: checkedAt.Add(-time.Hour)}, checkedAt.Add(-time.Hour)
		}), []string{"critical deliveries rotator delivery list"}},
		"stalled, and the app refuses one": {exchangingFacts(func(f facts, s snap) {
			s.Deliveries = rotation.Deliveries{Required: true, Failing: 1}
			f.Untold, f.ProgressAt = rotation.Untold{Shops: 1, Failing: 1, FailingSince: checkedAt.Add(-time.Hour)}, checkedAt.Add(-time.Hour)
		}), []string{"critical run_stalled rotator rotation explain", "critical deliveries rotator delivery list"}},
		"the run waits, and has nowhere to tell it": {exchangingFacts(func(f facts, s snap) {
			s.Counts, s.Deliveries = rotation.Counts{Total: 9, Proven: 9}, rotation.Deliveries{Required: true, Pending: 9, NoURL: true}
		}), []string{"critical deliveries rotator app set --deliver-url URL"}},
		"dead in its hour": {exchangingFacts(func(_ facts, s snap) { s.Workers = 0 }), []string{"critical no_worker rotator worker"}},
		"no worker to walk": {exchangingFacts(func(_ facts, s snap) {
			s.Phase, s.WalkDone, s.Workers = rotation.PhasePrepared, false, 0
			s.Window = rotation.Window{}
		}), []string{"warning no_worker rotator worker"}},
		"a person's turn needs no worker": {exchangingFacts(func(f facts, s snap) {
			s.Phase, s.Workers, f.ProgressAt, s.Window = rotation.PhaseWebhooksDual, 0, checkedAt.Add(-day), rotation.Window{}
		}), nil},
		"too slow by a shop": {exchangingFacts(func(f facts, s snap) { s.Counts.Pending++ }), []string{"critical window_closing rotator rotation status"}},
		"slow because it just began": {exchangingFacts(func(f facts, s snap) {
			s.PhaseAt, s.Window.ExpiresAt, f.Rate = checkedAt.Add(-time.Minute), checkedAt.Add(59*time.Minute), 1
		}), nil},
		"slow on purpose, but late": {exchangingFacts(func(f facts, s snap) {
			s.Waves, s.Window.ExpiresAt = []rotation.WaveStatus{{Released: true}, {}}, checkedAt.Add(10*time.Minute)
		}), []string{"critical window_closing rotator rotation status"}},
		"parked": {exchangingFacts(func(f facts, s snap) {
			s.Counts = rotation.Counts{Total: 10, Proven: 8, Parked: 2}
			s.Workers, f.ProgressAt, f.Rate = 0, checkedAt.Add(-day), 0
		}), []string{"warning shops_parked rotator rotation report"}},
		"broken by the revoke": {exchangingFacts(func(_ facts, s snap) {
			s.Phase, s.Revocation = rotation.PhaseRevoked, rotation.Revocation{Planned: 9, OldDead: 9, NewAlive: 7, NewDead: 2}
		}), []string{"critical shops_broken rotator rotation report"}},
		"the revoke did not bite": {exchangingFacts(func(_ facts, s snap) {
			s.Phase, s.Revocation = rotation.PhaseRevoked, rotation.Revocation{Planned: 9, OldDead: 2, OldAlive: 7, NewAlive: 9}
		}), []string{"critical old_tokens_alive rotator rotation confirm revoked --confirm main"}},
		"the check after the revoke goes on": {exchangingFacts(func(_ facts, s snap) {
			s.Phase, s.Revocation = rotation.PhaseRevoked, rotation.Revocation{Planned: 9, OldDead: 2, OldAlive: 3, NewAlive: 5}
		}), nil},
		"not one token is accepted": {quietFacts(func(f facts) {
			f.Sampled, f.Refused = map[rotation.Class]int{rotation.ClassUnauthorized: 2, rotation.ClassNetwork: 1}, []string{"a", "b"}
		}), []string{"critical tokens rotator doctor"}},
		"one merchant left": {quietFacts(func(f facts) {
			f.Sampled, f.Refused = map[rotation.Class]int{"": 19, rotation.ClassUnauthorized: 1}, []string{"one.myharavan.com"}
		}), []string{"warning tokens rotator shop show one.myharavan.com"}},
		"frozen is its own fate": {quietFacts(func(f facts) { f.Sampled = map[rotation.Class]int{"": 1, rotation.ClassFrozen: 9} }), nil},
		"none of them is there": {quietFacts(func(f facts) {
			f.Sampled = map[rotation.Class]int{rotation.ClassNotFound: 4, rotation.ClassUninstalled: 1}
		}), []string{"critical platform rotator doctor"}},
		"a few merchants who left": {quietFacts(func(f facts) { f.Sampled = map[rotation.Class]int{rotation.ClassUninstalled: 4} }), nil},
		"somebody revoked": {quietFacts(func(f facts) {
			f.Sampled, f.Refused = map[rotation.Class]int{"": 1, rotation.ClassUnauthorized: 2}, []string{"b", "a"}
		}), []string{"critical tokens rotator rotation plan --breach"}},
		"somebody revoked in mid-run": {exchangingFacts(func(f facts, s snap) {
			f.Sampled, f.Refused = map[rotation.Class]int{"": 1, rotation.ClassUnauthorized: 2}, []string{"b", "a"}
		}), []string{"critical tokens rotator rotation next"}},
		"the only shop removed the app": {quietFacts(func(f facts) {
			f.Sampled, f.Refused = map[rotation.Class]int{rotation.ClassUnauthorized: 1}, []string{"b"}
		}), []string{"critical tokens rotator shop show b"}},
		"platform is away": {quietFacts(func(f facts) { f.Sampled = map[rotation.Class]int{rotation.ClassNetwork: 2, "": 1} }), []string{"critical platform rotator doctor"}},
		"half of them":     {quietFacts(func(f facts) { f.Sampled = map[rotation.Class]int{rotation.ClassNetwork: 1, "": 1} }), nil},
		"does not open":    {quietFacts(func(f facts) { f.Unsealed = []string{"a", "b", "c", "d"} }), []string{"critical tokens rotator doctor"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var got []string
			for _, f := range rotation.Examine(tt.facts, rotation.DefaultPolicy) {
				got = append(got, string(f.Severity)+" "+string(f.Code)+" "+f.Next)
				if f.App != "main" || f.Words == "" || strings.Contains(f.Words, "%!") {
					t.Errorf("%+v", f)
				}
			}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("findings (-want +got):\n%s", diff)
			}
		})
	}
}

func TestExamineKeyring(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		facts rotation.KeyringFacts
		due   bool
		want  string
	}{
		"fine":                     {rotation.KeyringFacts{Sealed: true}, false, ""},
		"due, copy confirmed":      {rotation.KeyringFacts{Sealed: true, CopyAt: checkedAt}, true, ""},
		"due, no copy":             {rotation.KeyringFacts{Sealed: true}, true, "warning keyring_copy: a rotation is open or due"},
		"due, nothing sealed":      {rotation.KeyringFacts{}, true, ""},
		"missing, nothing sealed":  {rotation.KeyringFacts{State: rotation.KeyringMissing}, false, ""},
		"missing":                  {rotation.KeyringFacts{State: rotation.KeyringMissing, Sealed: true}, false, "critical keyring: the keyring  is missing"},
		"missing and about needed": {rotation.KeyringFacts{State: rotation.KeyringMissing, Sealed: true}, true, "about to be needed"},
		"readable by others":       {rotation.KeyringFacts{State: rotation.KeyringExposed}, false, "can be read by others"},
		"a folder":                 {rotation.KeyringFacts{State: rotation.KeyringNoFile}, false, "is no file: point ROTATOR_KEYRING at the file"},
		"damaged":                  {rotation.KeyringFacts{State: rotation.KeyringDamaged, Sealed: true}, true, "cannot be read"},
		"foreign":                  {rotation.KeyringFacts{State: rotation.KeyringForeign, Sealed: true}, true, "not the one that sealed"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := ""
			for _, f := range rotation.ExamineKeyring(tt.facts, tt.due) {
				got += string(f.Severity) + " " + string(f.Code) + ": " + f.Words
			}
			if (got == "") != (tt.want == "") || !strings.Contains(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestExamineClocks(t *testing.T) {
	t.Parallel()
	at := func(d time.Duration) *time.Duration { return &d }
	for name, tt := range map[string]struct {
		database, platform *time.Duration
		want               int
	}{
		"not read":      {nil, nil, 0},
		"a minute":      {at(time.Minute), at(-time.Minute), 0},
		"database off":  {at(time.Minute + 1), at(0), 1},
		"both are off":  {at(-5 * time.Minute), at(-5 * time.Minute), 2},
		"platform only": {nil, at(time.Hour), 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := rotation.ExamineClocks(rotation.DefaultPolicy, tt.database, tt.platform); len(got) != tt.want {
				t.Errorf("%+v", got)
			}
		})
	}
}

func TestSortFindings(t *testing.T) {
	t.Parallel()
	fs := []rotation.Finding{
		{Code: rotation.CodePlatform, Severity: rotation.SeverityWarning},
		{Code: rotation.CodeTokens, Severity: rotation.SeverityCritical},
		{Code: rotation.CodeDatabase, Severity: rotation.SeverityCritical},
		{Code: rotation.CodeClock, Severity: rotation.SeverityWarning},
	}
	rotation.SortFindings(fs)
	var got []rotation.Code
	for _, f := range fs {
		got = append(got, f.Code)
	}
	if diff := cmp.Diff([]rotation.Code{rotation.CodeDatabase, rotation.CodeTokens, rotation.CodeClock, rotation.CodePlatform}, got); diff != "" {
		t.Error(diff)
	}
	if rotation.Worst(fs) != rotation.SeverityCritical || rotation.Worst(fs[2:]) != rotation.SeverityWarning || rotation.Worst(nil) != "" {
		t.Error("the worst is another")
	}
}

// The revoke is confirmed once more in its own phase only; a late look can find a
// former token that answers after it.
func TestAnOldTokenThatIsFoundLateIsNotForConfirm(t *testing.T) {
	t.Parallel()
	for phase, again := range map[rotation.Phase]bool{rotation.PhaseRevoked: true, rotation.PhaseWebhooksSingle: false} {
		f := exchangingFacts(func(_ *rotation.AppFacts, s *rotation.Snapshot) {
			s.Phase, s.Revocation = phase, rotation.Revocation{Planned: 9, OldDead: 8, OldAlive: 1, NewAlive: 9}
			s.AliveShops = []string{"late.myharavan.com"}
		})
		for _, found := range rotation.Examine(f, rotation.DefaultPolicy) {
			if found.Code == rotation.CodeOldTokens && (strings.Contains(found.Words, "say so again") != again || !strings.Contains(found.Words, "waive")) {
				t.Errorf("%s: %s", phase, found.Words)
			}
		}
	}
}

// What a finding tells to type can be typed as it stands.
func TestARefusedTokensAdviceCanBeTyped(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		alive   int
		refused []string
		want    string
	}{
		"one of many": {19, []string{"one"}, "1 of 20 sampled tokens are refused: one; a shop that removed the app can be left out: `rotator shop exclude one --reason \"removed the app\"`"},
		"two of many": {18, []string{"two", "one"}, "`rotator shop exclude one --reason \"removed the app\"`"},
		"most":        {2, []string{"a", "b", "c", "d"}, "so many at once look like a secret that was revoked"},
		"all":         {0, []string{"a", "b"}, "A secret that was revoked looks the same: `rotator rotation plan --breach`"},
	} {
		f := quietFacts(func(f *rotation.AppFacts) {
			f.Sampled, f.Refused = map[rotation.Class]int{"": tt.alive, rotation.ClassUnauthorized: len(tt.refused)}, tt.refused
		})
		found := rotation.Examine(f, rotation.DefaultPolicy)
		if len(found) != 1 || !strings.Contains(found[0].Words, tt.want) {
			t.Errorf("%s: %+v, want %q", name, found, tt.want)
		}
	}
}

// Where the next step is the old secret's revoke, dead new tokens must not lead to it.
func TestExamineTokensBeforeTheRevoke(t *testing.T) {
	t.Parallel()
	s := snapshot(rotation.PhaseProven)
	f := quietFacts(func(f *rotation.AppFacts) {
		f.Run = &s
		f.Sampled, f.Refused = map[rotation.Class]int{rotation.ClassUnauthorized: 3}, []string{"a", "b", "c"}
	})
	found := rotation.Examine(f, rotation.DefaultPolicy)
	i := slices.IndexFunc(found, func(f rotation.Finding) bool { return f.Code == rotation.CodeTokens })
	if i < 0 || !strings.Contains(found[i].Words, "if the new one was instead, revoke nothing more") || !strings.Contains(found[i].Next, "rotation cancel --confirm") {
		t.Errorf("%+v", found)
	}
}
