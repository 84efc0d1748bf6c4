package rotation

import (
	"fmt"
	"math"
	"time"
)

// Tier is the shops of one priority.
type Tier struct {
	Priority int `json:"priority"`
	Shops    int `json:"shops"`
}

// OutageLoad is what the outage of a breach run is reckoned from.
type OutageLoad struct {
	// Tiers are the shops that lose their token, the most important first.
	Tiers []Tier
	// Latency is the median time of one call, InFlight how many run at once.
	Latency  time.Duration
	InFlight int
	// Retries is the expected share of calls made again, e.g. 0.05.
	Retries float64
	// Rate is the run's cap on calls per second, those made again among them; 0 for
	// none.
	Rate  float64
	Waves WavePolicy
	// Deploy is how long people take from the revoke until the app uses the new
	// secret everywhere, Arm how long to make and enter a refresh token.
	Deploy, Arm time.Duration
}

// What people take, unless they say better.
const (
	DefaultDeploy = 15 * time.Minute
	DefaultArm    = 5 * time.Minute
)

// What the engine takes between steps: noticing that a wave may begin.
const waveTurn = 500 * time.Millisecond

// callsMost is how many calls a second are reckoned with at most: what a worker
// and PostgreSQL were measured to do together on two cores.
const callsMost = 16_000

// tiersMost bounds how many tiers an outage names; the rest is its last.
const tiersMost = 10

// Outage is what a breach run is expected to cost. Times are seconds from the
// revoke. A shop is back when its new token is proven.
type Outage struct {
	// Revokes is the version of the secret whose revoke it is of, 0 if there is none.
	Revokes        int     `json:"revokes_version,omitempty"`
	Shops          int     `json:"shops"`
	LatencyMS      float64 `json:"latency_ms"`
	InFlight       int     `json:"inflight"`
	CallsPerSecond float64 `json:"calls_per_second"`
	// HumanSeconds pass before the first call, while people deploy and arm.
	HumanSeconds    float64 `json:"human_seconds"`
	ExchangeSeconds float64 `json:"exchange_seconds"`
	FirstSeconds    float64 `json:"first_back_seconds"`
	HalfSeconds     float64 `json:"half_back_seconds"`
	LastSeconds     float64 `json:"last_back_seconds"`
	// Windows is how many refresh tokens it takes, one after the other.
	Windows     int        `json:"windows"`
	Tiers       []TierBack `json:"tiers"`
	Assumptions []string   `json:"assumptions"`
}

// TierBack is when the shops of a tier are back, in the order of the run.
type TierBack struct {
	Tier
	// Lower tells that shops of lower priorities are counted in.
	Lower        bool    `json:"and_lower,omitempty"`
	FirstSeconds float64 `json:"first_back_seconds"`
	LastSeconds  float64 `json:"last_back_seconds"`
}

// ExpectOutage reckons when which shop is back: the waves come one after the
// other, in each the shops in their order, as many at once as calls may be in
// flight; an hour that ends before the last shop costs the time to make another
// refresh token.
func ExpectOutage(l OutageLoad) Outage {
	l.InFlight = max(l.InFlight, 1)
	c := clock{load: l}
	for _, t := range l.Tiers {
		c.shops += t.Shops
	}
	c.waves = PlanWaves(1, c.shops, l.Waves)
	o := Outage{
		Shops: c.shops, LatencyMS: float64(l.Latency.Microseconds()) / 1000, InFlight: l.InFlight,
		HumanSeconds: (l.Deploy + l.Arm).Seconds(), Windows: 1, Tiers: []TierBack{},
		Assumptions: []string{
			fmt.Sprintf("%s from the revoke until the app uses the new secret everywhere (--assume-deploy)", l.Deploy),
			fmt.Sprintf("%s to make a refresh token and enter it (--assume-arm)", l.Arm),
			fmt.Sprintf("%s a call, %d calls a shop, %.0f %% of them again", short(l.Latency), CallsPerShop, l.Retries*100),
			"workers run, and nobody has to decide anything on the way",
			"a shop is back when its new token is proven here; the app has to load it (`rotator shop export`)",
		},
	}
	if l.Rate > 0 {
		o.Assumptions = append(o.Assumptions, fmt.Sprintf("%g calls/s at most, the cap that is set (--rate)", l.Rate))
	}
	if l.Latency > 0 {
		calls := float64(min(l.InFlight, max(c.shops, 1))) / l.Latency.Seconds()
		o.CallsPerSecond = math.Round(10*min(calls, c.callsMost())) / 10
	}
	if c.shops == 0 {
		return o
	}
	last := c.busy(c.shops)
	o.ExchangeSeconds = round(last)
	o.Windows = 1 + c.windows(last)
	o.FirstSeconds, o.HalfSeconds, o.LastSeconds = c.back(1), c.back((c.shops+1)/2), c.back(c.shops)
	o.Tiers = c.tiers()
	return o
}

