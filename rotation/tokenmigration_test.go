package rotation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"

	"github.com/haravan-rotator/rotator/rotation"
)

type change = func(*rotation.Snapshot)

// migrating is a healthy token migration of ten shops that has done the work of
// its phase, changed as told.
func migrating(p rotation.Phase, changes ...change) rotation.Snapshot {
	s := rotation.Snapshot{
		Now: noon, App: "shopbot", RunID: 8, Kind: rotation.KindTokenMigration, Mode: rotation.ModePlanned,
		Phase: p, PhaseAt: noon.Add(-time.Hour), Attested: map[rotation.Phase]rotation.Attestation{},
		WalkDone: true, WavePolicy: rotation.DefaultWavePolicy, Workers: 1,
		Migration: rotation.Migration{SecretVersion: 1, CheckPlanned: 10, CheckDone: 10, CheckAlive: 10, LegacyLeft: 10, Counted: true},
	}
	for _, q := range []rotation.Phase{rotation.PhaseChecked, rotation.PhaseCutover, rotation.PhaseScrubbed} {
		if !p.Before(q) {
			s.Attested[q] = rotation.Attestation{Actor: "operator", Note: "seen", At: noon.Add(-2 * time.Hour)}
		}
	}
	state := rotation.ItemExchanged
	if !p.Before(rotation.PhaseCutover) {
		state = rotation.ItemProven
	}
	withWaves(status(1, true, true, state))(&s)
	if !p.Before(rotation.PhaseScrubbed) {
		s.Migration.LegacyLeft, s.Certificate = 0, true
	}
	for _, c := range changes {
		c(&s)
	}
	return s
}

func counts(c rotation.Counts) change { return func(s *rotation.Snapshot) { s.Counts = c } }

func lateShops(n int) change { return func(s *rotation.Snapshot) { s.LateInstalls = n } }

func checked(planned, alive, dead int) change {
	return func(s *rotation.Snapshot) {
		s.Migration.CheckPlanned, s.Migration.CheckAlive, s.Migration.CheckDead = planned, alive, dead
		s.Migration.CheckDone = alive + dead
	}
}

// uncounted is as the engine reads it: zero says nothing then.
func uncounted(s *rotation.Snapshot) { s.Migration.LegacyLeft, s.Migration.Counted = 0, false }

func legacyOnly(n int) change { return func(s *rotation.Snapshot) { s.Migration.LegacyOnly = n } }

func unattested(p rotation.Phase) change {
	return func(s *rotation.Snapshot) { delete(s.Attested, p) }
}

