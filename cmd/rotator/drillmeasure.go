package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"time"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// drillResult is what a rehearsal came to. Its JSON is a contract.
type drillResult struct {
	Shops     int     `json:"shops"`
	LatencyMS float64 `json:"latency_ms"`
	JitterMS  float64 `json:"jitter_ms"`
	InFlight  int     `json:"inflight"`
	Hostile   bool    `json:"hostile"`
	Seed      uint64  `json:"seed"`
	// P50MS is the latency that the plan measured.
	P50MS float64 `json:"p50_ms"`
	// Ceiling and StepMS are what was measured of the machine.
	Ceiling float64 `json:"ceiling_shops_per_s"`
	StepMS  float64 `json:"step_ms"`

	ETA         float64  `json:"eta_seconds"`
	Real        float64  `json:"real_seconds"`
	Error       float64  `json:"eta_error_percent"`
	CanaryETA   *float64 `json:"canary_eta_seconds"`
	CanaryError *float64 `json:"canary_eta_error_percent"`
	ShopsPerMin float64  `json:"shops_per_min"`
	Proven      int      `json:"proven"`
	Skipped     int      `json:"skipped"`

	Window     float64          `json:"window_seconds"`
	FitsWindow bool             `json:"fits_window"`
	Verdict    rotation.Verdict `json:"verdict"`
	// Within tells that the plan's estimate was good enough.
	Within bool        `json:"within"`
	Fleet  *drillFleet `json:"fleet"`
	Scale  *drillScale `json:"scale"`
}

// drillFleet is the verdict on the operator's own fleet.
type drillFleet struct {
	Shops   int              `json:"shops"`
	Verdict rotation.Verdict `json:"verdict"`
}

// drillScale is the fleet that a scaled run stands for.
type drillScale struct {
	Shops   int              `json:"shops"`
	Factor  int              `json:"factor"`
	Verdict rotation.Verdict `json:"verdict"`
}

// drillWithin is how far an estimate may be off, in percent of the real time.
const drillWithin = 20

// measured puts together what a leg that is proven came to.
func (l *drillLeg) measured(ctx context.Context, fleet int) (drillResult, error) {
	took := l.provenAt.Sub(l.armedAt)
	st, err := l.on.where(ctx)
	if err != nil {
		return drillResult{}, err
	}
	r := drillResult{
		Shops: l.flags.shops, LatencyMS: drillMS(l.flags.latency), JitterMS: drillMS(l.flags.jitter),
		InFlight: l.staging.inflight, Hostile: !l.flags.calm, Seed: l.flags.seed, P50MS: l.plan.P50MS, Ceiling: math.Round(l.machine.ceiling), StepMS: drillMS(l.machine.step),
		ETA: hundredths(l.plan.Verdict.Needs), Real: hundredths(took), Error: offPercent(l.plan.Verdict.Needs, took),
		ShopsPerMin: math.Round(float64(st.Items.Settled()) / took.Minutes()), Proven: st.Items.Proven, Skipped: st.Items.Skipped,
		Window: l.window().Seconds(), FitsWindow: took <= l.window(), Verdict: l.plan.Verdict,
	}
	r.Within = math.Abs(r.Error) <= drillWithin
	if n := l.sim.Counts().Misuse; n > 0 {
		return r, fmt.Errorf("the simulator saw %s that a correct client never makes: %s", plural(n, "call"), inline(l.sim.Misuse()[0]))
	}
	if fleet > 0 {
		r.Fleet = l.judgeFleet(fleet)
	}
	again, ok, err := l.againAfterCanary(ctx)
	if ok {
		seconds, off := hundredths(again), offPercent(again, took)
		r.CanaryETA, r.CanaryError = &seconds, &off
	}
	return r, err
}

// againAfterCanary is the estimate that could be given when the first wave was
// through: its time, and the rest by the latency of its own calls.
func (l *drillLeg) againAfterCanary(ctx context.Context) (time.Duration, bool, error) {
	n := l.policy().Canary
	if n == 0 || n >= l.flags.shops {
		return 0, false, nil
	}
	until, err := l.provenUntil(ctx, n)
	if err != nil {
		return 0, false, err
	}
	latency, err := l.on.store.CallLatency(ctx, l.on.run.ID, rotation.Range{First: 1, Last: int64(n)})
	if err != nil || latency == 0 {
		return 0, false, err
	}
	o := l.options
	o.Begun, o.Unwalked = true, false
	p := l.plan
	p.Shops -= n
	load := o.Load(p, latency)
	return until.Sub(l.armedAt) + rotation.Foresee(load).Total, true, nil
}

// provenUntil is when the last of the run's first n shops was proven.
func (l *drillLeg) provenUntil(ctx context.Context, n int) (until time.Time, err error) {
	first, err := l.on.store.Items(ctx, l.on.run.ID, []rotation.ItemState{rotation.ItemProven}, 0, n)
	for _, i := range first {
		if i.Position <= int64(n) && i.ProvenAt != nil && i.ProvenAt.After(until) {
			until = *i.ProvenAt
		}
	}
	return until, err
}

