package jobs_test

import (
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// One shop whose outcome the database refuses, whatever the reason, is set aside:
// it keeps none of its group waiting, and is not tried for ever.
func TestAnOutcomeThatCannotBeStoredIsSetAsideAlone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		rule   string
		minted int
	}{
		"the proof":           {`alter table rotator.items add constraint odd check (position <> 20 or state <> 'proven')`, 1},
		"the unproven token":  {`alter table rotator.minted add constraint odd check (not positions @> '{20}')`, 2},
		"anything of its own": {`alter table rotator.items add constraint odd check (position <> 20 or state not in ('proven', 'parked'))`, 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, haravansim.Options{Shops: 60})
			_, err := r.db.Pool.Exec(r.ctx, tt.rule)
			r.must(err)
			r.worker()
			r.start(operate.StartOptions{})
			r.arm()
			odd := r.domains()[19]
			snap := r.until("all others proven", func(s rotation.Snapshot) bool { return s.Counts.Proven == 59 })
			if name == "anything of its own" {
				if snap.Phase != rotation.PhaseExchanging {
					t.Errorf("in %s", snap.Phase)
				}
				r.after(3 * time.Second)
				if n := r.sim.ShopCounts(odd).IdentityReads; n > 3 {
					t.Errorf("the shop was asked %d times meanwhile", n)
				}
			} else {
				r.until("it is set aside", func(rotation.Snapshot) bool {
					i := r.item(odd)
					return i.State == rotation.ItemParked || i.State == rotation.ItemRetrying || i.State == rotation.ItemUnknown || i.State == rotation.ItemProven
				})
				i := r.item(odd)
				if i.Class != rotation.ClassOurs || !strings.Contains(i.Detail, "SQLSTATE 23514, constraint odd") {
					t.Errorf("%s is %s: %s: %s", odd, i.State, i.Class, i.Detail)
				}
			}
			_, err = r.db.Pool.Exec(r.ctx, strings.Split(tt.rule, "add constraint")[0]+"drop constraint odd")
			r.must(err)
			r.until("proven, once the rule is gone", func(s rotation.Snapshot) bool {
				if s.Counts.Parked > 0 {
					_, err := r.op.Retry(r.ctx, r.run.ID, "", "")
					r.must(err)
				}
				return s.Phase == rotation.PhaseProven
			})
			if n := r.tokens(); n != 60 {
				t.Errorf("%d of 60 shops are proven", n)
			}
			if n := r.sim.ShopCounts(odd).Minted; n < tt.minted {
				t.Errorf("%d tokens were minted for %s", n, odd)
			}
		})
	}
}
