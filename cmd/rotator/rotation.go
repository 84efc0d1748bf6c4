package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/shopdomain"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newRotation(c *cli) *cobra.Command {
	return noun("rotation", "Rotate the app's shared secret over its whole fleet",
		`A rotation exchanges the access token of every shop under a new shared secret,
proves each new token, and leads to the revoke of the old secret. Its phases:

  prepared → webhooks_dual → oauth_switched → armed → exchanging → proven
  → revoked → webhooks_single → closed

`+"`rotator rotation next`"+` says at any moment what a person has to do, and why.`,
		newRotationPlan(c), newRotationStart(c), newRotationStatus(c), newRotationNext(c),
		newRotationConfirm(c), newRotationArm(c), newRotationPause(c), newRotationResume(c),
		newRotationCancel(c), newRotationRetry(c), newRotationWaive(c), newRotationTune(c),
		newRotationReport(c), newRotationExplain(c))
}

// runFlags gives cmd --app and --run, and returns where the latter is put.
func (c *cli) runFlags(cmd *cobra.Command) *int64 {
	c.appFlag(cmd)
	return cmd.Flags().Int64("run", 0, "number of the run (default: the app's open one, else its newest)")
}

// onRun is what a command on one run works with.
type onRun struct {
	store *store.Store
	app   store.App
	run   store.Run
	op    operate.Operator
}

// withRun opens the store, finds the run and calls do. What do was refused is
// an error with its exit code and next step.
func (c *cli) withRun(ctx context.Context, id int64, do func(onRun) error) error {
	return c.withApp(ctx, id, func(o onRun) error {
		if o.run.ID == 0 {
			return exitWith(exitFailed, fmt.Errorf("app %s has no run yet", o.app.Name), "rotator rotation start")
		}
		return do(o)
	})
}

// withApp is withRun where a run need not be there: then its ID is 0.
func (c *cli) withApp(ctx context.Context, id int64, do func(onRun) error) error {
	return c.withOpened(ctx, c.openStore, id, do)
}

// withOpened is withApp on a store that open opens.
func (c *cli) withOpened(ctx context.Context, open func(context.Context) (*store.Store, func(), error), id int64, do func(onRun) error) error {
	s, done, err := open(ctx)
	if err != nil {
		return err
	}
	defer done()
	o := onRun{store: s, op: operate.Operator{Store: s, Actor: c.actor}}
	if o.app, o.run, err = c.findRun(ctx, s, id); err != nil {
		return err
	}
	return refusal(do(o))
}

// findRun is the run with that id or, without one, the app's open run, else its
// newest.
func (c *cli) findRun(ctx context.Context, s *store.Store, id int64) (store.App, store.Run, error) {
	if id != 0 {
		run, err := s.Run(ctx, id)
		if err != nil {
			return store.App{}, run, err
		}
		app, err := s.AppByID(ctx, run.AppID)
		if err == nil && c.appName != "" && c.appName != app.Name {
			err = fmt.Errorf("run %d is of app %s, not of the named one", id, app.Name)
		}
		return app, run, err
	}
	app, err := c.app(ctx, s)
	if err != nil {
		return app, store.Run{}, err
	}
	runs, err := s.Runs(ctx, app.ID)
	if err != nil || len(runs) == 0 {
		return app, store.Run{}, err
	}
	for _, run := range runs {
		if run.Open() {
			return app, run, nil
		}
	}
	return app, runs[0], nil
}

// refusal gives an operation's error its exit code and next step.
func refusal(err error) error {
	var refused *operate.Refused
	var noFit *operate.DoesNotFit
	var told *failure
	switch {
	case errors.As(err, &told):
		return err
	case errors.As(err, &refused):
		return exitWith(exitRefused, err, stepLine(typeable(refused.Next)))
	case errors.As(err, &noFit):
		return exitWith(exitNoFit, err, "")
	case errors.Is(err, store.ErrConflict):
		return exitWith(exitFailed, err, "look at `rotator rotation status`, then try again")
	}
	return err
}

// stepLine is a step on one line; "" for none.
func stepLine(s rotation.Step) string {
	switch {
	case s.Command != "":
		return inline("next: " + s.Command + ": " + s.Why)
	case s.Why != "":
		return inline("now: " + s.Why)
	}
	return ""
}

// moved is the answer of an operation on a run.
type moved struct {
	Run   int64          `json:"run"`
	App   string         `json:"app"`
	Phase rotation.Phase `json:"phase"`
	Held  *rotation.Held `json:"held"`
	Next  rotation.Step  `json:"next"`
}

// movedJSON documents moved in help texts.
const movedJSON = "{run, app, phase, held, next{command, why, human}}"

// where reads where the run stands now.
func (o onRun) where(ctx context.Context) (runStatus, error) {
	snap, run, err := o.store.Snapshot(ctx, o.run.ID, store.Counted)
	if err != nil {
		return runStatus{}, err
	}
	workers, err := o.store.Workers(ctx)
	if err != nil {
		return runStatus{}, err
	}
	return makeStatus(snap, run, workers, 0), nil
}

// printMoved prints where the run stands after an operation; words say what was
// done.
func (c *cli) printMoved(ctx context.Context, o onRun, words string) error {
	st, err := o.where(ctx)
	if err != nil {
		return err
	}
	if c.asJSON {
		return c.printJSON(moved{st.Run, st.App, st.Phase, st.Held, st.Next})
	}
	if words != "" {
		if err := c.printf("%s\n", inline(words)); err != nil {
			return err
		}
	}
	return c.printStep(st)
}

// printStep prints the phase and what comes next.
func (c *cli) printStep(st runStatus) error {
	facts := []fact{{"run", fmt.Sprintf("%d of %s", st.Run, st.App)}, {"phase", st.place()}}
	if st.State != runOpen {
		facts[1].value += ", " + string(st.State)
	}
	if st.Held != nil {
		facts = append(facts, fact{"held", fmt.Sprintf("%s: %s", *st.Held, st.HeldWhy)})
	}
	next := st.Next.Command
	if next == "" {
		next = "nothing to do"
	}
	return c.printFacts(append(facts, fact{"next", next}, fact{"why", st.Next.Why})...)
}

// domain normalises a shop's domain given as an argument.
func domain(cmd *cobra.Command, text string) (string, error) {
	d, err := shopdomain.Parse(text)
	if err != nil {
		return "", usagef(cmd, "DOMAIN: %w", err)
	}
	return d, nil
}

// named is a list of words for a usage error.
func named[T ~string](words []T) string {
	text := make([]string, len(words))
	for i, w := range words {
		text[i] = string(w)
	}
	return strings.Join(text, ", ")
}
