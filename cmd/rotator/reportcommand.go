package main

import (
	"context"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

func newRunReport(c *cli, k rotation.Kind) *cobra.Command {
	var list, timeline, asCSV, consent bool
	cmd := &cobra.Command{
		Use: "report [--run N] [--exceptions | --timeline [--csv]]", Short: "Give the account of a run",
		Long: `Give the account of a run: the shops by outcome, the exceptions by class with
examples, the slowest, those that broke with their re-install links, those whose
old token still answers, the certificate, the journal's head and every decision.

--exceptions lists instead every shop that was parked, skipped or waived, that
broke, or whose old token still answers, as CSV or with --json as JSON Lines:
{domain, state, class, words, detail, attempts, install_url}.

--timeline tells what happened when, by whom, for an incident report: decisions,
phases, holds, waves, and when the shops were back, as text, with --json as one
object, or with --csv as a table; its exit code is 0.

The exit code is 4 while shops are parked or broken, or old tokens still answer,
else 0.

JSON: one object {run, kind, app, state, phase, started_at, ended_at, items,
exceptions[{state, class, words, shops, examples[{domain, detail}]}],
broken[{domain, old_token_dead, new_token_alive, install_url}], broken_total,
old_alive[as broken], old_alive_total, slowest, checked{planned, old_tokens_dead,
old_tokens_alive, new_tokens_alive, new_tokens_dead}, wrong_secret_revoked if the
new one was revoked instead of the old one, certificate,
journal{entries, head, ok, problem}, decisions}.
With --timeline: one object ` + timelineJSON + `.`,
		Example: `  rotator rotation report
  rotator rotation report --exceptions > exceptions.csv
  rotator rotation report --run 3 --json
  rotator rotation report --timeline --csv > incident.csv`,
		Args: takesNone,
	}
	run := c.runFlags(cmd, k)
	cmd.Flags().BoolVar(&list, "exceptions", false, "list every shop that did not end as it should")
	cmd.Flags().BoolVar(&timeline, "timeline", false, "tell what happened when, for an incident report")
	cmd.Flags().BoolVar(&asCSV, "csv", false, "with --timeline: print a table in CSV")
	if k == rotation.KindTokenMigration {
		cmd.Use = "report [--run N] [--exceptions | --consent | --timeline [--csv]]"
		cmd.Flags().BoolVar(&consent, "consent", false, "list every shop whose merchant must authorize the app again, with the link")
	}
	c.jsonFlag(cmd, "print one JSON object, or JSON Lines for a list")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		switch {
		case list && consent:
			return usagef(cmd, "--exceptions and --consent are two lists: ask for one")
		case timeline && (list || consent):
			return usagef(cmd, "--timeline and a list are two answers: ask for one")
		case asCSV && (!timeline || c.asJSON):
			return usagef(cmd, "--csv goes with --timeline, and not with --json")
		}
		return c.withRun(cmd.Context(), *run, func(o onRun) error {
			switch {
			case timeline:
				return c.reportTimeline(cmd.Context(), o, asCSV)
			case list:
				return c.listExceptions(cmd.Context(), o)
			case consent:
				return c.listConsent(cmd.Context(), o)
			}
			return c.reportRun(cmd.Context(), o)
		})
	}
	return speak(k, cmd)
}

func (c *cli) reportRun(ctx context.Context, o onRun) error {
	r, err := o.report(ctx)
	if err != nil {
		return err
	}
	if c.asJSON {
		err = c.printJSON(r)
	} else {
		err = c.printReport(r)
	}
	switch {
	case err != nil:
		return err
	case !r.Journal.OK:
		return exitWith(exitFailed, fmt.Errorf("the journal is not whole: %s", r.Journal.Problem), "rotator journal verify")
	case r.unsettled():
		return exitWith(exitExceptions, nil, "")
	}
	return nil
}

