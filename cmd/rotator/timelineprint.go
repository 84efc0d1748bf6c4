package main

import (
	"context"
	"encoding/csv"
	"fmt"
	"strconv"
	"time"
)

// timelineJSON documents a timeline in help texts.
const timelineJSON = `{run, app, mode, revoked_at, at,
entries[{at, seconds_since_revoke, actor, event, words}], back{shops, waiting,
first_seconds, mean_seconds, p50_seconds, p90_seconds, p99_seconds, last_seconds,
tiers[{priority, …}]}, kept, expected}`

func (c *cli) reportTimeline(ctx context.Context, o onRun, asCSV bool) error {
	t, err := o.tellTimeline(ctx)
	switch {
	case err != nil:
		return err
	case c.asJSON:
		return c.printJSON(t)
	case asCSV:
		return c.writeTimeline(t)
	}
	return c.printTimeline(t)
}

// writeTimeline writes the entries as CSV, for the incident report's table.
func (c *cli) writeTimeline(t timeline) error {
	out := csv.NewWriter(answer{c})
	rows := [][]string{{"at", "seconds_since_revoke", "actor", "event", "words"}}
	for _, e := range t.Entries {
		since := ""
		if e.SinceRevoke != nil {
			since = strconv.FormatFloat(*e.SinceRevoke, 'f', 1, 64)
		}
		rows = append(rows, []string{e.At.UTC().Format(time.RFC3339Nano), since, cell(e.Actor), cell(e.Event), cell(e.Words)})
	}
	if err := out.WriteAll(rows); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// cell is printable text that no spreadsheet takes for a formula: notes are
// people's words, and the table is for people.
func cell(text string) string {
	text = inline(text)
	if len(text) > 0 && (text[0] == '=' || text[0] == '+' || text[0] == '-' || text[0] == '@') {
		return "'" + text
	}
	return text
}

func (c *cli) printTimeline(t timeline) error {
	facts := []fact{{"run", fmt.Sprintf("%d of %s, %s", t.Run, t.App, t.Mode)}, {"revoked", moment(t.RevokedAt)}}
	if t.Expected != nil {
		facts = append(facts, fact{"expected", t.Expected.Words()})
	}
	if err := c.printFacts(append(facts, t.backFacts()...)...); err != nil {
		return err
	}
	if err := c.printf("\n"); err != nil {
		return err
	}
	for _, e := range t.Entries {
		since := ""
		if e.SinceRevoke != nil {
			since = fmt.Sprintf("%+9.1fs  ", *e.SinceRevoke)
		}
		if err := c.printf("%s  %s%-8s  %s\n", moment(&e.At), since, printable(e.Actor), inline(e.Words)); err != nil {
			return err
		}
	}
	return nil
}

func (t timeline) backFacts() []fact {
	var kept []fact
	if t.Kept > 0 {
		kept = []fact{{"not exchanged", plural(t.Kept, "shop") + ", whose token was of the new secret already: down only as long as the app did not have it"}}
	}
	if t.Back == nil && t.waiting == 0 && t.Kept > 0 {
		return kept
	}
	if t.Back == nil {
		return append(kept, fact{"back", "no shop yet"})
	}
	words := func(b backSummary) string {
		if b.Shops == 0 {
			return fmt.Sprintf("none; %d wait", b.Waiting)
		}
		return fmt.Sprintf("%s; the first after %s, half after %s, 90 %% after %s, 99 %% after %s, the last after %s; %s on average; %d wait",
			plural(b.Shops, "shop"), lasting(b.First), lasting(b.P50), lasting(b.P90), lasting(b.P99), lasting(b.Last), lasting(b.Mean), b.Waiting)
	}
	name := "proven"
	if t.RevokedAt != nil {
		name = "back"
	}
	facts := append(kept, fact{name, words(*t.Back)})
	if len(t.Back.Tiers) < 2 {
		return facts
	}
	for _, tier := range t.Back.Tiers {
		facts = append(facts, fact{fmt.Sprintf("priority %d", tier.Priority), words(tier.backSummary)})
	}
	return facts
}
