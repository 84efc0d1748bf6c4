package runbooks_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestDocuments does what each document says, in the situation that it is for.
func TestDocuments(t *testing.T) {
	t.Parallel()
	binaries := build(t)
	for name, s := range situations {
		t.Run(filepath.Base(name), func(t *testing.T) {
			t.Parallel()
			text, err := os.ReadFile(name)
			if err != nil {
				t.Fatal(err)
			}
			d, err := parse(string(text))
			if err != nil {
				t.Fatalf("%s: %v", name, err)
			}
			commands := 0
			r := newRig(t, binaries, s)
			s.arrive(r)
			for _, step := range d.steps {
				if step.command != "" {
					commands++
				}
				r.do(name, step)
			}
			if commands == 0 {
				t.Fatalf("%s has no commands", name)
			}
			s.leave(r)
			r.noSecretShown()
		})
	}
}

// TestEveryRunbookIsRun holds the folder, its index and the situations together.
func TestEveryRunbookIsRun(t *testing.T) {
	t.Parallel()
	index, err := os.ReadFile("README.md")
	if err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob("*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range files {
		if name == "README.md" {
			continue
		}
		if _, ok := situations[name]; !ok {
			t.Errorf("%s has no situation: it is not run", name)
		}
		if !strings.Contains(string(index), "("+name+")") {
			t.Errorf("README.md does not list %s", name)
		}
	}
}

// TestRunbooksHaveOneForm: whoever is woken by an alert knows where to look.
func TestRunbooksHaveOneForm(t *testing.T) {
	t.Parallel()
	want := []string{"Symptom", "What it means", "Do this", "How to know it worked", "If not"}
	for name := range situations {
		if filepath.Dir(name) != "." {
			continue
		}
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var have []string
		for line := range strings.Lines(string(text)) {
			if heading, ok := strings.CutPrefix(line, "## "); ok {
				have = append(have, strings.TrimSpace(heading))
			}
		}
		if diff := cmp.Diff(want, have); diff != "" {
			t.Errorf("%s: headings (-want +got):\n%s", name, diff)
		}
	}
}