func TestMigrationGateMetWhenAllIsWell(t *testing.T) {
	t.Parallel()
	for _, p := range rotation.CourseOf(rotation.KindTokenMigration, rotation.ModePlanned).Phases() {
		s := migrating(p)
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

func TestMigrationGateNamesEachConditionThatIsNotMet(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		phase  rotation.Phase
		change change
		want   string
	}{
		"walk unfinished":    {rotation.PhaseDeriving, func(s *rotation.Snapshot) { s.WalkDone = false }, "every stored shop is in the run: 10 shops so far; a worker must be running"},
		"one is pending":     {rotation.PhaseDeriving, counts(rotation.Counts{Total: 10, Exchanged: 9, Pending: 1}), "every shop is derived, or set aside with the reason: 1 are not derived yet; a worker must be running"},
		"one is claimed":     {rotation.PhaseDeriving, counts(rotation.Counts{Total: 10, Exchanged: 9, Claimed: 1}), "every shop is derived, or set aside with the reason: 1 are not derived yet; a worker must be running"},
		"nothing to derive":  {rotation.PhaseDeriving, counts(rotation.Counts{Total: 10, Skipped: 10}), "tokens are derived: none of 10 shops: there is nothing to cut over to"},
		"one came late":      {rotation.PhaseDeriving, lateShops(1), "late legacy shops are taken in: 1 came since the walk; a worker takes them in"},
		"retried, underived": {rotation.PhaseDerived, counts(rotation.Counts{Total: 10, Exchanged: 9, Retrying: 1}), "every shop is derived, or set aside with the reason: 1 are not derived yet; a worker must be running"},
		"one parked":         {rotation.PhaseDerived, counts(rotation.Counts{Total: 10, Exchanged: 9, Parked: 1}), "no shop is parked: 1 are: mend and retry them, or waive them by name"},
		"late, derived":      {rotation.PhaseDerived, lateShops(2), "late legacy shops are taken in: 2 came since the walk; a worker takes them in"},
		"check unfinished":   {rotation.PhaseDerived, checked(10, 9, 0), "derived tokens are checked: 9 of 10 shops; a worker must be running"},
		"none works":         {rotation.PhaseDerived, checked(2, 0, 2), "derived tokens work: not one does, 2 were refused"},
		"late, checked":      {rotation.PhaseChecked, lateShops(3), "late legacy shops are taken in: 3 came since the walk; a worker takes them in"},
		"parked, checked":    {rotation.PhaseChecked, counts(rotation.Counts{Total: 10, Exchanged: 8, Parked: 2}), "no shop is parked: 2 are: mend and retry them, or waive them by name"},
		"nobody checked":     {rotation.PhaseChecked, unattested(rotation.PhaseChecked), "attested: derived tokens were seen to work: nobody has confirmed it"},
		"nobody cut over":    {rotation.PhaseCutover, unattested(rotation.PhaseCutover), "attested: the app uses the derived tokens and its panel is switched to OAuth: nobody has confirmed it"},
		"one unproven":       {rotation.PhaseCutover, counts(rotation.Counts{Total: 10, Proven: 9, Exchanged: 1}), "every shop is proven, skipped or waived: 1 open, 0 parked"},
		"one broke":          {rotation.PhaseCutover, counts(rotation.Counts{Total: 10, Proven: 9, Parked: 1}), "every shop is proven, skipped or waived: 0 open, 1 parked"},
		"none proven":        {rotation.PhaseCutover, counts(rotation.Counts{Total: 10, Skipped: 9, Waived: 1}), "shops are proven: none of 10: nothing shows that derived tokens work"},
		"late, cut over":     {rotation.PhaseCutover, lateShops(1), "late legacy shops are taken in: 1 came since the walk; a worker takes them in"},
		"not counted":        {rotation.PhaseCutover, uncounted, "every shop is proven, skipped or waived: legacy credentials were not counted"},
		"left, not counted":  {rotation.PhaseScrubbed, uncounted, "no legacy credential is stored: legacy credentials were not counted"},
		"nobody scrubbed":    {rotation.PhaseScrubbed, unattested(rotation.PhaseScrubbed), "attested: the legacy credentials may be removed: nobody has confirmed it"},
		"legacy left":        {rotation.PhaseScrubbed, func(s *rotation.Snapshot) { s.Migration.LegacyLeft = 2 }, "no legacy credential is stored: 2 shops still have one: confirm scrubbed once more"},
		"no certificate":     {rotation.PhaseScrubbed, func(s *rotation.Snapshot) { s.Certificate = false }, "certificate written: not yet"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff([]string{tt.want}, unmet(migrating(tt.phase, tt.change))); diff != "" {
				t.Errorf("unmet (-want +got):\n%s", diff)
			}
		})
	}
}

func TestAMigrationWithoutACheckRestsOnTheNote(t *testing.T) {
	t.Parallel()
	s := migrating(rotation.PhaseDerived, checked(0, 0, 0))
	if got := unmet(s); got != nil {
		t.Errorf("unmet %q", got)
	}
	gate := rotation.Gate(s)
	if last := gate[len(gate)-1]; !strings.Contains(last.Evidence, "--sample 0") {
		t.Errorf("the gate says %q", last.Evidence)
	}
}

