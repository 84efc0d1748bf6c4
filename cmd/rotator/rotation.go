package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/internal/shopdomain"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newRotation(c *cli) *cobra.Command {
	const k = rotation.KindRotation
	return noun("rotation", "Rotate the app's shared secret over its whole fleet",
		`A rotation exchanges the access token of every shop under a new shared secret,
proves each new token, and leads to the revoke of the old secret. Its phases:

  prepared → webhooks_dual → oauth_switched → armed → exchanging → proven
  → revoked → webhooks_single → closed

When a secret has leaked, `+"`rotator rotation start --breach`"+` revokes first:

  prepared → contained → oauth_switched → armed → exchanging → proven
  → revoked → webhooks_single → closed

`+"`rotator rotation next`"+` says at any moment what a person has to do, and why.`,
		newRotationPlan(c), newRotationStart(c), newRunStatus(c, k), newRunNext(c, k),
		newRunConfirm(c, k), newRotationArm(c), newRunPause(c, k), newRunResume(c, k),
		newRunCancel(c, k), newRotationUseSecret(c), newRunRetry(c, k), newRunWaive(c, k), newRotationTune(c),
		newRunReport(c, k), newRunExplain(c, k))
}

// wantedRun is the run that a command line means.
type wantedRun struct {
	kind rotation.Kind
	// id is 0 for the app's open run, else its newest of the kind.
	id int64
}

// runFlags gives cmd --app and --run, and returns where the latter is put.
func (c *cli) runFlags(cmd *cobra.Command, k rotation.Kind) *wantedRun {
	c.appFlag(cmd)
	want := &wantedRun{kind: k}
	cmd.Flags().Int64Var(&want.id, "run", 0, "number of the run (default: the app's open one, else its newest)")
	return want
}

// onRun is what a command on one run works with.
type onRun struct {
	store *store.Store
	app   store.App
	run   store.Run
	op    operate.Operator
	words appWords
	// counting says, if it takes a while, that every shop is being counted, until
	// something else is said; nil where nothing is to be said.
	counting func()
}

// withRun opens the store, finds the run and calls do. What do was refused is
// an error with its exit code and next step. A run of another kind is not acted
// on: a rotation's verbs mean something else to a token migration.
func (c *cli) withRun(ctx context.Context, want wantedRun, do func(onRun) error) error {
	return c.withApp(ctx, want, func(o onRun) error {
		switch run := o.run; {
		case run.ID == 0:
			return o.noRun(ctx, want.kind)
		case run.Kind != want.kind:
			return exitWith(exitRefused, fmt.Errorf("run %d of app %s is a %s, not a %s", run.ID, o.app.Name, run.Kind.Words(), want.kind.Words()), o.otherNoun(want))
		}
		return do(o)
	})
}

// noRun tells that the app has no run, and what comes before one.
func (o onRun) noRun(ctx context.Context, kind rotation.Kind) error {
	lacking, err := o.op.Lacking(ctx, o.app, kind)
	if err != nil {
		return err
	}
	lacking = slices.DeleteFunc(lacking, func(why string) bool { return why == "" })
	hint := o.words.command(fmt.Sprintf("rotator %s start", kind.Noun()))
	if len(lacking) > 0 {
		hint = o.words.text(strings.Join(lacking, "; ")) + "; then `" + hint + "`"
	}
	return exitWith(exitFailed, fmt.Errorf("app %s has no %s yet", o.app.Name, kind.Words()), hint)
}

// otherNoun says where the run is to be looked at whose kind is not the wanted
// one.
func (o onRun) otherNoun(want wantedRun) string {
	hint := fmt.Sprintf("look at it with `rotator %s next --run %d`", o.run.Kind.Noun(), o.run.ID)
	if want.id == 0 {
		hint += fmt.Sprintf("; an earlier %s is named by --run", want.kind.Words())
	}
	return hint
}

// withApp is withRun where a run need not be there, then its ID is 0, and where
// one that is open may be of another kind.
func (c *cli) withApp(ctx context.Context, want wantedRun, do func(onRun) error) error {
	return c.withOpened(ctx, c.openStore, want, do)
}

// withOpened is withApp on a store that open opens.
func (c *cli) withOpened(ctx context.Context, open func(context.Context) (*store.Store, func(), error), want wantedRun, do func(onRun) error) error {
	s, done, err := open(ctx)
	if err != nil {
		return err
	}
	defer done()
	o := onRun{store: s, op: operate.Operator{Store: s, Actor: c.actor}}
	if o.app, o.run, err = c.findRun(ctx, s, want); err != nil {
		return err
	}
	if o.words, err = c.appWords(ctx, s, o.app.Name); err != nil {
		return err
	}
	c.words = o.words
	whose := "app " + o.app.Name
	if o.run.ID != 0 {
		whose = fmt.Sprintf("run %d", o.run.ID)
	}
	o.counting = func() {
		if c.waited == nil {
			c.waiting("counting the shops of %s", whose)
		}
	}
	c.came() // it was told of as one for the database
	o.counting()
	return refusal(want.kind, o.words, do(o))
}

// findRun is the run with that id or, without one, the app's open run, else its
// newest of that kind.
func (c *cli) findRun(ctx context.Context, s *store.Store, want wantedRun) (store.App, store.Run, error) {
	if id := want.id; id != 0 {
		run, err := s.Run(ctx, id)
		if errors.Is(err, store.ErrNotFound) {
			err = exitWith(exitFailed, err, "without --run it is the newest; `rotator journal list` names the run of every decision")
		}
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
	if err != nil {
		return app, store.Run{}, err
	}
	var newest store.Run
	for _, run := range runs {
		switch {
		case run.Open():
			return app, run, nil
		case newest.ID == 0 && run.Kind == want.kind:
			newest = run
		}
	}
	return app, newest, nil
}

// refusal gives an operation's error its exit code and next step.
func refusal(k rotation.Kind, words appWords, err error) error {
	var refused *operate.Refused
	var noFit *operate.DoesNotFit
	var told *failure
	switch {
	case errors.As(err, &told):
		return err
	case errors.As(err, &refused):
		refused.Why = words.text(refused.Why)
		return exitWith(exitRefused, err, stepLine(words.step(typeable(refused.Next))))
	case errors.As(err, &noFit):
		return exitWith(exitNoFit, err, "")
	case errors.Is(err, store.ErrConflict):
		return exitWith(exitFailed, err, words.text(fmt.Sprintf("look at `rotator %s status`, then try again", k.Noun())))
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
	if o.counting != nil {
		o.counting()
	}
	snap, run, err := o.store.Snapshot(ctx, o.run.ID, store.Counted)
	if err != nil {
		return runStatus{}, err
	}
	workers, err := o.store.Workers(ctx)
	if err != nil {
		return runStatus{}, err
	}
	st := o.words.status(makeStatus(snap, run, workers, 0))
	return st, st.foresee(ctx, o.store, snap, run)
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
	return c.printFacts(append(facts, fact{"next", next}, fact{"why", st.why()})...)
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
