package jobs_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// Each batch that a worker can hand out at once, and one more, has a shop that
// answers late.
func TestAShopThatAnswersLateHoldsUpNoOtherBatch(t *testing.T) {
	t.Parallel()
	r := rigOf(t, storetest.New(t), "late", haravansim.Options{Shops: 100, Knobs: haravansim.Knobs{SlowBy: 8 * time.Second}})
	const late = 4
	for i := range late {
		r.must(r.sim.Script(fmt.Sprintf("shop-0000%d5.myharavan.com", i), haravansim.OpExchange, haravansim.FaultSlow))
	}
	together(func(r *rig) (*haravan.Client, error) {
		return haravan.New(haravan.Config{APIURL: r.sim.PlatformURL, InFlight: 64, Timeout: 30 * time.Second})
	}, r)
	r.start(operate.StartOptions{BatchSize: 10, Waves: &rotation.WavePolicy{Budget: rotation.DefaultWavePolicy.Budget}})
	r.arm()
	s := r.until("all but the late ones proven", func(s rotation.Snapshot) bool { return s.Counts.Proven >= 100-late })
	if s.Counts.Proven != 100-late {
		t.Errorf("the late ones were waited for: %+v", s.Counts)
	}
	r.until("proven", inPhase(rotation.PhaseProven))
	if n := r.sim.Counts().Minted; n != 100 {
		t.Errorf("%d tokens were minted for 100 shops", n)
	}
}
