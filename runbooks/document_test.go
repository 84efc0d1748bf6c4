package runbooks_test

import (
	"fmt"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// document is what a Markdown file tells to do.
type document struct {
	title string
	steps []step
}

// step is one of: a command, a dashboard action, time that passes.
type step struct {
	line int
	// command is for the shell. terminal names the one that it runs in by
	// itself; "" is the operator's own.
	command, terminal string
	// expect are lines of the output, in order; … stands for anything.
	expect []string
	exit   int
	// dashboard is an action and its argument.
	dashboard []string
	meanwhile time.Duration
}

var (
	fence    = regexp.MustCompile("^```(\\S*)\\s*(.*)$")
	remark   = regexp.MustCompile(`^<!-- (dashboard|meanwhile): (.+) -->$`)
	exitLine = regexp.MustCompile(`^\[exit code (\d+)\]$`)
)

// parse reads a document. Languages other than console are prose.
func parse(text string) (document, error) {
	var d document
	language, terminal := "", ""
	lines := strings.Split(text, "\n")
	for i := 0; i < len(lines); i++ {
		line, number := lines[i], i+1
		fail := func(format string, args ...any) (document, error) {
			return document{}, fmt.Errorf("line %d: "+format, append([]any{number}, args...)...)
		}
		if m := fence.FindStringSubmatch(line); m != nil {
			if language != "" {
				language = ""
				continue
			}
			language, terminal = m[1], ""
			if language == "" {
				return fail("a fence without a language: write console, or sh for what is not run")
			}
			if m[2] != "" {
				name, ok := strings.CutPrefix(m[2], "terminal=")
				if !ok || language != "console" {
					return fail("%q is not understood", m[2])
				}
				terminal = name
			}
			continue
		}
		if language != "console" {
			if language != "" {
				continue
			}
			s, ok, err := parseRemark(line)
			if err != nil {
				return fail("%w", err)
			}
			if ok {
				s.line = number
				d.steps = append(d.steps, s)
			} else if title, ok := strings.CutPrefix(line, "# "); ok && d.title == "" {
				d.title = title
			}
			continue
		}
		if command, ok := strings.CutPrefix(line, "$ "); ok {
			for strings.HasSuffix(command, "\\") && i+1 < len(lines) {
				i++
				command += "\n" + lines[i]
			}
			d.steps = append(d.steps, step{line: number, command: command, terminal: terminal})
			continue
		}
		if len(d.steps) == 0 || d.steps[len(d.steps)-1].command == "" {
			return fail("output without a command")
		}
		last := &d.steps[len(d.steps)-1]
		if m := exitLine.FindStringSubmatch(line); m != nil {
			last.exit, _ = strconv.Atoi(m[1]) // digits only
		} else if line != "" && line != "…" {
			last.expect = append(last.expect, line)
		}
	}
	if language != "" {
		return document{}, fmt.Errorf("the last fence is not closed")
	}
	return d, nil
}

func parseRemark(line string) (step, bool, error) {
	if !strings.HasPrefix(line, "<!-- dashboard") && !strings.HasPrefix(line, "<!-- meanwhile") {
		return step{}, false, nil
	}
	m := remark.FindStringSubmatch(line)
	if m == nil {
		return step{}, false, fmt.Errorf("the remark %q is not understood", line)
	}
	if m[1] == "dashboard" {
		return step{dashboard: strings.Fields(m[2])}, true, nil
	}
	d, err := time.ParseDuration(m[2])
	return step{meanwhile: d}, true, err
}

// check says what is wrong with what a command did, "" if nothing is.
func (s step) check(exit int, output string) string {
	if exit != s.exit {
		return fmt.Sprintf("exit code %d, want %d", exit, s.exit)
	}
	rest := strings.Split(output, "\n")
next:
	for _, want := range s.expect {
		quoted := strings.ReplaceAll(regexp.QuoteMeta(strings.TrimSpace(want)), "…", ".*")
		pattern := regexp.MustCompile("^" + strings.ReplaceAll(quoted, " ", ` +`) + "$")
		for i, line := range rest {
			if pattern.MatchString(strings.TrimSpace(line)) {
				rest = rest[i+1:]
				continue next
			}
		}
		return fmt.Sprintf("no line (any more) like %q", want)
	}
	return ""
}