func TestScrubCertificateSaysWhoOnWhatEvidenceAndWhatWasWaived(t *testing.T) {
	t.Parallel()
	waived := []rotation.WaivedShop{{Shop: "closed.myharavan.com", Reason: "left us"}}
	s := migrating(rotation.PhaseCutover, counts(rotation.Counts{Total: 10, Proven: 9, Waived: 1}))
	word := rotation.Attestation{Actor: "operator@host", Note: "seen for two days", At: noon}
	c := rotation.CertifyScrub(s, word, waived, "")
	if c.App != s.App || c.Run != s.RunID || !c.At.Equal(noon) || c.Actor != "operator@host" || c.SecretVersion != 1 {
		t.Errorf("certificate %+v", c)
	}
	if diff := cmp.Diff(waived, c.Waived); diff != "" {
		t.Errorf("waived (-want +got):\n%s", diff)
	}
	if !rotation.GateMet(c.Conditions) || len(c.Conditions) != 3 || c.Counts != s.Counts {
		t.Errorf("evidence %+v of %+v", c.Conditions, c.Counts)
	}
	if _, ok := c.Attestations[rotation.PhaseCutover]; !ok || c.Attestations[rotation.PhaseScrubbed] != word {
		t.Errorf("the certificate rests on the words %+v", c.Attestations)
	}
	if _, ok := s.Attested[rotation.PhaseScrubbed]; ok {
		t.Error("certifying changes the snapshot")
	}
}

// A shop that was set aside before it was derived has nothing after the scrub:
// whoever confirms it is told before, and the certificate says it afterwards.
func TestAScrubSaysWhoLosesTheOnlyCredential(t *testing.T) {
	t.Parallel()
	some := counts(rotation.Counts{Total: 10, Proven: 6, Skipped: 4})
	for n, want := range map[int]struct{ evidence, next string }{
		0: {"6 proven, 4 skipped, 0 waived", ""},
		3: {"6 proven, 4 skipped (3 with no credential but a legacy one, which goes too), 0 waived", "No other credential is stored of 3 skipped shops"},
	} {
		s := migrating(rotation.PhaseCutover, some, legacyOnly(n))
		gate := rotation.Gate(s)
		if !rotation.GateMet(gate) || gate[2].Evidence != want.evidence {
			t.Errorf("%d: gate %+v", n, gate)
		}
		next := rotation.Next(s)
		if next.Command != "rotator tokenmigration confirm scrubbed --app shopbot" || (n > 0) != strings.Contains(next.Why, "No other credential") || !strings.Contains(next.Why, want.next) ||
			!strings.Contains(next.Why, "legacy column afterwards") || strings.Contains(next.Why, "(step ") { // the platform's steps and the runbook's differ
			t.Errorf("%d: next %+v", n, next)
		}
		c := rotation.CertifyScrub(s, rotation.Attestation{}, nil, "")
		if c.LegacyOnly != n || c.Conditions[1].Evidence != want.evidence {
			t.Errorf("%d: certificate %+v", n, c)
		}
	}
}

