package main

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

type migrationFlags struct {
	startFlags
	version int
	sample  string
}

func newMigrationStart(c *cli) *cobra.Command {
	var f migrationFlags
	cmd := &cobra.Command{
		Use: "start [--secret-version N] [--sample N]", Short: "Open a token migration, which derives at once",
		Long: `Open a token migration. A worker then derives the OAuth token of every shop that
has a legacy token and no OAuth token, and stores it beside what the shop uses.
Nobody is asked, and nothing is in use: the run can be cancelled without a trace.

A derived token is right only if the secret is the one that was current when the
legacy token was issued: by default the oldest version that is not revoked.

The derived tokens are then looked at by reading each shop's identity: of all
shops, of --sample N, or of none with --sample 0. The platform accepts them under
a test app (a new app in the Partners dashboard uses OAuth), or once the panel is
switched; without a test app choose --sample 0 and check by hand.

JSON: one object ` + movedJSON + `.`,
		Example: `  rotator tokenmigration start
  rotator tokenmigration start --sample 200
  rotator tokenmigration start --secret-version 2 --sample 0`,
		Args: takesNone,
	}
	fs := cmd.Flags()
	fs.IntVar(&f.version, "secret-version", 0, "version of the secret to derive from (default: the oldest not revoked)")
	fs.StringVar(&f.sample, "sample", "all", "derived tokens that are looked at before the cutover: a number, all, or 0 for none")
	fs.IntVar(&f.inflight, "inflight", 0, "calls in flight of all workers together, but one of each at least")
	f.waves.add(fs)
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		options, err := f.migration(cmd)
		if err != nil {
			return err
		}
		return c.startMigration(cmd, options, f.waves)
	}
	return cmd
}

func (f migrationFlags) migration(cmd *cobra.Command) (operate.MigrationOptions, error) {
	common, err := f.options(cmd)
	o := operate.MigrationOptions{SecretVersion: f.version, InFlight: common.InFlight, CheckSample: -1}
	if err != nil {
		return o, err
	}
	if f.version < 0 {
		return o, usagef(cmd, "--secret-version %d: versions are counted from 1", f.version)
	}
	if f.sample == "all" {
		return o, nil
	}
	if o.CheckSample, err = strconv.Atoi(f.sample); err != nil || o.CheckSample < 0 {
		return o, usagef(cmd, "--sample %s: write a number of shops, all, or 0", quoted(f.sample))
	}
	return o, nil
}

func (c *cli) startMigration(cmd *cobra.Command, options operate.MigrationOptions, waves waveFlags) error {
	ctx := cmd.Context()
	return c.withApp(ctx, wantedRun{kind: rotation.KindTokenMigration}, func(o onRun) error {
		var err error
		if options.Waves, err = o.wavesOf(waves, cmd.Flags().Changed); err != nil {
			return err
		}
		run, err := o.op.StartMigration(ctx, o.app, options)
		if err != nil {
			return o.startRefused(ctx, err)
		}
		o.run = run
		return c.printMoved(ctx, o, fmt.Sprintf("run %d is open", run.ID))
	})
}
