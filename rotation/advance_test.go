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

// status is a wave of ten shops in one state, but for those whose states are
// given. What is parked was set aside by the platform's answer.
func status(n int, released, settled bool, state rotation.ItemState, others ...rotation.ItemState) rotation.WaveStatus {
	w := rotation.WaveStatus{Wave: wave(n, "w", int64(n*10-9), int64(n*10)), Released: released, Settled: settled}
	w.Counts.Add(state, 10-len(others))
	for _, o := range others {
		w.Counts.Add(o, 1)
	}
	w.Aside = w.Counts.Parked
	return w
}

func withWaves(ws ...rotation.WaveStatus) func(*rotation.Snapshot) {
	return func(s *rotation.Snapshot) {
		s.Waves, s.Counts = ws, rotation.Counts{}
		for _, w := range ws {
			s.Counts.Add(rotation.ItemPending, w.Counts.Pending)
			s.Counts.Add(rotation.ItemClaimed, w.Counts.Claimed)
			s.Counts.Add(rotation.ItemExchanged, w.Counts.Exchanged)
			s.Counts.Add(rotation.ItemProven, w.Counts.Proven)
			s.Counts.Add(rotation.ItemRetrying, w.Counts.Retrying)
			s.Counts.Add(rotation.ItemUnknown, w.Counts.Unknown)
			s.Counts.Add(rotation.ItemParked, w.Counts.Parked)
			s.Counts.Add(rotation.ItemSkipped, w.Counts.Skipped)
			s.Counts.Add(rotation.ItemWaived, w.Counts.Waived)
		}
	}
}

func failed(w rotation.WaveStatus, n int) rotation.WaveStatus { w.Failed = n; return w }

func accepted(w rotation.WaveStatus) rotation.WaveStatus { w.Accepted = true; return w }

