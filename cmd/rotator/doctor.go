package main

import (
	"context"
	"errors"
	"slices"

	"github.com/spf13/cobra"
)

// The verdicts of a check.
const (
	checkOK   = "ok"
	checkWarn = "warn"
	checkFail = "fail"
)

// check is one line of the doctor's answer.
type check struct {
	Name   string `json:"name"`
	Status string `json:"status"`
	Detail string `json:"detail"`
	Remedy string `json:"remedy,omitempty"`
}

// doctor looks at everything that a rotation stands on. It changes nothing but
// that it starts a private PostgreSQL that is stopped.
type doctor struct {
	c      *cli
	checks []check
	// misconfigured: a failed check is the configuration's, the schema's or the
	// keyring's.
	misconfigured bool
	printErr      error
}

func newDoctor(c *cli) *cobra.Command {
	cmd := &cobra.Command{
		Use: "doctor", Short: "Check everything that a rotation stands on",
		Long: `Check the configuration, the database and its encoding, schema and keyring, the
clocks of this machine, the database and the platform, the app's secret, the wire
variant, whether the platform's hosts answer, the limit of open files, and the disk.

One stored shop's identity is read with its token; nothing is changed.

JSON: one object {status, checks [{name, status, detail, remedy}]}; status is ok,
warn or fail. Exit code 0 for ok and warn, 78 if the configuration, the data folder,
the schema or the keyring fails, 1 if anything else does.`,
		Example: "  rotator doctor\n  rotator doctor --app main --json",
		Args:    takesNone,
		RunE: func(cmd *cobra.Command, _ []string) error {
			d := &doctor{c: c}
			d.examine(cmd.Context())
			return d.conclude()
		},
	}
	c.configFlags(cmd, false, "api-url")
	c.appFlag(cmd)
	c.jsonFlag(cmd, "print one JSON object")
	return cmd
}

func (d *doctor) examine(ctx context.Context) {
	if !d.configuration() {
		return
	}
	d.goesOn()
	var apps []appUnderTest
	var clocks clockReadings
	if pool := d.database(ctx, &clocks); pool != nil {
		defer pool.Close()
		if s := d.sealed(ctx, pool); s != nil {
			apps = d.apps(ctx, s)
		}
	}
	inflight := 0
	for _, a := range apps {
		d.addOf(a, "secret", judgeSecrets(a.secrets))
		d.wire(a)
		d.hosts(ctx, a, &clocks)
		inflight = max(inflight, a.inForce.InFlight)
	}
	d.add("clocks", clocks.judge())
	d.add("open files", openFiles(inflight))
	if cfg, err := d.c.settings(); err == nil && cfg.DatabaseURL.IsZero() {
		d.add("disk", diskSpace(cfg.DataDir))
	}
}

// goesOn says, if it takes a while, that there is more to come.
func (d *doctor) goesOn() { d.c.waiting("asking the database and the platform") }

func (d *doctor) ok(name, detail string) { d.add(name, check{Status: checkOK, Detail: detail}) }

func (d *doctor) fail(name string, err error, remedy string) {
	d.add(name, check{Status: checkFail, Detail: inline(err.Error()), Remedy: remedy})
}

// add keeps a check, and shows it at once: the next one may take long.
func (d *doctor) add(name string, found check) {
	found.Name = name
	d.checks = append(d.checks, found)
	if d.c.asJSON {
		return
	}
	defer d.goesOn()
	err := d.c.printf("%-4s  %s: %s\n", found.Status, found.Name, printable(found.Detail))
	if err == nil && found.Remedy != "" {
		err = d.c.printf("      %s\n", printable(found.Remedy))
	}
	d.printErr = errors.Join(d.printErr, err)
}

func (d *doctor) has(status string) bool {
	return slices.ContainsFunc(d.checks, func(found check) bool { return found.Status == status })
}

func (d *doctor) conclude() error {
	worst := checkOK
	for _, status := range []string{checkWarn, checkFail} {
		if d.has(status) {
			worst = status
		}
	}
	if d.c.asJSON {
		d.printErr = d.c.printJSON(map[string]any{"status": worst, "checks": d.checks})
	}
	switch {
	case d.printErr != nil:
		return d.printErr
	case d.misconfigured:
		return exitWith(exitConfig, nil, "")
	case worst == checkFail:
		return exitWith(exitFailed, nil, "")
	}
	return nil
}
