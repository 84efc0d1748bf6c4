package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// statusView renders a status for people. It has no state of its own.
type statusView struct{ runStatus }

// viewIndent is the column in which values begin.
const viewIndent = 9

// Render is the whole block, wrapped to a width in characters; 0 means any width.
func (v statusView) Render(width int) string {
	var b strings.Builder
	add := func(name, format string, args ...any) {
		for i, line := range wrap(printable(fmt.Sprintf(format, args...)), width-viewIndent) {
			fmt.Fprintf(&b, "%-*s%s\n", viewIndent, first(i, name), line)
		}
	}
	add("run", "%d of %s: %s, %s, %s since %s", v.Run, v.App, v.Kind.Words(), v.Mode, v.State, moment(v.since()))
	if v.State == runCancelled {
		add("phase", "%s, %s", v.place(), v.State)
	} else {
		add("phase", "%s since %s (%s)", v.place(), moment(&v.PhaseAt), span(v.At.Sub(v.PhaseAt)))
	}
	if v.Held != nil {
		add("held", "%s: %s", *v.Held, v.HeldWhy)
	}
	add("items", "%s %s", bar(v.done(), v.Items.Total), v.proven())
	if rest := v.rest(); rest != "" {
		add("", "%s", rest)
	}
	v.addPace(add)
	v.addVerdict(add)
	if r := v.Revocation; r != nil {
		add("revoked", "%d of %s looked at: %d old tokens dead, %d still answer; %d new tokens live, %d broke",
			r.OldDead+r.OldAlive, plural(r.Planned, "shop"), r.OldDead, r.OldAlive, r.NewAlive, r.NewDead)
	}
	v.addMigration(add)
	if words := v.Deliveries.words(v.At); words != "" {
		add("app", "%s", words)
	}
	v.addLists(add)
	if v.Next.Command != "" {
		add("next", "%s", v.Next.Command)
		add("", "%s", v.why())
	} else {
		add("next", "nothing to do: %s", v.why())
	}
	return b.String()
}

func (v statusView) since() *time.Time {
	if v.EndedAt != nil {
		return v.EndedAt
	}
	return &v.StartedAt
}

func (v statusView) addPace(add func(string, string, ...any)) {
	if v.paced() && v.State == runOpen {
		add("rate", "%s", v.speed())
	}
	if v.State == runOpen && v.Window.ExpiresAt != nil && !v.Phase.Before(rotation.PhaseArmed) && v.Phase.Before(rotation.PhaseProven) {
		add("window", "%s, until %s", v.windowLeft(), moment(v.Window.ExpiresAt))
	}
	if e := v.ETA; e.P50 != nil {
		fits := ", fits the window"
		if e.FitsWindow == nil {
			fits = ""
		} else if !*e.FitsWindow {
			fits = fmt.Sprintf(", does not fit the window: raise what limits the speed (%s) or have another refresh token ready", v.words.command("rotator rotation tune"))
		}
		add("eta", "%s to %s%s", moment(e.P50), moment(e.P90), fits)
	}
	if v.Burn != nil {
		add("burn", "%s", v.Burn.Words())
	}
}

func (v statusView) addLists(add func(string, string, ...any)) {
	for i, c := range v.Gate {
		mark := "[ ]"
		if c.Met {
			mark = "[x]"
		}
		add(first(i, "gate"), "%s %s: %s", mark, c.Name, c.Evidence)
	}
	if len(v.Waves) > 0 && (v.Phase.Before(rotation.PhaseProven) || v.Phase == rotation.PhaseCutover) {
		add("waves", "%s", v.waves())
	}
	for i, item := range v.Worst {
		add(first(i, "worst"), "%s", worstWords(item))
	}
	for i, w := range v.Workers {
		add(first(i, "workers"), "%s pid %d: %s", w.Host, w.PID,
			speed(w.ShopsPerS, w.InFlight, w.Limit, w.ThrottledBy))
	}
	switch {
	case v.State != runOpen:
	case len(v.Workers) == 0:
		add("workers", "none is alive")
	case len(v.Workers) > v.Rate.Cap && v.Rate.Cap > 0:
		add("", "each makes a call at least: up to %d in flight for a cap of %d; stop some for fewer", len(v.Workers), v.Rate.Cap)
	}
}

// first is the name for the first line of a list only.
func first(i int, name string) string {
	if i > 0 {
		return ""
	}
	return name
}

// waves tells how far each wave is.
func (v statusView) waves() string {
	words := make([]string, len(v.Waves))
	for i, w := range v.Waves {
		words[i] = fmt.Sprintf("%s %d/%d", w.Name, w.Items.Settled(), w.Items.Total)
		switch {
		case !w.Released:
			words[i] += " not released"
		case w.Settled && w.Failed > 0:
			words[i] += fmt.Sprintf(" settled, %d failed", w.Failed)
		case w.Settled:
			words[i] += " settled"
		}
	}
	return strings.Join(words, "; ")
}

func (v statusView) proven() string {
	if v.Items.Total == 0 {
		return "no shop is in the run yet"
	}
	if v.deriving() {
		return fmt.Sprintf("%d/%d derived", v.Items.Exchanged, v.Items.Total)
	}
	return fmt.Sprintf("%d/%d proven", v.Items.Proven, v.Items.Total)
}