func (c *cli) printReport(r runReport) error {
	state := fmt.Sprintf("%s, in phase %s", r.State, r.Phase)
	if r.State == runClosed {
		state = string(r.State)
	}
	items := statusView{runStatus{Kind: r.Kind, Phase: r.Phase, Items: r.Items}}
	outcome := items.proven()
	if others := items.rest(); others != "" {
		outcome += ", " + others
	}
	facts := []fact{
		{"run", fmt.Sprintf("%d of %s", r.Run, r.App)},
		{"state", state},
		{"started", moment(&r.StartedAt)},
		{"ended", moment(r.EndedAt)},
		{"shops", outcome},
	}
	if n := r.Checked; n.Planned > 0 {
		facts = append(facts, fact{"revoke", fmt.Sprintf("%s looked at: %d old tokens dead, %d still answer; %d new tokens live, %d broke",
			plural(n.Planned, "shop"), n.OldDead, n.OldAlive, n.NewAlive, n.NewDead)})
	}
	if err := c.printFacts(facts...); err != nil {
		return err
	}
	for _, part := range []func(runReport) error{c.printMigration, c.printExceptions, c.printBroken, c.printOldAlive, c.printSlowest, c.printCertificate, c.printDecisions} {
		if err := part(r); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) printExceptions(r runReport) error {
	for i, e := range r.Exceptions {
		if i == 0 {
			if err := c.printf("\nExceptions\n"); err != nil {
				return err
			}
		}
		class := string(e.Class)
		if class == "" {
			class = "-"
		}
		if err := c.printf("  %d %s, %s: %s\n", e.Shops, e.State, class, e.Words); err != nil {
			return err
		}
		for _, x := range e.Examples {
			if err := c.printf("      %s\n", printable(x.Domain+"  "+x.Detail)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cli) printSlowest(r runReport) error {
	for i, s := range r.Slowest {
		if i == 0 {
			if err := c.printf("\nSlowest exchanges\n"); err != nil {
				return err
			}
		}
		if err := c.printf("  %6d ms  %s\n", s.LatencyMS, s.Domain); err != nil {
			return err
		}
	}
	return nil
}

func (c *cli) printCertificate(r runReport) error {
	if r.Certificate == nil {
		return nil
	}
	if r.Migration != nil {
		return c.printScrubCertificate(r)
	}
	var cert rotation.Certificate
	if err := json.Unmarshal(r.Certificate, &cert); err != nil {
		return fmt.Errorf("read the certificate of run %d: %w", r.Run, err)
	}
	if err := c.printf("\nCertificate of %s: nothing needs the old secret\n", moment(&cert.At)); err != nil {
		return err
	}
	for _, cond := range cert.Conditions {
		if err := c.printf("  %s: %s\n", cond.Name, printable(cond.Evidence)); err != nil {
			return err
		}
	}
	return c.printAttestations(cert.Attestations)
}

func (c *cli) printAttestations(attested map[rotation.Phase]rotation.Attestation) error {
	for _, p := range rotation.Phases {
		if a, ok := attested[p]; ok {
			if err := c.printf("  %s: by %s, %s\n", p, printable(a.Actor), printable(a.Note)); err != nil {
				return err
			}
		}
	}
	return nil
}

func (c *cli) printDecisions(r runReport) error {
	whole := "whole"
	if !r.Journal.OK {
		whole = "NOT WHOLE: " + r.Journal.Problem
	}
	if err := c.printf("\nJournal: %d entries, head %s, %s\n", r.Journal.Entries, r.Journal.Head, printable(whole)); err != nil {
		return err
	}
	for _, e := range r.Decisions {
		if err := c.printf("  %d  %s  %s  %s\n", e.Seq, moment(&e.At), printable(e.Actor), printable(e.Event)); err != nil {
			return err
		}
	}
	return nil
}

// listed is one line of --exceptions.
type listed struct {
	Domain     string             `json:"domain"`
	State      rotation.ItemState `json:"state"`
	Class      rotation.Class     `json:"class,omitempty"`
	Words      string             `json:"words"`
	Detail     string             `json:"detail,omitempty"`
	Attempts   int                `json:"attempts"`
	InstallURL string             `json:"install_url,omitempty"`
}

// listExceptions writes every shop that did not end as it should.
func (c *cli) listExceptions(ctx context.Context, o onRun) error {
	out := csv.NewWriter(answer{c})
	write := func(l listed) error {
		if c.asJSON {
			return c.printJSON(l)
		}
		return out.Write([]string{
			l.Domain, string(l.State), string(l.Class), l.Words, cell(l.Detail), strconv.Itoa(l.Attempts), l.InstallURL,
		})
	}
	if !c.asJSON {
		if err := out.Write([]string{"domain", "state", "class", "words", "detail", "attempts", "install_url"}); err != nil {
			return fmt.Errorf("write the answer: %w", err)
		}
	}
	unsettled, linkless := false, false
	err := o.eachException(ctx, func(l listed) error {
		linkless = linkless || o.run.Kind == rotation.KindTokenMigration && l.State == rotation.ItemParked && l.InstallURL == ""
		unsettled = unsettled || l.State == rotation.ItemParked || l.State == rotation.ItemProven
		return write(l)
	})
	if out.Flush(); err == nil {
		err = out.Error()
	}
	if linkless {
		c.notef("For re-install links set the app's scopes: rotator app set --name %s --scope SCOPE", o.app.Name)
	}
	if err == nil && unsettled {
		return exitWith(exitExceptions, nil, "")
	}
	return err
}

// eachException calls yield for every shop that was parked, skipped or waived,
// then for those that broke, then for those whose old token still answers.
func (o onRun) eachException(ctx context.Context, yield func(listed) error) error {
	states := []rotation.ItemState{rotation.ItemParked, rotation.ItemSkipped, rotation.ItemWaived}
	err := o.eachItem(ctx, states, func(i store.ItemInfo) (bool, error) {
		l := listedItem(i, exceptionWords(o.run.Kind, store.ClassCount{State: i.State, Class: i.Class}))
		if o.run.Kind == rotation.KindTokenMigration && i.State != rotation.ItemSkipped {
			l.InstallURL = o.installURL(i.Domain)
		}
		return true, yield(l)
	})
	if err != nil {
		return err
	}
	if o.run.Kind == rotation.KindTokenMigration {
		return nil // what broke after its cutover is parked
	}
	return o.eachBroken(ctx, yield)
}

func listedItem(i store.ItemInfo, words string) listed {
	return listed{Domain: i.Domain, State: i.State, Class: i.Class, Words: words, Detail: i.Detail, Attempts: i.Attempt}
}
