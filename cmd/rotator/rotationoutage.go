package main

import (
	"cmp"
	"context"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// outageJSON documents the outage in help texts.
const outageJSON = `outage{revokes_version, shops, latency_ms,
inflight, calls_per_second, human_seconds, exchange_seconds, first_back_seconds,
half_back_seconds, last_back_seconds, windows, tiers[{priority, shops, and_lower,
first_back_seconds, last_back_seconds}], assumptions}, in seconds from the revoke`

// outageFlags say what people take during an outage.
type outageFlags struct{ deploy, arm time.Duration }

func (f *outageFlags) register(cmd *cobra.Command) {
	cmd.Flags().DurationVar(&f.deploy, "assume-deploy", rotation.DefaultDeploy, "with --breach: from the revoke until the app uses the new secret everywhere")
	cmd.Flags().DurationVar(&f.arm, "assume-arm", rotation.DefaultArm, "with --breach: to make a refresh token and enter it")
}

func (f outageFlags) check(cmd *cobra.Command, breach bool) error {
	for _, name := range []string{"assume-deploy", "assume-arm"} {
		if cmd.Flags().Changed(name) && !breach {
			return usagef(cmd, "--%s is for an outage: give --breach too", name)
		}
	}
	if f.deploy < 0 || f.arm < 0 {
		return usagef(cmd, "--assume-deploy %s, --assume-arm %s: people take no negative time", f.deploy, f.arm)
	}
	return nil
}

// contained tells that the open run has revoked the old secret first.
func (o onRun) contained() bool {
	return o.run.Open() && rotation.Contained(o.run.Mode, o.run.Phase)
}

// measurable replaces a sample that cannot be taken, since the stored tokens are
// dead by the run's own revoke, by what is known of the latency.
func (c *cli) measurable(ctx context.Context, o onRun, client operate.Identifier, f planFlags) (planFlags, error) {
	if !o.contained() {
		return f, nil
	}
	latency, words, err := operate.BreachLatency(ctx, o.store, client, o.app, o.run, operate.PlanOptions{Latency: f.latency})
	if err != nil {
		return f, err
	}
	if f.latency == 0 {
		c.notef("latency: %s, %s", latency, words)
		f.source = words
	}
	f.sample, f.latency = 0, latency
	return f, nil
}

// unmeasured goes on without the sample that failed.
func (c *cli) unmeasured(ctx context.Context, o onRun, f planFlags) (planFlags, error) {
	client, err := c.client(o.app)
	if err != nil {
		return f, err
	}
	defer client.CloseIdle()
	f.sample = 0
	f.latency, f.source, err = operate.BreachLatency(ctx, o.store, client, o.app, o.run, operate.PlanOptions{Latency: f.latency})
	return f, err
}

// rate is the cap on calls per second of the open rotation, else of one that is
// started.
func (o onRun) rate() float64 {
	if o.run.Open() && o.run.Kind == rotation.KindRotation {
		return o.run.Settings.Rate
	}
	return o.app.Settings.Rate
}

// expectOutage reckons what a breach run of this load would cost from now on; the
// shops, the latency and what people take are added.
func (c *cli) expectOutage(ctx context.Context, o onRun, f planFlags, load rotation.OutageLoad) (*rotation.Outage, error) {
	client, err := c.client(o.app)
	if err != nil {
		return nil, err
	}
	defer client.CloseIdle()
	if f.latency == 0 && f.sample > 0 && !o.contained() {
		c.waiting("asking %s of app %s", plural(f.sample, "shop"), o.app.Name)
	}
	latency, words, err := operate.BreachLatency(ctx, o.store, client, o.app, o.run, operate.PlanOptions{Latency: f.latency, Sample: f.sample})
	if err != nil {
		return nil, err
	}
	c.came()
	o.counting()
	words = cmp.Or(f.source, words)
	if load.Tiers, err = o.store.Tiers(ctx, o.app.ID); err != nil {
		return nil, err
	}
	load.Latency, load.Retries = latency, rotation.ExpectedRetries
	load.Deploy, load.Arm = f.outage.deploy, f.outage.arm
	outage := rotation.ExpectOutage(load)
	if outage.Revokes, err = o.revokes(ctx); err != nil {
		return nil, err
	}
	outage.Assumptions = append(outage.Assumptions, "latency: "+words)
	return &outage, nil
}

// revokes is the version of the secret that a breach run is of: of the open one, or
// of one that was started now.
func (o onRun) revokes(ctx context.Context) (version int, err error) {
	secrets, err := o.store.Secrets(ctx, o.app.ID)
	if err != nil {
		return 0, err
	}
	if !o.run.Open() {
		return operate.LeavesSecret(o.app.Name, secrets), nil
	}
	for _, v := range secrets {
		if v.ID == o.run.OldSecretID {
			version = v.Version
		}
	}
	return version, nil
}

func (c *cli) printOutage(o rotation.Outage) error {
	facts := []fact{{"outage", o.Words()}}
	if o.Revokes > 0 {
		facts = append(facts, fact{"revoke", fmt.Sprintf("of secret version %d; see that it is the one that has leaked (`rotator secret list`, `rotator secret identify`)", o.Revokes)})
	}
	facts = append(facts, fact{"order", "by priority, the highest first, then in the order of the import"})
	for _, t := range o.Tiers {
		name := fmt.Sprintf("priority %d", t.Priority)
		if t.Lower {
			name += " and lower"
		}
		facts = append(facts, fact{name, fmt.Sprintf("%s, back from %s to %s after the revoke", plural(t.Shops, "shop"), lasting(t.FirstSeconds), lasting(t.LastSeconds))})
	}
	for _, a := range o.Assumptions {
		facts = append(facts, fact{"assumed", a})
	}
	return c.printFacts(facts...)
}

// lasting is seconds as a person reads them.
func lasting(seconds float64) time.Duration {
	d := time.Duration(seconds * float64(time.Second))
	if d >= 10*time.Second {
		return d.Round(time.Second)
	}
	return d.Round(time.Second / 10)
}

func (f *startFlags) registerBreach(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.breach, "breach", false, "a secret has leaked: revoke first, and accept the outage")
	fs.StringVar(&f.confirmed, "confirm", "", "the app's name, with --breach: the outage is accepted")
	fs.IntVar(&f.plan.sample, "sample", 20, "with --breach: shops whose identity is read to measure the latency")
	fs.DurationVar(&f.plan.latency, "assume-latency", 0, "with --breach: reckon with this latency instead of the measured one")
	f.plan.outage.register(cmd)
}