// rest counts the items that are not proven, by state.
func (v statusView) rest() string {
	c := v.Items
	var words []string
	for _, part := range []struct {
		n     int
		state rotation.ItemState
	}{
		{c.Pending, rotation.ItemPending},
		{c.Claimed, rotation.ItemClaimed},
		{v.unproven(), rotation.ItemExchanged},
		{c.Retrying, rotation.ItemRetrying},
		{c.Unknown, rotation.ItemUnknown},
		{c.Parked, rotation.ItemParked},
		{c.Skipped, rotation.ItemSkipped},
		{c.Waived, rotation.ItemWaived},
	} {
		if part.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", part.n, v.stateWord(part.state)))
		}
	}
	return strings.Join(words, ", ")
}

func (v statusView) speed() string {
	limit := v.Rate.Limit
	if v.Rate.Cap > 0 && v.Rate.InFlight <= v.Rate.Cap { // else they make calls of other apps' runs
		limit = min(limit, v.Rate.Cap)
	}
	text := speed(v.Rate.ShopsPerS, v.Rate.InFlight, limit, v.Rate.ThrottledBy)
	if v.Rate.CallsPerS > 0 {
		text += ", at most " + describeRate(v.Rate.CallsPerS)
	}
	return text
}

func speed(shopsPerS float64, inflight, limit int, by string) string {
	text := fmt.Sprintf("%.1f shops/s, in flight %d/%d", shopsPerS, inflight, limit)
	if by != "" {
		text += " (" + by + ")"
	}
	return text
}

func (v statusView) windowLeft() string {
	switch {
	case v.Window.Refused:
		return "refused by the platform"
	case v.Window.SecondsLeft <= 0:
		return "over"
	}
	return span(time.Duration(v.Window.SecondsLeft*float64(time.Second))) + " left"
}

// Line is the status on one line, for logs. at is written in its own zone.
func (v statusView) Line(at time.Time) string {
	stands := string(v.Phase)
	switch {
	case v.State == runCancelled:
		stands += " cancelled"
	case v.Held != nil:
		stands += fmt.Sprintf(" held (%s)", *v.Held)
	}
	words := []string{fmt.Sprintf("%s %s %s", at.Format(time.TimeOnly), stands, v.proven())}
	for _, part := range []struct {
		n     int
		state rotation.ItemState
	}{
		{v.Items.Retrying, rotation.ItemRetrying},
		{v.Items.Unknown, rotation.ItemUnknown},
		{v.Items.Parked, rotation.ItemParked},
		{v.Items.Skipped, rotation.ItemSkipped},
	} {
		if part.n > 0 {
			words = append(words, fmt.Sprintf("%d %s", part.n, part.state))
		}
	}
	if m := v.Migration; m != nil && v.Phase == rotation.PhaseDerived && m.CheckPlanned > 0 {
		words = append(words, fmt.Sprintf("%d/%d checked", m.CheckDone, m.CheckPlanned))
	}
	if v.wantsWorker() {
		words = append(words, fmt.Sprintf("no worker is alive: run `%s`", v.Next.Command))
	}
	if v.paced() && v.State == runOpen {
		if !v.wantsWorker() {
			words = append(words, v.speed())
		}
		if v.Window.ExpiresAt != nil {
			words = append(words, "window "+strings.TrimSuffix(v.windowLeft(), " left"))
		}
		if v.ETA.P50 != nil {
			words = append(words, "eta "+v.ETA.P50.In(at.Location()).Format("15:04")+"–"+v.ETA.P90.In(at.Location()).Format("15:04"))
		}
	}
	if v.Burn != nil && v.Burn.Behind {
		words = append(words, "behind: "+v.Burn.Words())
	}
	if n := v.Deliveries.Pending + v.Deliveries.Failing; n > 0 {
		words = append(words, fmt.Sprintf("%d not acknowledged by the app", n))
	}
	if r := v.Revocation; r != nil && (v.Phase == rotation.PhaseRevoked || !r.Done()) {
		words = append(words, fmt.Sprintf("%d/%d checked after the revoke", r.OldDead+r.OldAlive, r.Planned))
	}
	return printable(strings.Join(words, ", "))
}

// barWidth is the length of a bar, without its brackets.
const barWidth = 24

// bar shows a share; it is full only when all is done.
func bar(done, of int) string {
	n := 0
	if of > 0 {
		n = min(barWidth, done*barWidth/of)
	}
	return "[" + strings.Repeat("#", n) + strings.Repeat(".", barWidth-n) + "]"
}

// span is a duration in whole seconds.
func span(d time.Duration) string { return max(0, d).Round(time.Second).String() }

// wrap breaks text at blanks into lines of at most width characters; a longer
// word is broken anywhere. A width that is not positive leaves it whole.
func wrap(text string, width int) []string {
	var lines []string
	left := []rune(text)
	for width > 0 && len(left) > width {
		at := width
		for at > 0 && left[at] != ' ' {
			at--
		}
		if at == 0 {
			lines, left = append(lines, string(left[:width])), left[width:]
			continue
		}
		lines, left = append(lines, string(left[:at])), left[at+1:]
	}
	return append(lines, string(left))
}

// cut shortens a line to a width in characters.
func cut(line string, width int) string {
	if runes := []rune(line); width > 0 && len(runes) > width {
		return string(runes[:max(0, width-1)]) + "…"
	}
	return line
}