func TestAdvanceMigration(t *testing.T) {
	t.Parallel()
	const pending, exchanged, proven, parked, retrying = rotation.ItemPending, rotation.ItemExchanged, rotation.ItemProven, rotation.ItemParked, rotation.ItemRetrying
	unreleased := withWaves(status(1, false, false, pending), status(2, false, false, pending))
	tests := map[string]struct {
		phase   rotation.Phase
		changes []change
		want    []rotation.Action
	}{
		"all derived":                   {rotation.PhaseDeriving, nil, []rotation.Action{{Enter: rotation.PhaseDerived}}},
		"every wave at once":            {rotation.PhaseDeriving, []change{unreleased}, []rotation.Action{{Release: 1}, {Release: 2}}},
		"at work":                       {rotation.PhaseDeriving, []change{withWaves(status(1, true, false, exchanged, pending))}, nil},
		"the walk is not done":          {rotation.PhaseDeriving, []change{lateShops(9), func(s *rotation.Snapshot) { s.WalkDone = false }}, nil},
		"parked ones do not stop it":    {rotation.PhaseDeriving, []change{withWaves(status(1, true, false, exchanged, parked))}, []rotation.Action{{Enter: rotation.PhaseDerived}}},
		"all parked":                    {rotation.PhaseDeriving, []change{withWaves(status(1, true, false, parked))}, nil},
		"late ones are taken in":        {rotation.PhaseDeriving, []change{lateShops(1)}, []rotation.Action{{Sweep: true}}},
		"late ones wait for the others": {rotation.PhaseDeriving, []change{lateShops(1), withWaves(status(1, true, false, exchanged, pending))}, nil},
		"held":                          {rotation.PhaseDeriving, []change{unreleased, func(s *rotation.Snapshot) { s.Held = rotation.HeldPaused }}, nil},

		"derived waits for a human":     {rotation.PhaseDerived, nil, nil},
		"derived, a late wave":          {rotation.PhaseDerived, []change{withWaves(status(1, true, true, exchanged), status(2, false, false, pending))}, []rotation.Action{{Release: 2}}},
		"derived, late ones":            {rotation.PhaseDerived, []change{lateShops(1)}, []rotation.Action{{Sweep: true}}},
		"checked waits for a human":     {rotation.PhaseChecked, nil, nil},
		"checked, late ones":            {rotation.PhaseChecked, []change{lateShops(1)}, []rotation.Action{{Sweep: true}}},
		"first release of the cutover":  {rotation.PhaseCutover, []change{withWaves(status(1, false, false, exchanged), status(2, false, false, exchanged))}, []rotation.Action{{Release: 1}}},
		"canary proven":                 {rotation.PhaseCutover, []change{withWaves(status(1, true, false, proven), status(2, false, false, exchanged))}, []rotation.Action{{Settle: 1}, {Release: 2}}},
		"canary broke":                  {rotation.PhaseCutover, []change{withWaves(status(1, true, false, parked), status(2, false, false, exchanged))}, []rotation.Action{{Hold: rotation.HeldBreakerOpen}}},
		"cutover, late ones":            {rotation.PhaseCutover, []change{lateShops(1)}, []rotation.Action{{Sweep: true}}},
		"cutover, late ones wait":       {rotation.PhaseCutover, []change{lateShops(1), withWaves(status(1, true, false, exchanged))}, nil},
		"cutover, a shop waits":         {rotation.PhaseCutover, []change{lateShops(1), withWaves(status(1, true, true, proven, retrying))}, nil},
		"all proven, waits for a human": {rotation.PhaseCutover, nil, nil},
		"scrubbed waits for a human":    {rotation.PhaseScrubbed, nil, nil},
		"closed is the end":             {rotation.PhaseClosed, []change{lateShops(3)}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rotation.Advance(migrating(tt.phase, tt.changes...))
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(rotation.Action{}, "Why")); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
			for _, a := range got {
				if a.Why == "" || strings.Contains(a.Why, "rotator rotation") {
					t.Errorf("%+v does not say why, or speaks of a rotation", a)
				}
			}
		})
	}
}