func TestAdvance(t *testing.T) {
	t.Parallel()
	const (
		pending, claimed, proven = rotation.ItemPending, rotation.ItemClaimed, rotation.ItemProven
		retrying, parked         = rotation.ItemRetrying, rotation.ItemParked
		exchanged, skipped       = rotation.ItemExchanged, rotation.ItemSkipped
	)
	type change = func(*rotation.Snapshot)
	expired := func(s *rotation.Snapshot) { s.Window.ExpiresAt = noon }
	refused := func(s *rotation.Snapshot) { s.Window.Refused = true }
	late := func(s *rotation.Snapshot) { s.LateInstalls = 2 }
	held := func(s *rotation.Snapshot) { s.Held = rotation.HeldWindowExpired }
	needsNone := func(s *rotation.Snapshot) { s.NoneNeedsToken = true }
	done := withWaves(status(1, true, true, proven), status(2, true, true, proven))
	tests := map[string]struct {
		phase  rotation.Phase
		change []change
		want   []rotation.Action
	}{
		"prepared waits for a human":        {phase: rotation.PhasePrepared},
		"webhooks dual waits for a human":   {phase: rotation.PhaseWebhooksDual},
		"oauth switched waits for a human":  {phase: rotation.PhaseOAuthSwitched},
		"revoked waits for a human":         {phase: rotation.PhaseRevoked},
		"webhooks single waits for a human": {phase: rotation.PhaseWebhooksSingle},
		"closed is the end":                 {phase: rotation.PhaseClosed},

		"armed begins":                     {phase: rotation.PhaseArmed, want: []rotation.Action{{Enter: rotation.PhaseExchanging}}},
		"armed waits for the walk":         {phase: rotation.PhaseArmed, change: []change{func(s *rotation.Snapshot) { s.WalkDone = false }}},
		"armed without a token":            {phase: rotation.PhaseArmed, change: []change{func(s *rotation.Snapshot) { s.Window = rotation.Window{} }}},
		"armed, hour over":                 {phase: rotation.PhaseArmed, change: []change{expired}, want: []rotation.Action{{Hold: rotation.HeldWindowExpired}}},
		"armed, hour over during the walk": {phase: rotation.PhaseArmed, change: []change{expired, func(s *rotation.Snapshot) { s.WalkDone = false }}, want: []rotation.Action{{Hold: rotation.HeldWindowExpired}}},
		"armed, refused":                   {phase: rotation.PhaseArmed, change: []change{refused}, want: []rotation.Action{{Hold: rotation.HeldWaiting}}},
		"held does nothing":                {phase: rotation.PhaseArmed, change: []change{func(s *rotation.Snapshot) { s.Held = rotation.HeldPaused }}},

		"first release": {rotation.PhaseExchanging, []change{withWaves(status(1, false, false, pending), status(2, false, false, pending))}, []rotation.Action{{Release: 1}}},
		"at work":       {rotation.PhaseExchanging, []change{withWaves(status(1, true, false, claimed), status(2, false, false, pending))}, nil},
		"settle and release": {
			rotation.PhaseExchanging,
			[]change{withWaves(status(1, true, false, proven), status(2, false, false, pending))},
			[]rotation.Action{{Settle: 1}, {Release: 2}},
		},
		"waiting shops hold no wave back": {
			rotation.PhaseExchanging,
			[]change{withWaves(failed(status(1, true, false, proven, retrying), 1), status(2, false, false, pending))},
			[]rotation.Action{{Settle: 1}, {Release: 2}},
		},
		"budget kept to the shop": {
			rotation.PhaseExchanging,
			[]change{withWaves(failed(status(1, true, false, proven, retrying, retrying), 2), status(2, false, false, pending))},
			[]rotation.Action{{Settle: 1}, {Release: 2}},
		},
		"budget failed by one": {
			rotation.PhaseExchanging,
			[]change{withWaves(failed(status(1, true, false, proven, retrying, retrying, retrying), 3), status(2, false, false, pending))},
			[]rotation.Action{{Hold: rotation.HeldBreakerOpen}},
		},
		"an accepted wave must keep its budget": {
			rotation.PhaseExchanging,
			[]change{withWaves(accepted(failed(status(1, true, false, retrying), 3)), status(2, false, false, pending))},
			[]rotation.Action{{Hold: rotation.HeldBreakerOpen}},
		},
		"nothing but waiting shops": {
			rotation.PhaseExchanging,
			[]change{withWaves(status(1, true, false, retrying), status(2, false, false, pending))},
			nil,
		},
		"nothing but shops set aside": {
			rotation.PhaseExchanging,
			[]change{withWaves(status(1, true, false, parked), status(2, false, false, pending))},
			[]rotation.Action{{Hold: rotation.HeldBreakerOpen}},
		},
		"one of ten is proven": {
			rotation.PhaseExchanging,
			[]change{withWaves(status(1, true, false, parked, proven), status(2, false, false, pending))},
			[]rotation.Action{{Settle: 1}, {Release: 2}},
		},
		"none is proven, an operator accepted it": {
			rotation.PhaseExchanging,
			[]change{withWaves(accepted(status(1, true, false, parked)), status(2, false, false, pending))},
			[]rotation.Action{{Settle: 1}, {Release: 2}},
		},
		"none was tried": {
			rotation.PhaseExchanging,
			[]change{withWaves(status(1, true, false, skipped), status(2, false, false, pending))},
			[]rotation.Action{{Settle: 1}, {Release: 2}},
		},
		"parked shops of a settled wave hold nobody": {
			rotation.PhaseExchanging,
			[]change{withWaves(failed(status(1, true, true, parked), 10), status(2, false, false, pending))},
			[]rotation.Action{{Release: 2}},
		},
		"two waves end together": {
			rotation.PhaseExchanging,
			[]change{withWaves(status(1, true, false, proven), status(2, true, false, proven, parked))},
			[]rotation.Action{{Settle: 1}, {Settle: 2}},
		},
		"the second of two is barren": {
			rotation.PhaseExchanging,
			[]change{withWaves(status(1, true, false, proven), status(2, true, false, parked))},
			[]rotation.Action{{Settle: 1}, {Hold: rotation.HeldBreakerOpen}},
		},
		"expired, and only proofs are left":       {rotation.PhaseExchanging, []change{expired, withWaves(status(1, true, false, exchanged))}, nil},
		"refused, and only proofs are left":       {rotation.PhaseExchanging, []change{refused, withWaves(status(1, true, false, exchanged))}, nil},
		"expired, one more than proofs is left":   {rotation.PhaseExchanging, []change{expired, withWaves(status(1, true, false, exchanged, retrying))}, []rotation.Action{{Hold: rotation.HeldWindowExpired}}},
		"expired in mid-run":                      {rotation.PhaseExchanging, []change{expired, withWaves(status(1, true, false, claimed))}, []rotation.Action{{Hold: rotation.HeldWindowExpired}}},
		"a tick before":                           {rotation.PhaseExchanging, []change{withWaves(status(1, true, false, claimed)), func(s *rotation.Snapshot) { s.Window.ExpiresAt = noon.Add(1) }}, nil},
		"refused in mid-run":                      {rotation.PhaseExchanging, []change{refused, withWaves(status(1, true, false, claimed))}, []rotation.Action{{Hold: rotation.HeldWaiting}}},
		"expired, but only parked shops are left": {rotation.PhaseExchanging, []change{expired, withWaves(status(1, true, true, parked))}, nil},
		"expired when all is proven":              {rotation.PhaseExchanging, []change{expired, done}, []rotation.Action{{Enter: rotation.PhaseProven}}},
		"all proven":                              {rotation.PhaseExchanging, []change{done}, []rotation.Action{{Enter: rotation.PhaseProven}}},
		"no shop at all proves nothing":           {rotation.PhaseExchanging, []change{withWaves()}, nil},
		"none proven proves nothing":              {rotation.PhaseExchanging, []change{withWaves(status(1, true, true, skipped))}, nil},
		"one proven proves":                       {rotation.PhaseExchanging, []change{withWaves(status(1, true, true, skipped, proven))}, []rotation.Action{{Enter: rotation.PhaseProven}}},
		"late installs":                           {rotation.PhaseExchanging, []change{done, late}, []rotation.Action{{Sweep: true}}},
		"late exchanges":                          {rotation.PhaseExchanging, []change{done, func(s *rotation.Snapshot) { s.LateExchanges = 1 }}, []rotation.Action{{Sweep: true}}},
		"old versions":                            {rotation.PhaseExchanging, []change{done, func(s *rotation.Snapshot) { s.OldVersionShops = 1 }}, []rotation.Action{{Sweep: true}}},
		"late installs after the hour":            {rotation.PhaseExchanging, []change{done, late, expired}, []rotation.Action{{Hold: rotation.HeldWindowExpired}}},
		"late installs that need none":            {rotation.PhaseExchanging, []change{done, late, expired, needsNone}, []rotation.Action{{Sweep: true}}},
		"expired, and nothing needs a token":      {rotation.PhaseExchanging, []change{expired, needsNone, withWaves(status(1, true, false, exchanged, claimed))}, nil},
		"held for a window that came":             {rotation.PhaseExchanging, []change{held, withWaves(status(1, true, false, claimed))}, []rotation.Action{{Resume: true}}},
		"held for a window that nothing needs":    {rotation.PhaseExchanging, []change{held, expired, needsNone, done}, []rotation.Action{{Resume: true}}},
		"held for a window that is refused":       {rotation.PhaseExchanging, []change{held, refused, withWaves(status(1, true, false, claimed))}, nil},
		"held for a window":                       {rotation.PhaseExchanging, []change{held, expired, withWaves(status(1, true, false, claimed))}, nil},
		"paused, and nothing needs a token":       {rotation.PhaseExchanging, []change{needsNone, func(s *rotation.Snapshot) { s.Held = rotation.HeldPaused }, done}, nil},
		"late installs wait for the waves":        {rotation.PhaseExchanging, []change{withWaves(status(1, true, false, claimed)), late}, nil},
		"sweep although some are parked":          {rotation.PhaseExchanging, []change{withWaves(status(1, true, true, parked)), late}, []rotation.Action{{Sweep: true}}},

		"proven is certified once":     {rotation.PhaseProven, []change{func(s *rotation.Snapshot) { s.Certificate = false }}, []rotation.Action{{Certify: true}}},
		"certified waits for a human":  {rotation.PhaseProven, nil, nil},
		"a late shop takes proof back": {rotation.PhaseProven, []change{late}, []rotation.Action{{Enter: rotation.PhaseExchanging}}},
		"held, a late shop waits":      {rotation.PhaseProven, []change{late, func(s *rotation.Snapshot) { s.Held = rotation.HeldPaused }}, nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got := rotation.Advance(snapshot(tt.phase, tt.change...))
			if diff := cmp.Diff(tt.want, got, cmpopts.IgnoreFields(rotation.Action{}, "Why")); diff != "" {
				t.Errorf("actions (-want +got):\n%s", diff)
			}
			for _, a := range got {
				if a.Why == "" {
					t.Errorf("%+v does not say why", a)
				}
			}
		})
	}
}

