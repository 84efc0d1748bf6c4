package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// drillLeg is one rehearsed exchange: a demo without its theatre and without
// what comes after the proof.
type drillLeg struct {
	demo
	machine machine
	options operate.PlanOptions
	plan    operate.Plan
}

// machine is what was measured of this one; zero values are not.
type machine struct {
	ceiling float64       // shops per second when calls take no time
	step    time.Duration // of the engine, from wave to wave
}

// drillPostgres makes the throw-away server write as a durable one does.
var drillPostgres = map[string]string{"fsync": "on", "full_page_writes": "on"}

// rehearse stages the fleet, plans, exchanges every shop and strikes the stage.
func (l *drillLeg) rehearse(ctx context.Context, measure func(context.Context) error) (err error) {
	l.screen = &demoScreen{out: io.Discard}
	l.staging.postgres = drillPostgres
	defer func() { err = errors.Join(err, l.strike()) }()
	for _, step := range []func(context.Context) error{
		l.setUp, l.introduceSecret, l.foresee, l.startWorker, l.start, l.arm, l.untilProven, measure,
	} {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

// foresee asks the preflight as `rotation plan` does, and tells it only what
// was measured before.
func (l *drillLeg) foresee(ctx context.Context) error {
	client, err := workerClient(l.on.app, store.RunSettings{}, "", l.staging.inflight)
	if err != nil {
		return err
	}
	defer client.CloseIdle()
	l.options = operate.PlanOptions{
		Sample: min(20, l.flags.shops), InFlight: l.staging.inflight, MaxInFlight: rotation.MaxAdvisedInFlight, Left: l.window(),
		Expected: l.expected(),
	}
	l.plan, err = operate.MakePlan(ctx, l.on.store, client, l.on.app, l.options)
	return err
}

// hostileRetries is the share of calls that the hostile simulator spoils.
const hostileRetries = 0.04

// expected is what the leg's own terms say.
func (l *drillLeg) expected() operate.Expected {
	e := operate.Expected{Waves: l.policy(), Unwalked: true, Ceiling: l.machine.ceiling, Step: l.machine.step, Retries: hostileRetries}
	if l.flags.calm {
		e.Retries = -1
	}
	return e
}

func (l *drillLeg) policy() *rotation.WavePolicy {
	if l.staging.waves != nil {
		return l.staging.waves
	}
	return &rotation.DefaultWavePolicy
}

// window is the life of the refresh token.
func (l *drillLeg) window() time.Duration { return rotation.WindowLength - l.staging.age() }

// start opens the run and says that the human steps are done.
func (l *drillLeg) start(ctx context.Context) error {
	var err error
	if l.on.run, err = l.on.op.Start(ctx, l.on.app, operate.StartOptions{}); err != nil {
		return err
	}
	for _, phase := range []rotation.Phase{rotation.PhaseWebhooksDual, rotation.PhaseOAuthSwitched} {
		if err := l.confirm(ctx, phase); err != nil {
			return err
		}
	}
	return nil
}

// drillEvery spaces looks at the run's own row, drillCount those at its items:
// they take time from what is measured.
const (
	drillEvery = 25 * time.Millisecond
	drillCount = 2 * time.Second
)

// untilProven waits for the phase, and does what an operator would meanwhile.
func (l *drillLeg) untilProven(ctx context.Context) error {
	every := time.NewTicker(drillEvery)
	defer every.Stop()
	countAt := time.Now().Add(drillCount)
	for {
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the exchange: %w", ctx.Err())
		case err := <-l.failed:
			return err
		case <-every.C:
		}
		run, err := l.on.store.Run(ctx, l.on.run.ID)
		if err != nil {
			return err
		}
		if !run.Phase.Before(rotation.PhaseProven) {
			l.provenAt = run.PhaseAt
			return nil
		}
		if run.Held == rotation.HeldNot && time.Now().Before(countAt) {
			continue
		}
		countAt = time.Now().Add(drillCount)
		st, err := l.on.where(ctx)
		if err != nil {
			return err
		}
		if err := l.unblock(ctx, st); err != nil {
			return err
		}
	}
}
