package jobs_test

import (
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// expire ends the run's window.
func (r *rig) expire() {
	r.t.Helper()
	_, err := r.db.Pool.Exec(r.ctx, "update rotator.refresh_tokens set expires_at = now()")
	r.must(err)
}

// What is left of a run whose hour is over is given up: nobody has to make another
// refresh token for it.
func TestTheLastShopOfAnExpiredWindowIsGivenUp(t *testing.T) {
	t.Parallel()
	for how, giveUp := range map[string]func(r *rig, shop string) error{
		"waived":   func(r *rig, shop string) error { return r.op.Waive(r.ctx, r.run.ID, shop, "gave up") },
		"excluded": func(r *rig, shop string) error { return r.db.Exclude(r.ctx, r.op.Actor, r.app.ID, shop, "gave up") },
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, haravansim.Options{Shops: 20})
			busy := r.domains()[14]
			for range 60 {
				r.must(r.sim.Script(busy, haravansim.OpExchange, haravansim.FaultThrottle))
			}
			r.worker()
			r.start(operate.StartOptions{})
			r.arm()
			r.until("one is left", func(s rotation.Snapshot) bool { return s.Counts.Proven == 19 && s.Counts.Retrying == 1 })
			r.expire()
			held := r.until("held", isHeld(rotation.HeldWindowExpired))
			if held.NoneNeedsToken {
				t.Error("the shop that is left is said to need no refresh token")
			}
			r.must(giveUp(r, busy))
			r.until("proven", inPhase(rotation.PhaseProven))
		})
	}
}

// Proofs need no refresh token, whether the run was held between them or not.
func TestTheWindowEndsWhileProofsAreUnderWay(t *testing.T) {
	t.Parallel()
	const shops = 8
	r := newRig(t, haravansim.Options{Shops: shops, Knobs: haravansim.Knobs{SlowBy: 3 * time.Second}})
	r.must(r.sim.ScriptAny(haravansim.OpIdentity, shops, haravansim.FaultSlow))
	r.worker()
	r.start(operate.StartOptions{Waves: &rotation.WavePolicy{Budget: 0.25}})
	r.arm()
	r.until("all exchanged", func(s rotation.Snapshot) bool { return s.Counts.Exchanged == shops })
	r.expire()
	r.until("proven", inPhase(rotation.PhaseProven))
	if n := r.tokens(); n != shops {
		t.Errorf("%d of %d shops are proven", n, shops)
	}
}

// A shop that comes to a proven run, long after its hour, holds it only if its token
// is to be exchanged.
func TestALateShopThatNeedsNoRefreshToken(t *testing.T) {
	t.Parallel()
	const late = "late.myharavan.com"
	install := func(r *rig, key int) secret.String {
		code, err := r.sim.InstallShop(late)
		r.must(err)
		token, err := r.installUnder(late, code, r.sim.Secrets()[key].Value)
		r.must(err)
		return secret.New(token)
	}
	// importUnder says which secret minted the token.
	importUnder := func(r *rig, key int, token secret.String) {
		secrets, err := r.db.Secrets(r.ctx, r.app.ID)
		r.must(err)
		_, err = r.db.ImportShops(r.ctx, storetest.Actor, r.app, secrets[key].ID, func(yield func(shopfile.Row, error) bool) {
			yield(shopfile.Row{Line: 2, Domain: late, AccessToken: token}, nil)
		}, func(store.Findings) error { return nil })
		r.must(err)
	}
	for name, tt := range map[string]struct {
		comes func(r *rig)
		want  rotation.ItemState
		needs bool
	}{
		"without a token": {func(r *rig) {
			r.list(shopfile.Row{Domain: late, LegacyToken: secret.New("legacy-0123456789abcdef0123456789abcdef")})
		}, rotation.ItemSkipped, false},
		"excluded": {func(r *rig) {
			r.list(shopfile.Row{Domain: late, AccessToken: secret.New("tok-0123456789"), ExcludedReason: "a test shop"})
		}, rotation.ItemSkipped, false},
		"of the new secret":           {func(r *rig) { importUnder(r, 1, install(r, 1)) }, rotation.ItemProven, false},
		"of the old secret":           {func(r *rig) { importUnder(r, 0, install(r, 0)) }, rotation.ItemProven, true},
		"of the new secret, but dead": {func(r *rig) { install(r, 1); importUnder(r, 1, secret.New("dead-0123456789")) }, rotation.ItemProven, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, haravansim.Options{Shops: 20})
			r.worker()
			r.start(operate.StartOptions{})
			r.arm()
			r.until("certified", func(s rotation.Snapshot) bool { return s.Phase == rotation.PhaseProven && s.Certificate })
			r.expire()
			tt.comes(r)
			if tt.needs {
				r.until("held", isHeld(rotation.HeldWindowExpired))
				r.arm()
			}
			r.until("certified again", func(s rotation.Snapshot) bool {
				return s.Phase == rotation.PhaseProven && s.Certificate && s.Counts.Total == 21
			})
			item, err := r.db.Item(r.ctx, r.run.ID, late)
			if err != nil || item.State != tt.want {
				t.Errorf("the late shop is %s, want %s; %v", item.State, tt.want, err)
			}
			var holds int
			r.must(r.db.Pool.QueryRow(r.ctx, "select count(*) from rotator.journal where event = 'run.held'").Scan(&holds))
			if wanted := map[bool]int{true: 1}[tt.needs]; holds != wanted {
				t.Errorf("the run was held %d times, want %d", holds, wanted)
			}
		})
	}
}
