package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

func TestACommandIsGivenItsApp(t *testing.T) {
	t.Parallel()
	c := newCLI(nil, nil, nil, nil)
	words := appWords{"second", newRoot(c)}
	for text, want := range map[string]string{
		"rotator rotation resume":                             "rotator rotation resume --app second",
		`rotator rotation confirm webhooks_dual --note "HOW"`: `rotator rotation confirm webhooks_dual --note "HOW" --app second`,
		"rotator rotation confirm revoked --confirm second":   "rotator rotation confirm revoked --confirm second --app second",
		"rotator tokenmigration confirm cutover --app second": "rotator tokenmigration confirm cutover --app second",
		"rotator app set --deliver-url URL":                   "rotator app set --deliver-url URL --name second",
		"rotator app set --name second --scope SCOPE":         "rotator app set --name second --scope SCOPE",
		"rotator shop show a.myharavan.com":                   "rotator shop show a.myharavan.com --app second",
		"rotator worker":                                      "rotator worker",
		"rotator keyring verify COPY":                         "rotator keyring verify COPY",
		"rotator nonsense":                                    "rotator nonsense",
		"chmod 600 keyring.json":                              "chmod 600 keyring.json",
		"":                                                    "",
	} {
		if got := words.command(text); got != want {
			t.Errorf("%q became %q, want %q", text, got, want)
		}
		if got := (appWords{}).command(text); got != text {
			t.Errorf("%q of the only app became %q", text, got)
		}
	}
	const prose = "look at `rotator rotation report` and `psql`, then `rotator rotation waive DOMAIN --reason …`"
	const want = "look at `rotator rotation report --app second` and `psql`, then `rotator rotation waive DOMAIN --reason … --app second`"
	if got := words.text(prose); got != want {
		t.Errorf("%q, want %q", got, want)
	}
}

// The hint of an estimate beyond the window is one of status's own.
func TestAStatusThatDoesNotFitNamesTheApp(t *testing.T) {
	t.Parallel()
	at, fits := time.Now(), false
	st := runStatus{State: runOpen, Kind: rotation.KindRotation, Mode: rotation.ModePlanned, Phase: rotation.PhaseExchanging, ETA: statusETA{P50: &at, P90: &at, FitsWindow: &fits}}
	words := appWords{"second", newRoot(newCLI(nil, nil, nil, nil))}
	for want, st := range map[string]runStatus{"(rotator rotation tune)": st, "(rotator rotation tune --app second)": words.status(st)} {
		if got := (statusView{st}).Render(0); !strings.Contains(got, want) {
			t.Errorf("%s does not say %s", got, want)
		}
	}
}

// TestPrintedCommandsNameTheApp: of several apps, each command that next, status,
// check and a refusal print works as it is typed; of one, it stays bare.
func TestPrintedCommandsNameTheApp(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.ok("", "app", "set", "--name", "first", "--client-id", "one")
	r.ok("old", "secret", "add", "--file", "-")
	r.ok("new", "secret", "add", "--file", "-")
	r.ok("", "rotation", "start")
	r.ok("", "rotation", "pause", "--reason", "see `rotator rotation report`")
	const bare = "rotator rotation resume"
	commands := func(app ...string) []string {
		next := r.run("", append([]string{"rotation", "next", "--json"}, app...)...)
		status := r.run("", append([]string{"rotation", "status", "--json"}, app...)...)
		check := r.run("", append([]string{"check", "--sample", "0", "--json"}, app...)...)
		var n, s struct {
			Next struct{ Command, Why string }
		}
		var found checkResult
		must(t, json.Unmarshal([]byte(next.stdout), &n))
		must(t, json.Unmarshal([]byte(status.stdout), &s))
		must(t, json.Unmarshal([]byte(check.stdout), &found))
		said := []string{n.Next.Command, s.Next.Command}
		for _, f := range found.Findings {
			if f.App == "first" {
				said = append(said, f.Next)
			}
		}
		_, why, _ := strings.Cut(n.Next.Why, "`")
		why, _, _ = strings.Cut(why, "`")
		return append(said, strings.Replace(why, "report", "resume", 1))
	}
	refused := r.run("", "rotation", "pause").stderr
	wants := func(got []string, refused, want string) {
		t.Helper()
		if len(got) < 4 {
			t.Errorf("only %q was said", got)
		}
		for _, g := range got {
			if g != want {
				t.Errorf("%q, want %q", g, want)
			}
		}
		if !strings.Contains(refused, "next: "+want+":") {
			t.Errorf("refused with %q, want %q", refused, want)
		}
	}
	wants(commands(), refused, bare)
	r.ok("", "app", "set", "--name", "second", "--client-id", "two")
	wants(commands("--app", "first"), r.run("", "rotation", "pause", "--app", "first").stderr, bare+" --app first")
	if got := r.run("", "rotation", "start", "--app", "second"); !strings.Contains(got.stderr, "`rotator secret add --app second`") {
		t.Errorf("a refused start says %q", got.stderr)
	}
	r.ok("", strings.Fields(bare + " --app first")[1:]...)
}