func (f startFlags) checkBreach(cmd *cobra.Command) error {
	for _, name := range []string{"confirm", "sample", "assume-latency"} {
		if cmd.Flags().Changed(name) && !f.breach {
			return usagef(cmd, "--%s is for a breach run: give --breach too", name)
		}
	}
	switch canary := cmd.Flags().Changed("canary"); {
	case f.breach && canary && (f.waves.canary < 1 || f.waves.canary > rotation.BreachCanaryMost):
		return usagef(cmd, "--canary %d: a breach run has 1 to %d shops in its first wave, to see a wrong secret while the others wait", f.waves.canary, rotation.BreachCanaryMost)
	case f.plan.sample < 0 || f.plan.sample > 1000:
		return usagef(cmd, "--sample %d: between 0 and 1000 shops can be asked", f.plan.sample)
	case f.plan.latency < 0:
		return usagef(cmd, "--assume-latency %s: a latency is not negative", f.plan.latency)
	}
	return f.plan.outage.check(cmd, f.breach)
}

// breachStarted is the answer of `rotation start --breach`; without a run if it
// was not confirmed.
type breachStarted struct {
	*moved
	Outage *rotation.Outage `json:"outage"`
}

// startBreach shows what the run costs, and opens it if that is accepted.
func (c *cli) startBreach(ctx context.Context, options operate.StartOptions, f startFlags, changed func(string) bool) error {
	return c.withApp(ctx, wantedRun{kind: rotation.KindRotation}, func(o onRun) error {
		if err := o.op.NoRunOpen(ctx, o.app, true); err != nil {
			return o.startRefused(ctx, err)
		}
		lives, err := c.lookIfNewestLives(ctx, o, true)
		if err != nil {
			return err
		}
		options.NewestLives = lives
		waves, _, err := f.waves.apply(rotation.DefaultBreachWaves, changed)
		if err != nil {
			return err
		}
		options.Waves = &waves
		load := rotation.OutageLoad{InFlight: cmp.Or(f.inflight, o.app.Settings.InFlight, store.DefaultInFlight), Rate: o.rate(), Waves: waves}
		if options.Rate != nil {
			load.Rate = *options.Rate
		}
		outage, err := c.expectOutage(ctx, o, f.plan, load)
		if err != nil {
			return err
		}
		if !c.asJSON {
			if err := c.printOutage(*outage); err != nil {
				return err
			}
		}
		if f.confirmed == "" {
			if f.confirmed, err = c.ask(ctx, "The run begins with the revoke of the old secret. Type the app's name to accept the outage"); err != nil {
				return err
			}
		}
		o.counting()
		options.Breach = &operate.BreachOptions{Confirmed: f.confirmed, Outage: *outage}
		run, err := o.op.Start(ctx, o.app, options)
		if err != nil {
			if c.asJSON && f.confirmed == "" {
				if err := c.printJSON(breachStarted{Outage: outage}); err != nil {
					return err
				}
			}
			return o.startRefused(ctx, err)
		}
		o.run = run
		if !c.asJSON {
			return c.printMoved(ctx, o, fmt.Sprintf("breach run %d is open: %s", run.ID, plural(outage.Shops, "shop")))
		}
		st, err := o.where(ctx)
		if err != nil {
			return err
		}
		return c.printJSON(breachStarted{&moved{st.Run, st.App, st.Phase, st.Held, st.Next}, outage})
	})
}
