package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
)

type armFlags struct {
	file          string
	age           time.Duration
	noPlan        bool
	acceptWindows bool
	replace       bool
	plan          planFlags
}

func newRotationArm(c *cli) *cobra.Command {
	var f armFlags
	cmd := &cobra.Command{
		Use: "arm [--file PATH] [--age D] [--accept-windows]", Short: "Enter a refresh token: its hour begins the exchange",
		Long: `Enter the app's refresh token, made in the Partners dashboard. Its hour runs from
its making there: give --age if that was a while ago. The exchange begins when
every shop is in the run; a run whose window had ended goes on where it stood.
A value that any run of the app was given keeps the end that it had, and does not
take the place of one that lasts longer, unless --replace is given.

The value comes from --file, from stdin when that is a pipe, or from a prompt
without echo. A plan is made first; when the fleet needs more than one window the
token is not stored, unless --accept-windows (exit code 5). --no-plan leaves the
plan out.

JSON: one object {run, app, phase, fingerprint, expires_at, seconds_left,
first_entered_at, plan, next{command, why, human}}; first_entered_at only of a value
that was entered before; plan as rotator rotation plan, or null.`,
		Example: `  rotator rotation arm
  rotator rotation arm --file refresh-token.txt --age 5m
  pass show haravan/refresh-token | rotator rotation arm --accept-windows`,
		Args: takesNone,
	}
	run := c.runFlags(cmd, rotation.KindRotation)
	fs := cmd.Flags()
	fs.StringVar(&f.file, "file", "", "file that holds the refresh token and nothing else; - for stdin")
	fs.DurationVar(&f.age, "age", 0, "how long ago it was made, e.g. 5m")
	fs.BoolVar(&f.acceptWindows, "accept-windows", false, "begin although one refresh token is not enough")
	fs.BoolVar(&f.noPlan, "no-plan", false, "ask no shop before, give no verdict")
	fs.BoolVar(&f.replace, "replace", false, "the one in use was entered wrongly: take this one, entered before, although it ends sooner")
	fs.IntVar(&f.plan.sample, "sample", 10, "shops whose identity is read for the plan")
	fs.DurationVar(&f.plan.latency, "assume-latency", 0, "reckon with this latency instead of the measured one")
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case f.age < 0:
			return usagef(cmd, "--age %s: a token is not made in the future", f.age)
		case f.plan.latency < 0:
			return usagef(cmd, "--assume-latency %s: a latency is not negative", f.plan.latency)
		case f.plan.sample < 1 || f.plan.sample > 1000:
			return usagef(cmd, "--sample %d: between 1 and 1000 shops can be asked; --no-plan asks none", f.plan.sample)
		}
		return c.withRun(cmd.Context(), *run, func(o onRun) error { return c.arm(cmd.Context(), cmd, o, f) })
	}
	return cmd
}

// armed is the answer of `rotation arm`.
type armed struct {
	Run         int64          `json:"run"`
	App         string         `json:"app"`
	Phase       rotation.Phase `json:"phase"`
	Fingerprint string         `json:"fingerprint"`
	ExpiresAt   time.Time      `json:"expires_at"`
	SecondsLeft float64        `json:"seconds_left"`
	// EnteredAt is when the value was first entered, if it was before.
	EnteredAt *time.Time    `json:"first_entered_at,omitempty"`
	Plan      *operate.Plan `json:"plan"`
	Next      rotation.Step `json:"next"`
}

func (c *cli) arm(ctx context.Context, cmd *cobra.Command, o onRun, f armFlags) error {
	if err := o.op.MayArm(ctx, o.run.ID, f.age); err != nil {
		return err
	}
	token, err := c.readSecret(ctx, cmd, "refresh token of app "+o.app.Name, f.file)
	if err != nil {
		return err
	}
	read := time.Now()
	options := operate.ArmOptions{Age: f.age, AcceptWindows: f.acceptWindows, Replace: f.replace}
	o.counting()
	life, err := o.op.LifeOf(ctx, o.run.ID, token, options)
	if err != nil {
		return err
	}
	var plan *operate.Plan
	if f.noPlan {
		skew, err := operate.DatabaseSkew(ctx, o.store)
		if err != nil {
			return err
		}
		c.warnOfClocks(skew)
	} else if plan, err = c.planBeforeArm(ctx, o, f, life); err != nil {
		return err
	}
	// The plan took a moment of the token's hour.
	options.Age += time.Since(read)
	if plan != nil {
		options.Measured = &plan.Measured
	}
	o.counting()
	rt, err := o.op.ArmWith(ctx, o.run.ID, token, options)
	if err != nil {
		return err
	}
	st, err := o.where(ctx)
	if err != nil {
		return err
	}
	expires := rt.ExpiresAt.UTC()
	left := expires.Sub(st.At)
	// st.At is by the database's clock, which may be off, and of a moment ago.
	here := expires.Add(-time.Until(st.At).Round(10 * time.Second))
	var enteredAt *time.Time
	entered := ""
	if b := rt.Before; b != nil {
		at := b.At.UTC()
		enteredAt, entered = &at, fmt.Sprintf("first %s: its hour runs since then, and does not begin anew", b)
	}
	if c.asJSON {
		return c.printJSON(armed{
			st.Run, st.App, st.Phase, rt.Fingerprint, expires, left.Round(time.Second / 10).Seconds(), enteredAt, plan, st.Next,
		})
	}
	err = c.printFacts(
		fact{"fingerprint", rt.Fingerprint},
		fact{"entered", entered},
		fact{"expires", fmt.Sprintf("%s, which is %s here; %s left", moment(&expires), here.Local().Format("15:04:05 MST"), span(left))},
	)
	if err != nil {
		return err
	}
	if st.Held != nil {
		c.notef("The token is stored, and the run is still held for another reason: it wants %s, too.", o.words.text("`rotator rotation resume`"))
	}
	return c.printStep(st)
}

// planBeforeArm fails when the fleet needs more than this window, of which life is
// left.
func (c *cli) planBeforeArm(ctx context.Context, o onRun, f armFlags, life time.Duration) (*operate.Plan, error) {
	p, _, err := c.makePlan(ctx, o, f.plan, life)
	if err != nil {
		return nil, exitWith(exitFailed, errors.Join(errors.New("the refresh token is not stored"), err), "its hour is running: mend it, or enter it without a verdict with --no-plan")
	}
	c.warnOfClocks(p.Skew)
	switch {
	case p.Verdict.Outlook == rotation.OutlookFits:
		if !c.asJSON {
			c.notef("%s", p.Verdict.Words)
		}
	case f.acceptWindows || o.run.Settings.AcceptWindows:
		c.notef("warning: %s", p.Verdict.Words)
	case p.Verdict.FitsFresh():
		return nil, exitWith(exitNoFit, errors.New("the refresh token is not stored: the window is too short"),
			fmt.Sprintf("only %s of its hour are left; make a fresh one: the run needs %s", span(life), span(p.Verdict.Needs)))
	default:
		return nil, exitWith(exitNoFit, fmt.Errorf("the refresh token is not stored: %w", &operate.DoesNotFit{Verdict: p.Verdict}),
			o.words.text(remedy(p.Verdict, "rotator rotation arm")))
	}
	return &p, nil
}
