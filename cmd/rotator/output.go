package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/haravan-rotator/rotator/rotation"
)

// printJSON prints v as one line of JSON on stdout: one object, or one line of
// a list.
func (c *cli) printJSON(v any) error {
	text, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode the answer: %w", err)
	}
	return c.write(append(escaped(text), '\n'))
}

// escaped writes what could drive a terminal as JSON's escapes: encoding/json
// does so with the first 32 characters only.
func escaped(text []byte) []byte {
	if !bytes.ContainsFunc(text, unprintable) {
		return text
	}
	var out []byte
	for _, r := range string(text) {
		switch {
		case !unprintable(r):
			out = utf8.AppendRune(out, r)
		case r > 0xffff:
			high, low := utf16.EncodeRune(r)
			out = fmt.Appendf(out, `\u%04x\u%04x`, high, low)
		default:
			out = fmt.Appendf(out, `\u%04x`, r)
		}
	}
	return out
}

func unprintable(r rune) bool { return !unicode.IsPrint(r) }

// printf prints a part of the answer on stdout.
func (c *cli) printf(format string, args ...any) error {
	return c.write(fmt.Appendf(nil, format, args...))
}

func (c *cli) write(b []byte) error {
	c.came()
	if _, err := c.stdout.Write(b); err != nil {
		return fmt.Errorf("write the answer: %w", err)
	}
	return nil
}

// answer is stdout for what writes a long answer by itself.
type answer struct{ c *cli }

// Write implements io.Writer.
func (a answer) Write(b []byte) (int, error) {
	a.c.came()
	return a.c.stdout.Write(b)
}

// notef prints a line for a person on stderr. That nobody reads it is no error.
func (c *cli) notef(format string, args ...any) {
	c.came()
	c.linef(format, args...)
}

func (c *cli) linef(format string, args ...any) {
	_, _ = fmt.Fprintf(c.stderr, format+"\n", args...)
}

// printTable prints rows under a header, in columns. Cells are made printable.
func (c *cli) printTable(header []string, rows [][]string) error {
	var b strings.Builder
	w := tabwriter.NewWriter(&b, 0, 0, 2, ' ', 0)
	for _, row := range append([][]string{header}, rows...) {
		cells := make([]string, len(row))
		for i, cell := range row {
			cells[i] = printable(cell)
		}
		// Writing to a strings.Builder cannot fail.
		_, _ = fmt.Fprintln(w, strings.Join(cells, "\t"))
	}
	_ = w.Flush()
	for line := range strings.Lines(b.String()) {
		if err := c.printf("%s\n", strings.TrimRight(line, " \n")); err != nil {
			return err
		}
	}
	return nil
}

// fact is a line "name: value" of an answer.
type fact struct{ name, value string }

// printFacts prints facts with their values aligned; those without one are
// left out.
func (c *cli) printFacts(facts ...fact) error {
	width := 0
	for _, f := range facts {
		if f.value != "" {
			width = max(width, len(f.name)+1)
		}
	}
	for _, f := range facts {
		if f.value == "" {
			continue
		}
		if err := c.printf("%-*s  %s\n", width, f.name+":", printable(f.value)); err != nil {
			return err
		}
	}
	return nil
}

// printable replaces what could drive a terminal or break a line.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == '\t':
			return ' '
		case unicode.IsPrint(r):
			return r
		}
		return '·'
	}, s)
}

// inline is printable text on one line.
func inline(s string) string { return printable(strings.ReplaceAll(s, "\n", "; ")) }

// moment formats a time in UTC; "" for none.
func moment(t *time.Time) string {
	if t == nil || t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05Z")
}

// size formats bytes with binary units.
func size(bytes int64) string {
	const units = "KMGTPE"
	if bytes < 1024 {
		return fmt.Sprintf("%d B", bytes)
	}
	value, unit := float64(bytes)/1024, 0
	for value >= 1024 && unit < len(units)-1 {
		value /= 1024
		unit++
	}
	return fmt.Sprintf("%.1f %ciB", value, units[unit])
}

var plural, counted = rotation.Plural, rotation.Counted
