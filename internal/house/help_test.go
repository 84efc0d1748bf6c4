package house_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// help is what the program says of itself: the text of `rotator help COMMAND`
// by command, as cmd/rotator's own tests hold it against the program.
type help map[string]string

func readHelp(t *testing.T) help {
	t.Helper()
	h := help{}
	var at string
	for line := range strings.Lines(read(t, "cmd/rotator/testdata/help.golden")) {
		if command, ok := strings.CutPrefix(line, "$ rotator help"); ok {
			at = strings.TrimSpace(command)
			h[at] = ""
			continue
		}
		h[at] += line
	}
	if len(h) < 10 || h["exit-codes"] == "" {
		t.Fatalf("help.golden names %d commands: its form has changed", len(h))
	}
	return h
}

func read(t *testing.T, name string) string {
	t.Helper()
	data, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

// noun reports whether a command has verbs.
func (h help) noun(command string) bool {
	for c := range h {
		if strings.HasPrefix(c, command+" ") {
			return true
		}
	}
	return false
}

var (
	code    = regexp.MustCompile("(?s)```.*?```|`[^`]+`")
	mention = regexp.MustCompile(`(?:^|[\s"'/;(` + "`" + `])rotator ([a-z][^|;&` + "`" + `\n]*)`)
	word    = regexp.MustCompile(`^[a-z][a-z-]*$`)
	flag    = regexp.MustCompile(`--[a-z][a-z-]*`)
)

// mentions returns what follows "rotator " in the code of a document.
func mentions(text string) []string {
	var out []string
	for _, c := range code.FindAllString(text, -1) {
		c = strings.ReplaceAll(c, "\\\n", " ")
		for _, m := range mention.FindAllStringSubmatch(c, -1) {
			out = append(out, m[1])
		}
	}
	return out
}

// mistake says what is wrong with a command line, "" if nothing is.
func (h help) mistake(line string) string {
	command, fields := "", strings.Fields(line)
	if len(fields) > 1 && fields[0] == "help" {
		fields = fields[1:]
	}
	for len(fields) > 0 && word.MatchString(fields[0]) {
		longer := strings.TrimSpace(command + " " + fields[0])
		if _, ok := h[longer]; !ok {
			break
		}
		command, fields = longer, fields[1:]
	}
	switch {
	case command == "":
		return "there is no command " + fields[0]
	case h.noun(command) && len(fields) > 0 && word.MatchString(fields[0]):
		return command + " has no verb " + fields[0]
	}
	for _, f := range flag.FindAllString(strings.Join(fields, " "), -1) {
		if !regexp.MustCompile(regexp.QuoteMeta(f) + `\b[^-]`).MatchString(h[command]) {
			return command + " has no flag " + f
		}
	}
	return ""
}

func TestHelpSeesMistakes(t *testing.T) {
	t.Parallel()
	h := help{
		"": "", "shop": "", "version": "--json",
		"shop import": "  -h, --help\n      --skip-bad   store the good rows\n      --dry-run   look\n",
	}
	for line, want := range map[string]string{
		"shop import FILE --skip-bad --dry-run": "",
		"help shop import":                      "",
		"shop":                                  "",
		"help shop export":                      "shop has no verb export",
		"shop import --skip":                    "shop import has no flag --skip",
		"shop polish FILE":                      "shop has no verb polish",
		"frobnicate":                            "there is no command frobnicate",
	} {
		if got := h.mistake(line); got != want {
			t.Errorf("mistake(%q) = %q, want %q", line, got, want)
		}
	}
	got := mentions("say `rotator shop list`:\n```console\n$ cat x | rotator shop import - \\\n    --skip-bad | wc -l\n$ go run ./cmd/rotator demo\n```\nthe rotator itself")
	want := []string{"shop list", "shop import -      --skip-bad ", "demo"}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("mentions = %q, want %q", got, want)
	}
}