// judgeFleet plans an hour for another number of shops with what was measured.
func (l *drillLeg) judgeFleet(shops int) *drillFleet {
	o := l.options
	o.Left = rotation.WindowLength
	p := l.plan
	p.Shops = shops
	latency := time.Duration(p.P50MS * float64(time.Millisecond))
	return &drillFleet{shops, rotation.Judge(o.Load(p, latency))}
}

// offPercent is by how much an estimate is off, positive when it was too long.
func offPercent(estimate, took time.Duration) float64 {
	return math.Round((estimate.Seconds()/took.Seconds()-1)*1000) / 10
}

func drillMS(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// measureShops are enough to see a speed, few enough to take seconds.
const measureShops = 8000

// measureMachine exchanges a fleet on a platform that takes no time. The ceiling
// is the speed between its first fifth and its last tenth, which are in the last
// wave; what came between the waves shows the engine's step.
func (c *cli) measureMachine(ctx context.Context, f drillFlags) (m machine, err error) {
	c.notef("measuring what this machine manages")
	l := c.leg(drillFlags{shops: measureShops, seed: f.seed, inflight: f.inflight}, m)
	waves := rotation.PlanWaves(1, measureShops, rotation.DefaultWavePolicy)
	last := waves[len(waves)-1]
	l.staging.waves = &rotation.DefaultWavePolicy
	err = l.rehearse(ctx, func(ctx context.Context) error {
		const from, to = 0.2, 0.9
		at, err := l.on.store.ProvenAt(ctx, l.on.run.ID, from, to)
		if err != nil {
			return err
		}
		// To the first shop of the last wave.
		items, err := l.on.store.Items(ctx, l.on.run.ID, []rotation.ItemState{rotation.ItemProven}, 0, int(last.First))
		if err != nil {
			return err
		}
		if len(at) != 2 || len(items) != int(last.First) {
			return errors.New("measure the machine: not every shop was proven on a simulator that is calm")
		}
		m.ceiling = measureShops * (to - from) / max(at[1].Sub(at[0]).Seconds(), 1e-3)
		m.step = rotation.StepOf(turns(items, waves))
		return nil
	})
	return m, err
}

// turns are the times from the last proof of a wave to the first claim of the next.
func turns(items []store.ItemInfo, waves []rotation.Wave) (all []time.Duration) {
	var before time.Time
	for k, w := range waves {
		var claimed, proven time.Time
		for _, i := range items {
			if i.Position < w.First || i.Position > w.Last || i.ClaimedAt == nil || i.ProvenAt == nil {
				continue
			}
			if claimed.IsZero() || i.ClaimedAt.Before(claimed) {
				claimed = *i.ClaimedAt
			}
			if i.ProvenAt.After(proven) {
				proven = *i.ProvenAt
			}
		}
		if k > 0 {
			all = append(all, claimed.Sub(before))
		}
		before = proven
	}
	return all
}

func (c *cli) leg(f drillFlags, m machine) *drillLeg {
	l := &drillLeg{demo: demo{cli: c, flags: f.platform()}, machine: m}
	l.staging.inflight = f.inflight
	return l
}

// rehearse is one leg from the empty database to the result.
func (c *cli) rehearse(ctx context.Context, f drillFlags, m machine) (r drillResult, err error) {
	c.notef("rehearsing %s at %s a call", plural(f.shops, "shop"), f.latency)
	l := c.leg(f, m)
	err = l.rehearse(ctx, func(ctx context.Context) error {
		r, err = l.measured(ctx, f.fleet)
		return err
	})
	return r, err
}

// rehearseScaled shows that a fleet of a million, planned for an hour, fits: both
// made smaller by the same factor.
func (c *cli) rehearseScaled(ctx context.Context, f drillFlags, m machine) (r drillResult, err error) {
	load := operate.PlanOptions{
		InFlight: 1, MaxInFlight: rotation.MaxAdvisedInFlight, Left: rotation.WindowLength,
		Expected: operate.Expected{Waves: &rotation.DefaultWavePolicy, Unwalked: true, Ceiling: m.ceiling, Step: m.step},
	}.Load(operate.Plan{Shops: scaledShops}, scaledLatency)
	whole := rotation.Judge(load)
	window := rotation.WindowLength / time.Duration(f.factor)
	f.shops, f.latency, f.inflight = scaledShops/f.factor, scaledLatency, whole.InFlight
	c.notef("planned %d shops at %s: %s", scaledShops, scaledLatency, whole.Words)
	c.notef("rehearsing %s in a window of %s", plural(f.shops, "shop"), window)
	l := c.leg(f, m)
	l.staging.life = window
	err = l.rehearse(ctx, func(ctx context.Context) (err error) {
		r, err = l.measured(ctx, 0)
		return err
	})
	r.Scale = &drillScale{scaledShops, f.factor, whole}
	return r, err
}