func TestNextMigration(t *testing.T) {
	t.Parallel()
	noWorker := func(s *rotation.Snapshot) { s.Workers = 0 }
	held := func(h rotation.Held, why string) change {
		return func(s *rotation.Snapshot) { s.Held, s.HeldWhy = h, why }
	}
	c := func(c rotation.Counts) change { return counts(c) }
	tests := map[string]struct {
		phase   rotation.Phase
		changes []change
		command string
		why     string
	}{
		"deriving":           {rotation.PhaseDeriving, []change{c(rotation.Counts{Total: 10, Exchanged: 4, Pending: 6})}, "", "deriving: 4 of 10 shops done"},
		"deriving, no work":  {rotation.PhaseDeriving, []change{c(rotation.Counts{Total: 10, Exchanged: 4, Pending: 6}), noWorker}, "rotator worker", "no worker is alive"},
		"derived in a tick":  {rotation.PhaseDeriving, nil, "", "derived: 10 of 10 shops"},
		"all malformed":      {rotation.PhaseDeriving, []change{c(rotation.Counts{Total: 10, Parked: 10}), noWorker}, "rotator tokenmigration report", "10 legacy tokens are malformed"},
		"nothing to derive":  {rotation.PhaseDeriving, []change{c(rotation.Counts{Total: 10, Skipped: 10}), noWorker}, "rotator tokenmigration cancel --confirm shopbot", "nothing is to be migrated"},
		"checking":           {rotation.PhaseDerived, []change{checked(10, 3, 1)}, "", "4 of 10 shops"},
		"checking, no work":  {rotation.PhaseDerived, []change{checked(10, 3, 1), noWorker}, "rotator worker", "no worker is alive"},
		"checked all":        {rotation.PhaseDerived, []change{checked(10, 9, 1), noWorker}, "rotator tokenmigration confirm checked", "9 derived tokens work, 1 do not"},
		"none works":         {rotation.PhaseDerived, []change{checked(2, 0, 2)}, "rotator tokenmigration report", "is version 1 the secret"},
		"no check":           {rotation.PhaseDerived, []change{checked(0, 0, 0)}, "rotator tokenmigration confirm checked", "create a new app in the Partners dashboard"},
		"parked":             {rotation.PhaseDerived, []change{c(rotation.Counts{Total: 10, Exchanged: 8, Parked: 2})}, "rotator tokenmigration report", "2 shops are parked"},
		"late ones":          {rotation.PhaseDerived, []change{lateShops(2)}, "", "2 came late"},
		"checked":            {rotation.PhaseChecked, []change{noWorker}, "rotator tokenmigration confirm cutover --app shopbot", "deploy it and, at the same moment, switch the app to OAuth"},
		"checked, roll back": {rotation.PhaseChecked, nil, "rotator tokenmigration confirm cutover --app shopbot", "`rotator tokenmigration cancel --confirm shopbot` takes everything back"},
		"checked, late ones": {rotation.PhaseChecked, []change{lateShops(2), noWorker}, "rotator worker", "no worker is alive"},
		"checked, parked":    {rotation.PhaseChecked, []change{c(rotation.Counts{Total: 10, Exchanged: 8, Parked: 2})}, "rotator tokenmigration report", "2 shops are parked"},
		"proving":            {rotation.PhaseCutover, []change{c(rotation.Counts{Total: 10, Proven: 3, Exchanged: 7})}, "", "3 of 10 shops settled"},
		"proving, no work":   {rotation.PhaseCutover, []change{c(rotation.Counts{Total: 10, Proven: 3, Exchanged: 7}), noWorker}, "rotator worker", "no worker is alive"},
		"some broke":         {rotation.PhaseCutover, []change{c(rotation.Counts{Total: 10, Proven: 8, Parked: 2}), noWorker}, "rotator tokenmigration report --exceptions", "2 shops broke"},
		"none proven":        {rotation.PhaseCutover, []change{c(rotation.Counts{Total: 10, Skipped: 10})}, "rotator tokenmigration report", "legacy credentials stay stored"},
		"all proven":         {rotation.PhaseCutover, []change{noWorker}, "rotator tokenmigration confirm scrubbed --app shopbot", "10 shops are proven"},
		"scrubbed":           {rotation.PhaseScrubbed, []change{noWorker}, "rotator tokenmigration confirm closed", "the run closed"},
		"scrubbed, some came": {
			rotation.PhaseScrubbed,
			[]change{func(s *rotation.Snapshot) { s.Migration.LegacyLeft = 1 }},
			"rotator tokenmigration confirm scrubbed --app shopbot", "scrub once more",
		},
		"closed": {rotation.PhaseClosed, nil, "", "nothing is left to do"},
		"paused": {rotation.PhaseDerived, []change{held(rotation.HeldPaused, "lunch")}, "rotator tokenmigration resume", "held (paused): lunch"},
		"cancel cut short": {
			rotation.PhaseDerived,
			[]change{held(rotation.HeldPaused, rotation.SaysCancelling+": say so again")},
			"rotator tokenmigration cancel --confirm shopbot", "let the run go on with `rotator tokenmigration resume`",
		},
		"refused, check":  {rotation.PhaseDerived, []change{held(rotation.HeldWaiting, "401")}, "rotator tokenmigration resume", "create a test app in the Partners dashboard (a new app uses OAuth), then resume; or `rotator tokenmigration cancel --confirm shopbot`"},
		"keyring lost":    {rotation.PhaseDeriving, []change{held(rotation.HeldWaiting, "the secret cannot be read")}, "rotator tokenmigration resume", "mend what it names"},
		"refused, live":   {rotation.PhaseCutover, []change{held(rotation.HeldWaiting, "401")}, "rotator tokenmigration resume", "switch the app to OAuth in its panel"},
		"breaker is open": {rotation.PhaseCutover, []change{held(rotation.HeldBreakerOpen, "half failed")}, "rotator tokenmigration resume", "`rotator tokenmigration report`"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rotation.Next(migrating(tt.phase, tt.changes...))
			if got.Command != tt.command || got.Human != (tt.command != "") {
				t.Errorf("next is %q (human %t), want %q", got.Command, got.Human, tt.command)
			}
			if got.Why == "" || !strings.Contains(got.Why, tt.why) || strings.Contains(got.Why, "rotator rotation") {
				t.Errorf("why is %q, want it to say %q and nothing of a rotation", got.Why, tt.why)
			}
		})
	}
}