// clock tells when the n-th shop of a run is back.
type clock struct {
	load  OutageLoad
	shops int
	waves []Wave
}

// callsMost is how many calls a second are reckoned with at most.
func (c clock) callsMost() float64 {
	if c.load.Rate > 0 {
		return min(c.load.Rate, callsMost)
	}
	return callsMost
}

// least is the time that so many shops take with any number of calls in flight.
func (c clock) least(shops int64) time.Duration {
	calls := float64(shops) * CallsPerShop
	least := calls / callsMost
	if c.load.Rate > 0 {
		least = max(least, calls*(1+c.load.Retries)/c.load.Rate)
	}
	return seconds(least)
}

// busy is the time that the exchange takes up to the n-th shop.
func (c clock) busy(n int) time.Duration {
	shop := time.Duration(float64(c.load.Latency) * CallsPerShop * (1 + c.load.Retries))
	rounds := func(shops int64) time.Duration {
		at := (shops + int64(c.load.InFlight) - 1) / int64(c.load.InFlight)
		if shop > 0 && at > int64(longest*time.Second)/int64(shop) {
			return longest * time.Second
		}
		return max(time.Duration(at)*shop, c.least(shops))
	}
	var total time.Duration
	for _, w := range c.waves {
		total += waveTurn
		if int64(n) <= w.Last {
			return min(total+rounds(int64(n)-w.First+1), longest*time.Second)
		}
		total = min(total+rounds(w.Len()), longest*time.Second)
	}
	return total
}

// windows is how many refresh tokens have died before that much work is done.
func (c clock) windows(busy time.Duration) int {
	return int(max(busy-1, 0) / WindowLength)
}

// back is when the n-th shop is back, in seconds from the revoke.
func (c clock) back(n int) float64 {
	busy := c.busy(n)
	return round(c.load.Deploy + c.load.Arm + busy + time.Duration(c.windows(busy))*c.load.Arm)
}

func (c clock) tiers() []TierBack {
	var out []TierBack
	before := 0
	for _, t := range c.load.Tiers {
		if t.Shops == 0 {
			continue
		}
		if len(out) == tiersMost {
			last := &out[len(out)-1]
			last.Shops += t.Shops
			last.Lower = true
			last.LastSeconds = c.back(before + t.Shops)
		} else {
			out = append(out, TierBack{Tier: t, FirstSeconds: c.back(before + 1), LastSeconds: c.back(before + t.Shops)})
		}
		before += t.Shops
	}
	return out
}

func round(d time.Duration) float64 { return math.Round(d.Seconds()*10) / 10 }

// Words is the outage in a sentence.
func (o Outage) Words() string {
	if o.Shops == 0 {
		return "no shop has a token to lose"
	}
	words := fmt.Sprintf("%s down from the revoke on: the first is back after %s, half of them after %s, the last after %s (%s of that is people's work, %s the exchange at %g calls/s)",
		Counted(o.Shops, "shop", "is", "are"), roughly(o.FirstSeconds), roughly(o.HalfSeconds), roughly(o.LastSeconds), roughly(o.HumanSeconds), roughly(o.ExchangeSeconds), o.CallsPerSecond)
	if o.Windows > 1 {
		words += fmt.Sprintf("; it needs %d refresh tokens, one after the other", o.Windows)
	}
	return words
}

// roughly writes seconds as a person reads them.
func roughly(s float64) time.Duration { return short(seconds(s)) }
