package main

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write testdata/help.golden anew")

// TestHelp keeps the text of every help page: it is part of the contract, and a
// change of it should be seen in review.
func TestHelp(t *testing.T) {
	t.Parallel()
	var all strings.Builder
	for _, path := range append([]string{""}, helpPages(newRoot(newCLI(nil, nil, nil, nil)), "")...) {
		got := runOnce(t.Context(), nil, "", append([]string{"help"}, strings.Fields(path)...)...)
		if got.code != exitDone || got.stderr != "" {
			t.Errorf("help %s: exit code %d: %s", path, got.code, got.stderr)
		}
		all.WriteString("$ rotator help " + path + "\n" + got.stdout + "\n")
	}
	const golden = "testdata/help.golden"
	if *update {
		if err := os.WriteFile(golden, []byte(all.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(golden)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(strings.Split(string(want), "\n"), strings.Split(all.String(), "\n")); diff != "" {
		t.Errorf("help differs from %s; if it is meant to, run: go test ./cmd/rotator -run TestHelp -update\n%s", golden, diff)
	}
}

// helpPages lists the paths of all commands below cmd but those of cobra.
func helpPages(cmd *cobra.Command, under string) []string {
	var paths []string
	for _, sub := range cmd.Commands() {
		if sub.Name() == "completion" {
			continue
		}
		path := strings.TrimSpace(under + " " + sub.Name())
		paths = append(append(paths, path), helpPages(sub, path)...)
	}
	return paths
}

func TestEveryCommandIsExplained(t *testing.T) {
	t.Parallel()
	root := newRoot(newCLI(nil, nil, nil, nil))
	for _, path := range helpPages(root, "") {
		cmd, _, err := root.Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		if cmd.Short == "" || cmd.Long == "" {
			t.Errorf("%s lacks Short or Long", path)
		}
		if cmd.Runnable() && !cmd.HasSubCommands() && cmd.Example == "" {
			t.Errorf("%s lacks an Example", path)
		}
		if strings.HasSuffix(cmd.Short, ".") {
			t.Errorf("%s: Short ends in a full stop", path)
		}
		for line := range strings.SplitSeq(cmd.Long, "\n") {
			if len([]rune(line)) > 100 {
				t.Errorf("%s: a line of Long is wider than 100: %q", path, line)
			}
		}
	}
}

// TestHelpNamesOnlyFlagsThatExist: a command that two nouns share takes its
// usage line and its examples from one of them.
func TestHelpNamesOnlyFlagsThatExist(t *testing.T) {
	t.Parallel()
	root := newRoot(newCLI(nil, nil, nil, nil))
	for _, path := range helpPages(root, "") {
		cmd, _, err := root.Find(strings.Fields(path))
		if err != nil {
			t.Fatal(err)
		}
		lines := strings.FieldsFunc(cmd.Example, func(r rune) bool { return r == '\n' || r == '|' })
		for _, line := range append(lines, cmd.UseLine()) {
			_, line, found := strings.Cut(" "+line, " rotator ")
			if !found {
				continue
			}
			words := strings.FieldsFunc(line, func(r rune) bool { return strings.ContainsRune(" []()|=", r) })
			at, _, err := root.Find(words)
			if err != nil {
				t.Errorf("%s: %q is no command line of ours: %v", path, line, err)
				continue
			}
			for _, word := range words {
				name, isFlag := strings.CutPrefix(word, "--")
				if isFlag && at.Flags().Lookup(name) == nil && at.InheritedFlags().Lookup(name) == nil {
					t.Errorf("%s: %q names the flag %s, which %s does not have", path, line, word, at.CommandPath())
				}
			}
		}
	}
}

// TestHelpFlagEqualsHelpCommand: both spellings give one page.
func TestHelpFlagEqualsHelpCommand(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"", "shop", "shop import"} {
		byCommand := runOnce(t.Context(), nil, "", append([]string{"help"}, strings.Fields(path)...)...)
		byFlag := runOnce(t.Context(), nil, "", append(strings.Fields(path), "--help")...)
		if diff := cmp.Diff(byCommand.stdout, byFlag.stdout); diff != "" || byFlag.code != exitDone {
			t.Errorf("%q: exit code %d\n%s", path, byFlag.code, diff)
		}
	}
}

func TestBrokenStdoutIsAnError(t *testing.T) {
	t.Parallel()
	var stderr bytes.Buffer
	code := run(t.Context(), []string{"version"}, nil, strings.NewReader(""), brokenPipe{}, &stderr)
	if code != exitFailed || !strings.Contains(stderr.String(), "write the answer") {
		t.Errorf("exit code %d: %s", code, stderr.String())
	}
}

type brokenPipe struct{}

func (brokenPipe) Write([]byte) (int, error) { return 0, os.ErrClosed }