// Whatever the snapshot, the engine enters no phase that the table does not
// give it, and never over a gate that is not met (going back needs none).
// A wrong host says of every shop that it is gone: once it is mended, a resume alone
// would leave those shops without a token of the new secret.
func TestABarrenWaveSaysHowItsShopsComeBack(t *testing.T) {
	t.Parallel()
	for state, want := range map[rotation.ItemState]bool{rotation.ItemSkipped: true, rotation.ItemParked: false} {
		w := status(1, true, false, state)
		w.Aside = 10
		got := rotation.Advance(snapshot(rotation.PhaseExchanging, withWaves(w)))
		if len(got) != 1 || got[0].Hold != rotation.HeldBreakerOpen || strings.Contains(got[0].Why, "`rotator rotation retry --class CLASS`") != want {
			t.Errorf("all are %s: %+v", state, got)
		}
	}
}

func TestTheEngineKeepsToTheTable(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		small := rapid.IntRange(0, 2)
		s := snapshot(rapid.SampledFrom(rotation.Phases).Draw(t, "phase"), func(s *rotation.Snapshot) {
			s.Mode = rapid.SampledFrom([]rotation.Mode{rotation.ModePlanned, rotation.ModeBreach}).Draw(t, "mode")
			s.Held = rapid.SampledFrom([]rotation.Held{"", "", "", rotation.HeldPaused, rotation.HeldWindowExpired}).Draw(t, "held")
			s.NoneNeedsToken = rapid.Bool().Draw(t, "needs none")
			s.WalkDone = rapid.Bool().Draw(t, "walked")
			s.Certificate = rapid.Bool().Draw(t, "certificate")
			s.Window.ExpiresAt = noon.Add(time.Duration(rapid.IntRange(-1, 1).Draw(t, "left")))
			s.Window.Refused = rapid.Bool().Draw(t, "refused")
			s.LateInstalls, s.LateExchanges, s.OldVersionShops = small.Draw(t, "late"), small.Draw(t, "again"), small.Draw(t, "old")
			state := rapid.SampledFrom(rotation.ItemStates)
			withWaves(status(1, true, rapid.Bool().Draw(t, "settled"), state.Draw(t, "first")), status(2, rapid.Bool().Draw(t, "released"), false, state.Draw(t, "second")))(s)
		})
		for _, a := range rotation.Advance(s) {
			if s.Held == rotation.HeldWindowExpired && a.Resume {
				continue
			}
			if s.Held != "" {
				t.Fatalf("a held run acts: %+v", a)
			}
			if a.Enter == "" {
				continue
			}
			allowed := false
			for _, tr := range s.Course() {
				allowed = allowed || (tr.From == s.Phase && tr.To == a.Enter && tr.Driver == rotation.DriverEngine)
			}
			if !allowed || (s.Phase.Before(a.Enter) && !rotation.GateMet(rotation.Gate(s))) {
				t.Fatalf("%s → %s: in the table %t, gate %+v", s.Phase, a.Enter, allowed, rotation.Gate(s))
			}
		}
	})
}
