package runbooks_test

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := parse(strings.Join([]string{
		"# Title", "prose", "```sh", "$ not run", "```",
		"```console", "$ one \\", "  --more", "seen …", "…", "[exit code 3]", "$ two", "```",
		"<!-- dashboard: revoke-secret 1 -->", "<!-- meanwhile: 61m -->", "<!-- a remark -->",
		"```console terminal=worker", "$ rotator worker", "```",
	}, "\n"))
	if err != nil {
		t.Fatal(err)
	}
	want := document{title: "Title", steps: []step{
		{line: 7, command: "one \\\n  --more", expect: []string{"seen …"}, exit: 3},
		{line: 12, command: "two"},
		{line: 14, dashboard: []string{"revoke-secret", "1"}},
		{line: 15, meanwhile: 61 * time.Minute},
		{line: 18, command: "rotator worker", terminal: "worker"},
	}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(document{}, step{})); diff != "" {
		t.Errorf("steps (-want +got):\n%s", diff)
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for _, text := range []string{
		"```console\noutput\n```",
		"```\n$ no language\n```",
		"```console background\n$ x\n```",
		"```console\n$ open",
		"<!-- dashboard:revoke -->",
		"<!-- meanwhile: soon -->",
		"<!-- meanwhile: 1h -->\n```console\noutput\n```",
	} {
		if _, err := parse(text); err == nil {
			t.Errorf("parse(%q) is not refused", text)
		}
	}
}

func TestCheck(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		step   step
		exit   int
		output string
		fine   bool
	}{
		{"nothing wanted", step{}, 0, "anything\n", true},
		{"wrong exit code", step{exit: 3}, 0, "", false},
		{"failed", step{}, 1, "", false},
		{"in order", step{expect: []string{"a …", "c"}}, 0, "a  long way\nb\n  c\n", true},
		{"columns", step{expect: []string{"phase proven"}}, 0, "phase      proven\n", true},
		{"out of order", step{expect: []string{"c", "a"}}, 0, "a\nc\n", false},
		{"only a part of the line", step{expect: []string{"a"}}, 0, "ab\n", false},
		{"a line is used once", step{expect: []string{"a", "a"}}, 0, "a\n", false},
		{"not a pattern", step{expect: []string{"a.c"}}, 0, "abc\n", false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if got := tc.step.check(tc.exit, tc.output); (got == "") != tc.fine {
				t.Errorf("check = %q", got)
			}
		})
	}
}
