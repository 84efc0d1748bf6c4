package jobs_test

import (
	"slices"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

// A shop that a cancelled run exchanged is only asked who it is: as long as it does
// not answer, no token can have been made for it and lost.
func TestAProofInPlaceThatFailsIsOnlyTriedAgain(t *testing.T) {
	t.Parallel()
	const shops = 20
	r := newRig(t, haravansim.Options{Shops: shops, Knobs: haravansim.Knobs{RetryAfter: time.Hour, RefreshTokenLife: 24 * time.Hour}})
	r.worker()
	r.start(operate.StartOptions{})
	r.arm()
	r.until("proven", inPhase(rotation.PhaseProven))
	r.must(r.op.Cancel(r.ctx, r.run.ID, r.app.Name))

	all := r.domains()
	clean, acted := all[7], all[13]
	for _, domain := range []string{clean, acted} {
		r.must(r.sim.Script(domain, haravansim.OpIdentity, haravansim.FaultThrottle))
	}
	exchanges := r.sim.ShopCounts(clean).Exchanges
	r.start(operate.StartOptions{})
	r.until("walked", func(s rotation.Snapshot) bool { return s.WalkDone })
	_, err := r.db.Pool.Exec(r.ctx, `update rotator.items i set acted = true from rotator.shops s
		where i.run_id = $1 and s.id = i.shop_id and s.domain = $2`, r.run.ID, acted)
	r.must(err)
	r.arm()
	snap := r.until("all but two proven", func(s rotation.Snapshot) bool { return s.Counts.Proven == shops-2 && s.Counts.Pending == 0 })
	if snap.Counts.Retrying != 2 {
		t.Errorf("counts: %+v", snap.Counts)
	}
	// What was known before is not forgotten.
	var marked []string
	rows, err := r.db.Pool.Query(r.ctx, `select s.domain from rotator.items i join rotator.shops s on s.id = i.shop_id where i.run_id = $1 and i.acted`, r.run.ID)
	r.must(err)
	for rows.Next() {
		var domain string
		r.must(rows.Scan(&domain))
		marked = append(marked, domain)
	}
	r.must(rows.Err())
	if !slices.Equal(marked, []string{acted}) {
		t.Errorf("a token may have been made and lost for %q, want %q", marked, acted)
	}

	_, err = r.sim.Advance(2 * time.Hour)
	r.must(err)
	for _, domain := range []string{clean, acted} {
		r.must(r.op.RetryNow(r.ctx, r.run.ID, domain))
	}
	r.until("proven", inPhase(rotation.PhaseProven))
	if n := r.sim.ShopCounts(clean).Exchanges - exchanges; n != 0 {
		t.Errorf("%d exchanges of a shop whose token is of the new secret", n)
	}
	r.tokens()
}
