package rotation_test

import (
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestNext(t *testing.T) {
	t.Parallel()
	type change = func(*rotation.Snapshot)
	held := func(h rotation.Held, why string) change {
		return func(s *rotation.Snapshot) { s.Held, s.HeldWhy = h, why }
	}
	noWorker := func(s *rotation.Snapshot) { s.Workers = 0 }
	tests := map[string]struct {
		phase   rotation.Phase
		change  change
		command string
		human   bool
		why     string
	}{
		"prepared":       {rotation.PhasePrepared, nil, "rotator rotation confirm webhooks_dual", true, "old secret and by the new one"},
		"webhooks dual":  {rotation.PhaseWebhooksDual, nil, "rotator rotation confirm oauth_switched", true, "only the new secret for OAuth"},
		"oauth switched": {rotation.PhaseOAuthSwitched, nil, "rotator rotation arm", true, "refresh token"},
		"oauth switched, no shop": {
			rotation.PhaseOAuthSwitched, func(s *rotation.Snapshot) { s.NoShops, s.Counts = true, rotation.Counts{} },
			"rotator shop import FILE", true, "no shop is stored",
		},
		"armed":      {rotation.PhaseArmed, nil, "", false, "the worker starts the exchange"},
		"exchanging": {rotation.PhaseExchanging, nil, "", false, "working: 0 of 10 shops settled"},
		"proven":     {rotation.PhaseProven, nil, "rotator rotation confirm revoked --confirm shopbot", true, "10 shops proven: revoke the old secret"},
		"proven, tokens to load": {rotation.PhaseProven, func(s *rotation.Snapshot) {
			s.Counts, s.ToLoad = rotation.Counts{Total: 10, Proven: 7, Skipped: 2, Waived: 1}, 7
		}, "rotator rotation confirm revoked --confirm shopbot", true, "7 shops proven, 2 skipped, 1 waived: load the new tokens of 7 shops into the app (`rotator shop export --changed-since 7 --output FILE`), whose old ones die with the old secret; then revoke"},
		"proven, after a run that was cancelled": {
			rotation.PhaseProven, func(s *rotation.Snapshot) { s.ToLoad, s.LoadSince = 9, 5 },
			"rotator rotation confirm revoked --confirm shopbot", true, "load the new tokens of 9 shops into the app (`rotator shop export --changed-since 5 --output FILE`)",
		},
		"cancelled, both secrets in use": {
			rotation.PhaseProven, func(s *rotation.Snapshot) { s.Cancelled = true }, "", false,
			"the run was cancelled; both secrets must stay alive until another rotation has finished; `rotator rotation start` begins another",
		},
		"cancelled, another since": {
			rotation.PhaseProven, func(s *rotation.Snapshot) { s.Cancelled, s.LaterRun = true, 9 }, "", false,
			"the run was cancelled, and run 9 was begun since",
		},
		"cancelled and held":        {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Cancelled, s.Held = true, rotation.HeldPaused }, "", false, "the run was cancelled"},
		"cancelled at its start":    {rotation.PhasePrepared, func(s *rotation.Snapshot) { s.Cancelled = true; s.Counts = rotation.Counts{Total: 10, Pending: 10} }, "", false, "the run was cancelled; `rotator rotation start` begins another"},
		"revoked":                   {rotation.PhaseRevoked, nil, "rotator rotation confirm webhooks_single", true, "the new secret only"},
		"webhooks single":           {rotation.PhaseWebhooksSingle, nil, "rotator rotation confirm closed --confirm shopbot", true, "shredded"},
		"single, a token came late": {rotation.PhaseWebhooksSingle, func(s *rotation.Snapshot) { s.Revocation.OldDead, s.Revocation.NewAlive = 9, 9 }, "", false, "tokens of 1 shop once more"},
		"single, a late one killed": {rotation.PhaseWebhooksSingle, func(s *rotation.Snapshot) { s.Revocation.NewAlive, s.Revocation.NewDead = 9, 1 }, "rotator rotation report", true, "re-install links"},
		"closed":                    {rotation.PhaseClosed, nil, "", false, "nothing is left to do"},
		"closed and held":           {rotation.PhaseClosed, held(rotation.HeldPaused, "x"), "", false, "nothing is left to do"},

		"parked while others work":  {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 10, Parked: 9, Retrying: 1} }, "", false, "9 of 10"},
		"nothing proven":            {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 10, Skipped: 10} }, "rotator rotation report", true, "not one of 10 shops is proven"},
		"nothing proven, no worker": {rotation.PhaseExchanging, func(s *rotation.Snapshot) { noWorker(s); s.Counts = rotation.Counts{Total: 10, Skipped: 10} }, "rotator rotation report", true, "cancel"},
		"nothing proven, one came":  {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Counts, s.LateInstalls = rotation.Counts{Total: 10, Skipped: 10}, 1 }, "", false, "working"},
		"only parked are left":      {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 10, Parked: 3, Proven: 7} }, "rotator rotation retry", true, "3 shops are parked"},

		"one shop is parked":    {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 1, Parked: 1} }, "rotator rotation retry", true, "1 shop is parked"},
		"one shop is exchanged": {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Counts = rotation.Counts{Total: 1, Pending: 1} }, "", false, "0 of 1 shop settled"},
		"one shop is proven": {rotation.PhaseProven, func(s *rotation.Snapshot) {
			s.Counts, s.ToLoad = rotation.Counts{Total: 1, Proven: 1}, 1
		}, "rotator rotation confirm revoked --confirm shopbot", true, "1 shop proven: load the new tokens of 1 shop into the app"},
		"one token is not acknowledged": {rotation.PhaseExchanging, func(s *rotation.Snapshot) {
			s.Counts, s.Deliveries = rotation.Counts{Total: 1, Proven: 1}, rotation.Deliveries{Required: true, Pending: 1}
		}, "", false, "yet to acknowledge 1 new token"},
		"proven, not certified":   {rotation.PhaseProven, func(s *rotation.Snapshot) { s.Certificate = false }, "", false, "do not revoke yet: certificate written: not yet"},
		"proven, a shop came":     {rotation.PhaseProven, func(s *rotation.Snapshot) { s.LateInstalls = 2 }, "", false, "do not revoke yet: late installs are swept: 2 shops came since the walk"},
		"proven, nobody to sweep": {rotation.PhaseProven, func(s *rotation.Snapshot) { noWorker(s); s.LateInstalls = 2 }, "rotator worker", true, "no worker is alive"},
		"revoked, checking":       {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation.OldDead = 4 }, "", false, "4 of 10 shops"},
		"revoked, old lives":      {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation.OldDead, s.Revocation.OldAlive = 8, 2 }, "rotator rotation confirm revoked --confirm shopbot", true, "2 old tokens still answer, and 8 are dead: give the revoke a while to bite"},
		"revoked, few old live": {rotation.PhaseRevoked, func(s *rotation.Snapshot) {
			s.Revocation.OldDead, s.Revocation.OldAlive, s.AliveShops = 9, 1, []string{"late.myharavan.com"}
		}, "rotator rotation confirm revoked --confirm shopbot", true, "1 old token still answers (late.myharavan.com)"},
		"revoked, all old live": {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation.OldDead, s.Revocation.OldAlive = 0, 10 }, "rotator rotation confirm revoked --confirm shopbot", true, "10 old tokens still answer: revoke the old secret in the Partners dashboard"},
		"revoked, new died":     {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.Revocation.NewAlive, s.Revocation.NewDead = 9, 1 }, "rotator rotation report", true, "re-install links"},
		"revoked, in the grace": {rotation.PhaseRevoked, func(s *rotation.Snapshot) { s.PhaseAt = noon.Add(1 - time.Hour) }, "rotator rotation confirm webhooks_single", true, "until 2026-03-01T12:00:00Z"},

		"revoked again, in the grace": {rotation.PhaseRevoked, func(s *rotation.Snapshot) {
			s.Attested[rotation.PhaseRevoked] = rotation.Attestation{Actor: "operator", At: noon.Add(-time.Minute)}
		}, "rotator rotation confirm webhooks_single", true, "until 2026-03-01T12:59:00Z"},
		"no worker, walk open":  {rotation.PhasePrepared, func(s *rotation.Snapshot) { noWorker(s); s.WalkDone = false }, "rotator rotation confirm webhooks_dual", true, "start `rotator worker` meanwhile"},
		"no worker, walk done":  {rotation.PhasePrepared, noWorker, "rotator rotation confirm webhooks_dual", true, ""},
		"no worker, armed":      {rotation.PhaseArmed, noWorker, "rotator worker", true, "no worker is alive"},
		"no worker, exchanging": {rotation.PhaseExchanging, noWorker, "rotator worker", true, "no worker is alive"},
		"no worker, proven":     {rotation.PhaseProven, noWorker, "rotator rotation confirm revoked --confirm shopbot", true, ""},
		"no worker, checking":   {rotation.PhaseRevoked, func(s *rotation.Snapshot) { noWorker(s); s.Revocation.OldDead = 0 }, "rotator worker", true, "no worker is alive"},
		"no worker, checked":    {rotation.PhaseRevoked, noWorker, "rotator rotation confirm webhooks_single", true, ""},
		"no worker, but held":   {rotation.PhaseExchanging, func(s *rotation.Snapshot) { noWorker(s); s.Held = rotation.HeldPaused }, "rotator rotation resume", true, ""},
		"no worker can write": {
			rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Workers, s.Unwriting = 2, 2 },
			"rotator doctor", true, "the workers cannot write to the database",
		},
		"nobody could be alive": {
			rotation.PhaseExchanging, func(s *rotation.Snapshot) { noWorker(s); s.ReadOnly = true },
			"rotator doctor", true, "the workers cannot write to the database",
		},
		"a worker can write":                        {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Workers, s.Unwriting = 2, 1 }, "", false, "working"},
		"nothing is to be written":                  {rotation.PhaseProven, func(s *rotation.Snapshot) { s.Unwriting = s.Workers }, "rotator rotation confirm revoked --confirm shopbot", true, ""},
		"held: paused":                              {rotation.PhaseExchanging, held(rotation.HeldPaused, "lunch"), "rotator rotation resume", true, "held (paused): lunch"},
		"held: window expired":                      {rotation.PhaseExchanging, held(rotation.HeldWindowExpired, "the hour ended"), "rotator rotation arm", true, "another refresh token"},
		"held: breaker open":                        {rotation.PhaseExchanging, held(rotation.HeldBreakerOpen, "half failed"), "rotator rotation resume", true, "mend the cause"},
		"held: breaker open, and the token refused": {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Held, s.Window.Refused = rotation.HeldBreakerOpen, true }, "rotator rotation arm", true, "then `rotator rotation resume`"},
		"held: token refused":                       {rotation.PhaseExchanging, func(s *rotation.Snapshot) { s.Held, s.Window.Refused = rotation.HeldWaiting, true }, "rotator rotation arm", true, "a fresh refresh token"},
		"held: wrong secret": {
			rotation.PhaseExchanging,
			func(s *rotation.Snapshot) {
				s.Held, s.HeldWhy, s.NewSecret = rotation.HeldWaiting, rotation.ClassOurs.Words(), 2
			}, "rotator rotation cancel --confirm shopbot", true,
			"`rotator rotation cancel --confirm shopbot`, `rotator secret discard 2 --confirm shopbot`, `rotator secret add` with the right one, then `rotator rotation start`",
		},
		"held: something of ours": {rotation.PhaseExchanging, held(rotation.HeldWaiting, "the exchange's host is not there"), "rotator rotation resume", true, "rotator doctor"},
		"held: the secret made tokens": {rotation.PhaseExchanging, func(s *rotation.Snapshot) {
			s.Held, s.HeldWhy, s.Counts = rotation.HeldWaiting, rotation.ClassOurs.Words(), rotation.Counts{Total: 10, Exchanged: 1, Retrying: 9}
		}, "rotator rotation resume", true, "rotator doctor"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := snapshot(tt.phase)
			if tt.change != nil {
				tt.change(&s)
			}
			got := rotation.Next(s)
			if got.Command != tt.command || got.Human != tt.human {
				t.Errorf("next is %q (human %t), want %q (human %t)", got.Command, got.Human, tt.command, tt.human)
			}
			if got.Why == "" || !strings.Contains(got.Why, tt.why) {
				t.Errorf("why is %q, want it to say %q", got.Why, tt.why)
			}
			if got.Human && got.Command == "" {
				t.Error("a human has to act but is not told how")
			}
		})
	}
}
