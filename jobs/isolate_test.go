package jobs_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// rule makes PostgreSQL refuse what a condition forbids; the returned func drops it.
func (r *rig) rule(table, condition string) (drop func()) {
	r.t.Helper()
	do := func(what string) {
		_, err := r.db.Pool.Exec(r.ctx, `alter table rotator.`+table+what)
		r.must(err)
	}
	do(` add constraint odd_` + table + ` check (` + condition + `) not valid`)
	return func() { do(` drop constraint odd_` + table) }
}

// One shop whose outcome the database refuses, whatever the reason, is set aside:
// it keeps none of its group waiting, and is not tried for ever.
func TestAnOutcomeThatCannotBeStoredIsSetAsideAlone(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		table, condition string
		minted           int
	}{
		"the proof":          {"items", `position <> 20 or state <> 'proven'`, 1},
		"the unproven token": {"minted", `not positions @> '{20}'`, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t, haravansim.Options{Shops: 60})
			drop := r.rule(tt.table, tt.condition)
			r.worker()
			r.start(operate.StartOptions{})
			r.arm()
			odd := r.domain(20)
			r.until("all others proven", func(s rotation.Snapshot) bool { return s.Counts.Proven == 59 })
			r.until("it is set aside", func(rotation.Snapshot) bool { return r.item(odd).Class != "" })
			if i := r.item(odd); i.Class != rotation.ClassOurs || !strings.Contains(i.Detail, "SQLSTATE 23514, constraint odd_"+tt.table) {
				t.Errorf("%s is %s: %s: %s", odd, i.State, i.Class, i.Detail)
			}
			drop()
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

// Odd shops far apart are set aside one by one: they never hold the others.
func TestOddShopsFarApartHoldNothing(t *testing.T) {
	t.Parallel()
	const shops = 600
	r := newRig(t, haravansim.Options{Shops: shops})
	odd := []int{20, 120, 220, 320, 420, 520, 590}
	list := ""
	for _, position := range odd {
		list += fmt.Sprintf(", %d", position)
		r.must(r.sim.Uninstall(r.domain(position)))
	}
	r.rule("items", `state <> 'skipped' or position not in (0`+list+`)`)
	r.worker()
	r.start(operate.StartOptions{BatchSize: 50})
	r.arm()
	snap := r.until("all others proven", func(s rotation.Snapshot) bool {
		return s.Held != rotation.HeldNot || s.Counts.Proven+s.Counts.Parked == shops
	})
	if snap.Held != rotation.HeldNot || snap.Counts.Parked != len(odd) {
		t.Errorf("held %q (%s), counts %+v", snap.Held, snap.HeldWhy, snap.Counts)
	}
}

// While it is looked for what was refused in a group, somebody has locked another
// shop of it: the shops of other groups are exchanged all the same.
func TestALockedShopBesideAnOddOneStopsNoOther(t *testing.T) {
	t.Parallel()
	const shops = 1500 // many more than can be under way
	r := newRig(t, slow(shops))
	r.rule("items", `position not between 250 and 300 or position % 7 <> 0 or state <> 'proven'`)
	r.worker()
	r.start(operate.StartOptions{BatchSize: 50})
	r.until("walked", func(s rotation.Snapshot) bool { return s.WalkDone })
	tx, err := r.db.Pool.Begin(r.ctx)
	r.must(err)
	defer func() { _ = tx.Rollback(context.WithoutCancel(r.ctx)) }()
	_, err = tx.Exec(r.ctx, `select from rotator.items where position = 270 for update`)
	r.must(err)
	r.arm()
	snap := r.until("most others are proven", func(s rotation.Snapshot) bool { return s.Held != rotation.HeldNot || s.Counts.Proven > shops*2/3 })
	if snap.Held != rotation.HeldNot {
		t.Errorf("held %q (%s)", snap.Held, snap.HeldWhy)
	}
	r.must(tx.Rollback(r.ctx))
	r.until("all are told of", func(s rotation.Snapshot) bool { return s.Counts.Open() == 0 })
}

// A database that refuses what became of every shop holds the run: each further
// exchange would make a token that nobody keeps.
func TestARuleThatRefusesEveryOutcomeHoldsTheRun(t *testing.T) {
	t.Parallel()
	for name, rules := range map[string]map[string]string{
		"tokens":   {"minted": `false`, "items": `new_token is null`},
		"proofs":   {"items": `state <> 'proven'`},
		"anything": {"minted": `false`, "items": `false`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			const shops, inflight = 1500, 16
			r := newRig(t, slow(shops))
			r.inflight = inflight
			r.worker()
			r.start(operate.StartOptions{InFlight: inflight, BatchSize: 100})
			r.arm()
			r.until("midway", midway(shops))
			var drops []func()
			for table, condition := range rules {
				drops = append(drops, r.rule(table, condition))
			}
			before := r.sim.Counts().Minted
			snap := r.until("held", func(s rotation.Snapshot) bool { return s.Held != rotation.HeldNot })
			if n := r.sim.Counts().Minted - before; n > 8*inflight {
				t.Errorf("%d tokens were made meanwhile", n)
			}
			if !strings.Contains(snap.HeldWhy, "PostgreSQL refuses to store") {
				t.Errorf("held because %q", snap.HeldWhy)
			}
			for _, drop := range drops {
				drop()
			}
			r.until("proven, once the rule is gone", func(s rotation.Snapshot) bool {
				if s.Held != rotation.HeldNot {
					_ = r.op.Resume(r.ctx, r.run.ID)
				}
				if s.Counts.Parked > 0 {
					_, err := r.op.Retry(r.ctx, r.run.ID, "", "")
					r.must(err)
				}
				return s.Phase == rotation.PhaseProven
			})
			if n := r.tokens(); n != shops {
				t.Errorf("%d of %d shops are proven", n, shops)
			}
		})
	}
}

