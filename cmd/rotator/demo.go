package main

import (
	"context"
	"errors"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// demoFlags are the flags of `demo`.
type demoFlags struct {
	shops               int
	seed                uint64
	keep, hostile, calm bool
	latency, jitter     time.Duration
}

func newDemo(c *cli) *cobra.Command {
	var f demoFlags
	cmd := &cobra.Command{
		Use: "demo", Short: "Watch a whole rotation against a simulated platform",
		Long: `Rotate a made-up fleet from beginning to end, with nothing but this machine: a
private throw-away PostgreSQL, the platform simulator on a loopback port, a worker
in this process. Every step is what an operator would do and is said aloud. At the
end the stored tokens are compared with the simulator's own books.

The exit code is 0 only if every live shop has a proven token of the new secret,
every old token is dead, and the simulator saw no misuse; 4 if shops had to be
waived; else 1. The environment and your own database are not touched, and nothing
is left behind. With --keep the database and the simulator stay after the report,
until Ctrl-C, and the variables for looking at them are printed.

JSON: one object {shops, live, proven, skipped, parked, waived, old_tokens_dead,
old_tokens_alive, new_tokens_alive, seconds, exchange_seconds, seed, hostile,
answers_lost, faults, misuse, exceptions[{state, class, words, shops, examples}],
slowest, journal_entries, journal_head, problems[text], ok}. The tokens are
counted over the live shops, old_tokens_alive over all.`,
		Example: `  rotator demo
  rotator demo --shops 10000 --calm
  rotator demo --seed 7 --latency 50ms --json
  rotator demo --keep`,
		Args:        takesNone,
		Annotations: map[string]string{ownDatabase: "yes"},
	}
	fs := cmd.Flags()
	fs.IntVar(&f.shops, "shops", 1000, "shops in the fleet")
	fs.Uint64Var(&f.seed, "seed", 1, "decides every token and fault of the simulator")
	fs.BoolVar(&f.hostile, "hostile", true, "a few calls in a hundred go wrong, a few shops are dead")
	fs.BoolVar(&f.calm, "calm", false, "nothing goes wrong by itself")
	fs.DurationVar(&f.latency, "latency", 0, "the simulator adds it to every call")
	fs.BoolVar(&f.keep, "keep", false, "keep the database and the simulator until Ctrl-C")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case f.calm && cmd.Flags().Changed("hostile") && f.hostile:
			return usagef(cmd, "--hostile and --calm exclude each other")
		case f.shops < 1:
			return usagef(cmd, "--shops %d: the fleet needs at least one shop", f.shops)
		}
		if err := f.platform().Validate(); err != nil {
			return usagef(cmd, "%s", err)
		}
		return c.demo(cmd.Context(), f)
	}
	return cmd
}

// platform is what the simulator imitates.
func (f demoFlags) platform() haravansim.Options {
	o := haravansim.Options{Seed: f.seed, Shops: f.shops, Latency: f.latency, Jitter: f.jitter}
	if f.hostile && !f.calm {
		o.Faults = haravansim.Hostile()
	}
	return o
}

// demo stages the rotation, shows it, audits it and reports. Whatever ends it,
// the stage is struck.
func (c *cli) demo(ctx context.Context, f demoFlags) (err error) {
	begin := time.Now()
	d := &demo{cli: c, flags: f, screen: c.newDemoScreen()}
	defer func() { err = errors.Join(err, d.strike()) }()
	if err := d.setUp(ctx); err != nil {
		return err
	}
	if err := d.rotate(ctx); err != nil {
		return err
	}
	result, err := d.audit(ctx)
	if err != nil {
		return err
	}
	result.Seconds = hundredths(time.Since(begin))
	d.screen.clear()
	if err := d.report(result); err != nil {
		return err
	}
	if f.keep {
		if err := d.hold(ctx); err != nil {
			return err
		}
	}
	return result.verdict()
}