// Whatever the snapshot: the engine enters no phase but derived and no phase
// over an unmet gate; what Next tells a person to confirm is the phase that the
// course has next, and its gate is met.
func TestAMigrationKeepsToItsCourse(t *testing.T) {
	t.Parallel()
	course := rotation.CourseOf(rotation.KindTokenMigration, rotation.ModePlanned)
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.IntRange(0, 2)
		s := migrating(rapid.SampledFrom(course.Phases()).Draw(t, "phase"), func(s *rotation.Snapshot) {
			s.Held = rapid.SampledFrom([]rotation.Held{"", "", "", rotation.HeldPaused, rotation.HeldWaiting}).Draw(t, "held")
			s.WalkDone = rapid.Bool().Draw(t, "walked")
			s.Workers = small.Draw(t, "workers")
			s.LateInstalls = small.Draw(t, "late")
			checked(small.Draw(t, "planned"), small.Draw(t, "alive"), small.Draw(t, "dead"))(s)
			s.Migration.LegacyLeft = small.Draw(t, "left")
			state := rapid.SampledFrom(rotation.ItemStates)
			withWaves(status(1, true, rapid.Bool().Draw(t, "settled"), state.Draw(t, "first")), status(2, rapid.Bool().Draw(t, "released"), false, state.Draw(t, "second")))(s)
		})
		met := rotation.GateMet(rotation.Gate(s))
		for _, a := range rotation.Advance(s) {
			if s.Held != "" {
				t.Fatalf("a held run acts: %+v", a)
			}
			if a.Enter != "" && (a.Enter != rotation.PhaseDerived || s.Phase != rotation.PhaseDeriving || !met) {
				t.Fatalf("%s → %s with gate %+v", s.Phase, a.Enter, rotation.Gate(s))
			}
		}
		next := rotation.Next(s)
		if next.Why == "" || next.Human != (next.Command != "") {
			t.Fatalf("next is %+v", next)
		}
		if verb, ok := strings.CutPrefix(next.Command, "rotator tokenmigration confirm "); ok {
			phase, _, _ := strings.Cut(verb, " ")
			forward, _ := course.Forward(s.Phase)
			again := s.Phase == rotation.PhaseScrubbed && phase == string(rotation.PhaseScrubbed) && s.Migration.LegacyLeft > 0
			if !again && (string(forward.To) != phase || !met) {
				t.Fatalf("in %s one is told %q with gate %+v", s.Phase, next.Command, rotation.Gate(s))
			}
		}
		// Nobody is left without a step: a run that waits says for whom.
		if next.Command == "" && s.Phase != rotation.PhaseClosed && s.Workers == 0 && s.Held == "" {
			t.Fatalf("in %s, with no worker, one is told to wait: %q", s.Phase, next.Why)
		}
	})
}
