package main

import (
	"bufio"
	"context"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newRunConfirm(c *cli, k rotation.Kind) *cobra.Command {
	var note, confirmed string
	var dropColumn bool
	cmd := &cobra.Command{
		Use: "confirm PHASE --note TEXT [--confirm APP]", Short: "Say that a human step is done, and enter its phase",
		Long: `Say that a human step is done, and enter its phase. PHASE is one of
` + named(humanPhases(k)) + `.
The note says how you know; it is kept, with your name, as the evidence.

revoked, closed and in a breach run contained cannot be undone: they want the
app's name, with --confirm or typed at the prompt. closed shreds the old tokens
and the refresh token. After contained a few shops are asked with their stored
tokens, which must be dead; say it again to look again. Before revoked some are asked
with their new tokens: it is refused (exit code 6) when these are dead while former
ones answer, or may.

JSON: one object ` + movedJSON + `.`,
		Example: `  rotator rotation confirm webhooks_dual --note "release 214 is on every host"
  rotator rotation confirm revoked --confirm main --note "deleted in the dashboard"
  rotator rotation confirm closed --confirm main`,
		Args: takes("PHASE"),
		ValidArgsFunction: func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
			return strings.Split(named(humanPhases(k)), ", "), cobra.ShellCompDirectiveNoFileComp
		},
	}
	run := c.runFlags(cmd, k)
	cmd.Flags().StringVar(&note, "note", "", "how you know; kept as evidence (required but for closed)")
	cmd.Flags().StringVar(&confirmed, "confirm", "", "the app's name, for what cannot be undone")
	if k == rotation.KindTokenMigration {
		cmd.Flags().BoolVar(&dropColumn, "drop-column", false, "with scrubbed: drop the legacy column of the app's own table")
	}
	c.jsonFlag(cmd, "print one JSON object")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		phase := rotation.Phase(args[0])
		note = sentence(note)
		if !slices.Contains(humanPhases(k), phase) {
			return usagef(cmd, "PHASE %s is none that a human enters this way: choose from %s", quoted(args[0]), named(humanPhases(k)))
		}
		if dropColumn && phase != rotation.PhaseScrubbed {
			return usagef(cmd, "--drop-column goes with `confirm scrubbed` only")
		}
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			if dropColumn {
				return c.dropAndConfirm(cmd, o, note, confirmed)
			}
			return c.confirm(cmd.Context(), cmd, o, phase, note, confirmed, o.op.Confirm)
		})
	}
	return speak(k, cmd)
}

// humanPhases are those that confirm enters; a refresh token enters armed.
func humanPhases(k rotation.Kind) []rotation.Phase {
	var phases []rotation.Phase
	for _, mode := range []rotation.Mode{rotation.ModePlanned, rotation.ModeBreach} {
		for _, t := range rotation.CourseOf(k, mode) {
			if t.Driver == rotation.DriverHuman && t.To != rotation.PhaseArmed && !slices.Contains(phases, t.To) {
				phases = append(phases, t.To)
			}
		}
	}
	return phases
}

// confirming is what is done once everything is asked, as Operator.Confirm.
type confirming func(ctx context.Context, runID int64, phase rotation.Phase, note, confirmed string, progress func(done, total int64)) error

// dropAndConfirm shows the statement that drops the legacy column before anything
// is asked or done.
func (c *cli) dropAndConfirm(cmd *cobra.Command, o onRun, note, confirmed string) error {
	ctx := cmd.Context()
	statement, err := o.op.DropStatement(ctx, o.app.ID)
	if err != nil {
		return err
	}
	if statement != "" {
		c.notef("This will be run, on all rows, and cannot be undone: %s", statement)
	}
	do := func(ctx context.Context, runID int64, _ rotation.Phase, note, confirmed string, progress func(done, total int64)) error {
		return o.op.ConfirmScrubbed(ctx, runID, note, confirmed, true, progress)
	}
	return c.confirm(ctx, cmd, o, rotation.PhaseScrubbed, note, confirmed, do)
}

func (c *cli) confirm(ctx context.Context, cmd *cobra.Command, o onRun, phase rotation.Phase, note, confirmed string, do confirming) error {
	detail := store.Uncounted // nothing is asked; the run's lock decides
	if note == "" || confirmed == "" {
		detail = store.Gated
	}
	snap, run, err := o.store.Snapshot(ctx, o.run.ID, detail)
	if err != nil {
		return err
	}
	// A migration's commands name the app; a rotation's revoke wants it twice.
	if run.Kind == rotation.KindTokenMigration && confirmed == "" {
		confirmed = c.appName
	}
	// What is looked at again takes another note.
	again := run.Open() && phase == run.Phase
	word, already := snap.Attested[phase], again && phase != rotation.PhaseRevoked && phase != rotation.PhaseScrubbed
	if already {
		c.notef("%s is already confirmed by %s at %s; the note is not changed.", phase, word.Actor, moment(&word.At))
	}
	// Nothing is asked that would be refused anyway.
	t, _ := run.Course().Forward(run.Phase)
	due := run.Open() && t.To == phase && rotation.GateMet(rotation.Gate(snap)) || again && !already
	if due && note == "" && phase != rotation.PhaseClosed {
		if note, err = c.ask(ctx, "How do you know? Note for the journal"); err != nil {
			return err
		}
		if note == "" {
			return usagef(cmd, "--note is missing: say how you know that the step is done; it is kept as evidence")
		}
	}
	if isPlaceholder(note) {
		return usagef(cmd, "the note %q stands for yours: say how you know that the step is done; it is kept as evidence", note)
	}
	if irreversible := t.To == phase && t.Irreversible; due && irreversible && confirmed == "" {
		if confirmed, err = c.ask(ctx, fmt.Sprintf("%s cannot be undone. Type the app's name to go on", phase)); err != nil {
			return err
		}
	}
	if phase == rotation.PhaseRevoked && run.Mode != rotation.ModeBreach && confirmed == snap.App && (snap.Phase == rotation.PhaseProven || again) {
		if err := c.lookIfNewLive(ctx, o, snap); err != nil {
			return err
		}
	}
	doing := "Shredding old tokens"
	if phase == rotation.PhaseScrubbed {
		doing = "Removing legacy credentials"
	}
	o.counting()
	moves := c.moves()
	err = do(ctx, run.ID, phase, note, confirmed, func(done, total int64) {
		if moves("%s: %d of %d", doing, done, total); done >= total {
			c.came()
			o.counting()
		}
	})
	if err != nil {
		return err
	}
	if phase == rotation.PhaseContained {
		c.lookIfContained(ctx, o)
	}
	return c.printMoved(ctx, o, "")
}

// ask reads a line from the person at the terminal; "" without one.
func (c *cli) ask(ctx context.Context, question string) (string, error) {
	if !isTerminal(c.stdin) {
		return "", nil
	}
	c.came()
	_, _ = fmt.Fprintf(c.stderr, "%s: ", question)
	line, err := bufio.NewReaderSize(cancellable(ctx, c.stdin), maxSecret).ReadString('\n')
	if err != nil && line == "" {
		c.notef("")
		return "", fmt.Errorf("read the answer: %w", err)
	}
	return sentence(line), nil
}

// sentence is what a person wrote, without blanks around it. A terminal that is
// not in UTF-8 gives bytes that PostgreSQL refuses.
func sentence(text string) string {
	return strings.TrimSpace(strings.ToValidUTF8(text, "\ufffd"))
}
