package operate

import (
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// Expected is what a plan takes for granted about the run, beside what it
// measures.
type Expected struct {
	// Waves are how the fleet will be released; nil for what is left of a run,
	// whose first waves are over.
	Waves *rotation.WavePolicy
	// Begun tells that the canary is through.
	Begun bool
	// Unwalked tells that the window begins while the shops are not in the run.
	Unwalked bool
	// Ceiling is the most shops per second that one worker's machine manages, as
	// `rotator drill` measures it; 0 when nobody did.
	Ceiling float64
	// Step is the time of an engine's step, measured likewise; 0 for the default.
	Step time.Duration
	// Retries is the share of calls that are made again: 0 stands for
	// rotation.ExpectedRetries, less for none.
	Retries float64
	// Rate is the run's cap on calls per second, 0 for none.
	Rate float64
}

// Load is what the verdict of a plan with a latency is about.
func (o PlanOptions) Load(p Plan, latency time.Duration) rotation.Load {
	retries := o.Retries
	switch {
	case retries == 0:
		retries = rotation.ExpectedRetries
	case retries < 0:
		retries = 0
	}
	walk := 0
	if o.Unwalked {
		walk = p.Shops
	}
	return rotation.Load{
		Shops: p.Shops, Latency: latency, InFlight: o.InFlight, MaxInFlight: o.MaxInFlight, Left: o.Left,
		Waves: o.Waves, Begun: o.Begun, Walk: walk, Workers: p.Workers, Ceiling: o.Ceiling, Step: o.Step, Retries: retries,
		Rate: o.Rate / rotation.CallsPerShop,
	}
}