// Nothing can be stored of one shop: its worker could not even give it back.
func TestAShopOfWhichNothingCanBeStoredHoldsTheRun(t *testing.T) {
	t.Parallel()
	r := newRig(t, slow(200))
	drop := r.rule("items", `position <> 20 or state not in ('exchanged', 'parked', 'proven', 'unknown')`)
	stop := r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	snap := r.until("held", isHeld(rotation.HeldWaiting))
	if next := rotation.Next(snap); !strings.Contains(snap.HeldWhy, "PostgreSQL refuses to store") ||
		next.Command != "rotator rotation resume" || strings.Contains(next.Why, "doctor") {
		t.Errorf("held because %q, next %+v", snap.HeldWhy, next)
	}
	if n := r.sim.ShopCounts(r.domain(20)).Minted; n > 1 {
		t.Errorf("%d tokens were minted for it", n)
	}
	stop() // a drain does not wait for the rule to go
	drop()
	r.worker()
	r.must(r.op.Resume(r.ctx, r.run.ID))
	r.until("proven, once the rule is gone", inPhase(rotation.PhaseProven))
	if n := r.tokens(); n != 200 {
		t.Errorf("%d of 200 shops are proven", n)
	}
}

func TestADerivationThatCannotBeStoredIsSetAsideAlone(t *testing.T) {
	t.Parallel()
	r := legacyRig(t, haravansim.Options{Shops: 60})
	r.rule("items", `position <> 20 or state <> 'exchanged'`)
	r.worker()
	r.migrate(operate.MigrationOptions{BatchSize: 60})
	snap := r.until("derived", func(s rotation.Snapshot) bool { return s.Counts.Open() == s.Counts.Exchanged && s.Counts.Exchanged > 0 })
	if i := r.item(r.domain(20)); i.State != rotation.ItemParked || i.Class != rotation.ClassOurs || !strings.Contains(i.Detail, "constraint odd_items") {
		t.Errorf("it is %s: %s: %s", i.State, i.Class, i.Detail)
	}
	if snap.Counts.Exchanged < 40 || snap.Counts.Parked != 1 {
		t.Errorf("counts: %+v", snap.Counts)
	}
}
