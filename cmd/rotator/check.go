package main

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
)

// checkFlags are the flags of `check`.
type checkFlags struct {
	sample       int
	stalledAfter time.Duration
	quiet        bool
}

// checkPatience bounds a check: what takes longer is an answer, too.
const checkPatience = 2 * time.Minute

func newCheck(c *cli) *cobra.Command {
	f := checkFlags{}
	cmd := &cobra.Command{
		Use: "check [--app NAME] [--sample N] [--stalled-after D] [--quiet]", Short: "Say what is due or wrong, for cron and alerting",
		Long: `Say what is due or wrong, each with the next safe command. check only reads: it
writes nothing to the database, not even to the journal, and of the platform it
asks the identity of --sample shops drawn by chance (0: none). A private PostgreSQL
that is stopped is started.

What it can find, by code:
  database          critical  the database does not answer, or cannot be read
  database_writes   critical  a run's workers can write nothing: a full disk, say
  schema            critical  the schema is missing, older or newer than the program
  keyring           critical  missing here, readable by others, damaged or foreign
  keyring_copy      warning   a run is open or due, and no second copy of the keyring
                              was confirmed (rotator keyring verify)
  clock             warning   a clock is more than a minute from this machine's
  nothing_to_check  warning   no app is set: is it the right database?
  secret_age        both      the secret in use is older than --secret-warn-age and
                              --secret-max-age of rotator app set (150d, 180d)
  old_secret        warning   an old secret lives a day after nothing needs it
  run_held          both      the run is held; a pause is a warning
  run_stalled       critical  nothing moved for --stalled-after, and nothing holds it
  window_closing    critical  at the speed of late the window ends before the shops do
  no_worker         both      a run has work and no worker lives; critical in its hour
  shops_parked      warning   shops wait for a person's look
  shops_broken      critical  shops have no working token since the revoke
  old_tokens_alive  critical  tokens of a secret that was said to be revoked answer
  deliveries        both      the app does not acknowledge its new tokens; critical
                              when it acknowledges none, or the run waits for it
  tokens            both      sampled tokens are refused or do not open; critical when
                              it is most of them
  platform          critical  most sampled shops got no proper answer

"About to be needed" is read so: a keyring that is missing where something is sealed
is always critical; a copy is asked for from the day on which a secret is old enough
to be warned of. rotator sees no copy by itself, only that somebody verified one.

The exit code is 0 when nothing is found, 4 when there are warnings only, 1 when
something is critical, and 78 when that is the schema or the keyring; 2 when the
command line is wrong, e.g. names an app that is not set. A wrapper for
Nagios takes 4 for WARNING and every other but 0 for CRITICAL; the first line of
the answer is its text. --quiet prints nothing when nothing is found, so that cron
sends no mail.

JSON: one object {status, at, findings[{code, severity, app, run, words, next}],
apps[{app, run, phase, held, sampled}]}; status is ok, warning or critical.`,
		Example: `  rotator check
  rotator check --quiet --sample 0
  rotator check --json | jq -r '.findings[] | "\(.severity) \(.code): \(.words)"'`,
		Args: takesNone,
	}
	fs := cmd.Flags()
	c.appFlag(cmd)
	fs.IntVar(&f.sample, "sample", 20, "stored tokens that are tried, drawn by chance; 0 for none")
	fs.DurationVar(&f.stalledAfter, "stalled-after", rotation.DefaultPolicy.StalledAfter, "how long a run may stand still")
	fs.BoolVar(&f.quiet, "quiet", false, "print nothing when nothing is found")
	c.configFlags(cmd, false, "api-url")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case f.sample < 0 || f.sample > 1000:
			return usagef(cmd, "--sample %d: between 0 and 1000 tokens can be tried", f.sample)
		case f.stalledAfter < time.Second:
			return usagef(cmd, "--stalled-after %s: use a second or more", f.stalledAfter)
		}
		return c.check(cmd.Context(), f)
	}
	return cmd
}

// checkResult is the answer of `check`. Its JSON is a contract.
type checkResult struct {
	Status   string             `json:"status"`
	At       time.Time          `json:"at"`
	Findings []rotation.Finding `json:"findings"`
	Apps     []checkedApp       `json:"apps"`
}

// checkedApp is what was looked at.
type checkedApp struct {
	App     string         `json:"app"`
	Run     int64          `json:"run,omitempty"`
	Phase   rotation.Phase `json:"phase,omitempty"`
	Held    rotation.Held  `json:"held,omitempty"`
	Sampled map[string]int `json:"sampled"`
}

func (c *cli) check(ctx context.Context, f checkFlags) error {
	if _, err := c.settings(); err != nil {
		return err
	}
	c.quiet = f.quiet // the mail of cron is what was found
	within, cancel := context.WithTimeout(ctx, checkPatience)
	defer cancel()
	e := examiner{cli: c, flags: f, result: checkResult{Status: checkOK, Findings: []rotation.Finding{}, Apps: []checkedApp{}}}
	e.examine(within)
	if ctx.Err() != nil {
		return fmt.Errorf("check: %w", ctx.Err())
	}
	if e.mistake != nil {
		return e.mistake
	}
	r := e.result
	rotation.SortFindings(r.Findings)
	if worst := rotation.Worst(r.Findings); worst != "" {
		r.Status = string(worst)
	}
	r.At = time.Now().UTC().Truncate(time.Second)
	if f.quiet && len(r.Findings) == 0 {
		return nil
	}
	if err := c.printCheck(r); err != nil {
		return err
	}
	return r.verdict()
}

func (c *cli) printCheck(r checkResult) error {
	if c.asJSON {
		return c.printJSON(r)
	}
	codes := make([]string, len(r.Findings))
	for i, f := range r.Findings {
		codes[i] = string(f.Code)
	}
	first := r.Status
	if len(codes) > 0 {
		first += ": " + strings.Join(codes, ", ")
	}
	if err := c.printf("%s\n", first); err != nil {
		return err
	}
	for _, f := range r.Findings {
		about := ""
		if f.App != "" {
			about = " of " + f.App
		}
		if err := c.printf("%-8s  %s%s: %s\n          next: %s\n", f.Severity, f.Code, about, inline(f.Words), inline(f.Next)); err != nil {
			return err
		}
	}
	return nil
}

// verdict is the exit code.
func (r checkResult) verdict() error {
	has := func(is func(rotation.Finding) bool) bool { return slices.ContainsFunc(r.Findings, is) }
	critical := func(f rotation.Finding) bool { return f.Severity == rotation.SeverityCritical }
	switch {
	case len(r.Findings) == 0:
		return nil
	case has(func(f rotation.Finding) bool {
		return critical(f) && (f.Code == rotation.CodeSchema || f.Code == rotation.CodeKeyring)
	}):
		return exitWith(exitConfig, nil, "")
	case has(critical):
		return exitWith(exitFailed, nil, "")
	}
	return exitWith(exitExceptions, nil, "")
}
