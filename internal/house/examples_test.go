package house_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// exampleUnits are the systemd units that documents tell people to install.
func exampleUnits(t *testing.T) []string {
	t.Helper()
	units, err := filepath.Glob(filepath.Join(root, "docs/examples/systemd/*"))
	if err != nil || len(units) < 7 {
		t.Fatalf("%d units, %v", len(units), err)
	}
	return units
}

// shellRun is the program in a line of shell; the crontab has it by PATH.
var shellRun = regexp.MustCompile(`(?:^|[\s'])(?:/usr/local/bin/)?rotator ([a-z][^|>']*)`)

func commandsIn(line string) (found []string) {
	for _, m := range shellRun.FindAllStringSubmatch(line, -1) {
		found = append(found, strings.TrimSpace(m[1]))
	}
	return found
}

func TestExampleCrontab(t *testing.T) {
	t.Parallel()
	h := readHelp(t)
	entry := regexp.MustCompile(`^(?:[0-9*/,-]+\s+){5}(\S.*)$`)
	seen := 0
	for line := range strings.Lines(read(t, "docs/examples/crontab")) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || regexp.MustCompile(`^[A-Z]+=`).MatchString(line) {
			continue
		}
		m := entry.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("cron would not take %q", line)
			continue
		}
		if strings.Contains(m[1], "%") {
			t.Errorf("cron takes %% for a line's end: %q", line)
		}
		commands := commandsIn(m[1])
		if len(commands) != 1 {
			t.Errorf("%q runs %q", line, commands)
			continue
		}
		seen++
		if mistake := h.mistake(commands[0]); mistake != "" {
			t.Errorf("rotator %s: %s", commands[0], mistake)
		}
	}
	if seen < 3 {
		t.Errorf("only %d commands found: the search is broken", seen)
	}
}

func TestExampleUnitsRunWhatExists(t *testing.T) {
	t.Parallel()
	h := readHelp(t)
	names := map[string]bool{}
	for _, path := range exampleUnits(t) {
		names[filepath.Base(path)] = true
	}
	for _, path := range exampleUnits(t) {
		name := filepath.Base(path)
		text := read(t, "docs/examples/systemd/"+name)
		if service, ok := strings.CutSuffix(name, ".timer"); ok {
			if !names[service+".service"] {
				t.Errorf("%s starts nothing", name)
			}
			continue
		}
		starts := regexp.MustCompile(`(?m)^ExecStart=(.*)$`).FindAllStringSubmatch(text, -1)
		if len(starts) != 1 {
			t.Errorf("%s starts %d commands", name, len(starts))
			continue
		}
		commands := commandsIn(" " + starts[0][1])
		if len(commands) != 1 {
			t.Errorf("%s runs %q", name, commands)
			continue
		}
		if mistake := h.mistake(commands[0]); mistake != "" {
			t.Errorf("%s: rotator %s: %s", name, commands[0], mistake)
		}
		for _, m := range regexp.MustCompile(`(?m)^OnFailure=(\S+@)\S+$`).FindAllStringSubmatch(text, -1) {
			if !names[m[1]+".service"] {
				t.Errorf("%s alerts by %s, which is not there", name, m[1])
			}
		}
	}
}

// TestSystemdTakesTheUnits has systemd read them, with a program that is there.
func TestSystemdTakesTheUnits(t *testing.T) {
	t.Parallel()
	verify, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	folder := t.TempDir()
	args := []string{"verify", "--man=no", "--recursive-errors=no"}
	for _, path := range exampleUnits(t) {
		name := filepath.Base(path)
		text := strings.ReplaceAll(read(t, "docs/examples/systemd/"+name), "/usr/local/bin/rotator", "/bin/true")
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		at := filepath.Join(folder, strings.Replace(name, "@.", "@test.", 1))
		if at != filepath.Join(folder, name) {
			if err := os.Symlink(name, at); err != nil {
				t.Fatal(err)
			}
		}
		args = append(args, at)
	}
	out, err := exec.CommandContext(t.Context(), verify, args...).CombinedOutput()
	// Only what it says of these units: it reads those of the machine, too.
	for line := range strings.Lines(string(out)) {
		if strings.Contains(line, "rotator-") {
			t.Errorf("systemd: %s", line)
		}
	}
	if err != nil {
		t.Logf("systemd-analyze: %v\n%s", err, out)
	}
}
