package house_test

import (
	"cmp"
	"encoding/json"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	gocmp "github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/config"
)

// documents are the files that claim something about the program.
func documents(t *testing.T) []string {
	t.Helper()
	var all []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && (d.Name() == ".git" || d.Name() == "testdata"):
			return filepath.SkipDir
		case filepath.Ext(path) == ".md":
			name, err := filepath.Rel(root, path)
			all = append(all, filepath.ToSlash(name))
			return err
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, must := range []string{"README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/design.md", "runbooks/README.md"} {
		if !slices.Contains(all, must) {
			t.Errorf("there is no %s", must)
		}
	}
	return all
}

func TestCommandsInDocumentsExist(t *testing.T) {
	t.Parallel()
	h := readHelp(t)
	seen := 0
	for _, name := range append(documents(t), "docker-compose.yml", "Makefile") {
		text := read(t, name)
		if filepath.Ext(name) != ".md" {
			text = "```\n" + text + "```"
		}
		for _, line := range mentions(text) {
			seen++
			if m := h.mistake(line); m != "" {
				t.Errorf("%s: rotator %s: %s", name, strings.TrimSpace(line), m)
			}
		}
	}
	if seen < 50 {
		t.Errorf("only %d commands found in the documents: the search is broken", seen)
	}
}

var row = regexp.MustCompile("(?m)^\\| `?([A-Z_]+|[0-9]+)`? \\| (.*) \\|$")

// table reads the table under a heading of README.md, by its first column.
func table(t *testing.T, heading string) map[string]string {
	t.Helper()
	_, section, ok := strings.Cut(read(t, "README.md"), "\n## "+heading+"\n")
	if !ok {
		t.Fatalf("README.md has no section %q", heading)
	}
	section, _, _ = strings.Cut(section, "\n## ")
	cells := map[string]string{}
	for _, m := range row.FindAllStringSubmatch(section, -1) {
		cells[m[1]] = strings.ReplaceAll(m[2], "`", "")
	}
	return cells
}

// TestReadmeNamesEveryCommand leaves out the help topics and the nouns.
func TestReadmeNamesEveryCommand(t *testing.T) {
	t.Parallel()
	h := readHelp(t)
	_, section, _ := strings.Cut(read(t, "README.md"), "\n## Commands\n")
	section, _, _ = strings.Cut(section, "\n## ")
	for command := range h {
		if command == "" || command == "environment" || command == "exit-codes" || h.noun(command) {
			continue
		}
		if !strings.Contains(section, "`rotator "+command+"`") {
			t.Errorf("README.md does not list rotator %s", command)
		}
	}
}

func TestExitCodesInReadme(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^ +([0-9]+) +(.+)$`).FindAllStringSubmatch(readHelp(t)["exit-codes"], -1) {
		want[m[1]] = strings.TrimSpace(m[2])
	}
	if len(want) < 8 {
		t.Fatalf("the help shows %d exit codes: its form has changed", len(want))
	}
	if diff := gocmp.Diff(want, table(t, "Exit codes")); diff != "" {
		t.Errorf("exit codes in the program (-) and in README.md (+):\n%s", diff)
	}
}

func TestVariablesInReadme(t *testing.T) {
	t.Parallel()
	want := map[string]string{}
	for _, v := range config.Variables() {
		want[v.Name] = v.Meaning
		if v.Flag != "" {
			want[v.Name] += " (--" + v.Flag + ")"
		}
		want[v.Name] += " | " + cmp.Or(v.Default, "none")
	}
	if diff := gocmp.Diff(want, table(t, "Configuration")); diff != "" {
		t.Errorf("variables in the program (-) and in README.md (+):\n%s", diff)
	}
}

// A table that names a flag which no command has would be believed.
func TestFlagsOfVariablesExist(t *testing.T) {
	t.Parallel()
	h := readHelp(t)
	seen := 0
	for _, v := range config.Variables() {
		if v.Flag == "" {
			continue
		}
		seen++
		shown := regexp.MustCompile(`(?m)^ +--` + v.Flag + `[ \[].*\(` + v.Name + `\)$`)
		if !slices.ContainsFunc(slices.Collect(maps.Values(h)), shown.MatchString) {
			t.Errorf("%s is said to be set by --%s, which no command has", v.Name, v.Flag)
		}
	}
	if seen < 5 {
		t.Errorf("only %d flags found: the search is broken", seen)
	}
}

// A variable that no table knows would be refused by the program.
func TestVariablesElsewhere(t *testing.T) {
	t.Parallel()
	var known []string
	for _, v := range config.Variables() {
		known = append(known, v.Name)
	}
	for _, name := range append(documents(t), "docker-compose.yml", "Dockerfile", "Makefile") {
		for _, v := range regexp.MustCompile(`\bROTATOR_[A-Z_]+`).FindAllString(read(t, name), -1) {
			if !slices.Contains(known, v) {
				t.Errorf("%s: %s is not a variable of rotator", name, v)
			}
		}
	}
}

func TestLinksLead(t *testing.T) {
	t.Parallel()
	for _, name := range documents(t) {
		for _, m := range regexp.MustCompile(`\]\(([^)#]+)(?:#[^)]*)?\)`).FindAllStringSubmatch(read(t, name), -1) {
			if strings.Contains(m[1], "://") {
				continue
			}
			target := filepath.Join(root, filepath.Dir(name), m[1])
			if _, err := os.Stat(target); err != nil {
				t.Errorf("%s links to %s: %v", name, m[1], err)
			}
		}
	}
}

// goMod is what the go command knows of go.mod.
type goMod struct {
	Require []struct{ Path string }
	Tool    []struct{ Path string }
}

// TestDependenciesHaveReasons counts what is imported, not what go.mod marks:
// that is for `go mod tidy -diff`.
func TestDependenciesHaveReasons(t *testing.T) {
	t.Parallel()
	edit := exec.CommandContext(t.Context(), "go", "mod", "edit", "-json")
	edit.Dir = root
	out, err := edit.Output()
	if err != nil {
		t.Fatal(err)
	}
	var mod goMod
	if err := json.Unmarshal(out, &mod); err != nil {
		t.Fatal(err)
	}
	var want []string
	all := rooms(t)
	for _, r := range mod.Require {
		if imported(r.Path, mod, all) {
			want = append(want, r.Path)
		}
	}
	var have []string
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)` \\| \\S.* \\|$").FindAllStringSubmatch(read(t, "CONTRIBUTING.md"), -1) {
		have = append(have, m[1])
	}
	slices.Sort(want)
	slices.Sort(have)
	if diff := gocmp.Diff(want, have); diff != "" {
		t.Errorf("modules that are imported or a tool (-) and those with a reason in CONTRIBUTING.md (+):\n%s", diff)
	}
}

// imported reports whether a package of the module path is used here.
func imported(path string, mod goMod, all []room) bool {
	uses := func(p string) bool {
		best := ""
		for _, r := range mod.Require {
			if (p == r.Path || strings.HasPrefix(p, r.Path+"/")) && len(r.Path) > len(best) {
				best = r.Path
			}
		}
		return best == path
	}
	for _, tool := range mod.Tool {
		if uses(tool.Path) {
			return true
		}
	}
	for _, r := range all {
		if slices.ContainsFunc(slices.Concat(r.Imports, r.tests()), uses) {
			return true
		}
	}
	return false
}
