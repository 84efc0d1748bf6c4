package house_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

func TestEveryRoomIsOnTheList(t *testing.T) {
	t.Parallel()
	var have []string
	for _, r := range rooms(t) {
		have = append(have, r.name)
	}
	want := slices.Concat(floors...)
	slices.Sort(have)
	slices.Sort(want)
	if diff := cmp.Diff(want, have); diff != "" {
		t.Errorf("rooms on the list (-) and in the repository (+); a new room goes to floors, docs/design.md and nowhere else:\n%s", diff)
	}
}

func TestImportsOnlyFall(t *testing.T) {
	t.Parallel()
	for _, r := range rooms(t) {
		for _, mistake := range mistakes(r) {
			t.Error(mistake)
		}
	}
}

// mistakes names what a room may not import.
func mistakes(r room) []string {
	var out []string
	report := func(format string, args ...any) {
		out = append(out, r.name+" imports "+fmt.Sprintf(format, args...))
	}
	for _, path := range r.Imports {
		other := within(path)
		if other == "" {
			if users, ok := usersOf(path); ok && !slices.Contains(users, r.name) {
				report("%s, which is only for %v", path, users)
			}
			continue
		}
		if floor(other) >= floor(r.name) {
			report("%s, which is not on a lower floor", other)
		}
		if users, ok := reserved[other]; ok && !slices.Contains(users, r.name) {
			report("%s, which is only for tests and %v", other, users)
		}
	}
	for _, path := range slices.Concat(r.Imports, r.tests()) {
		if slices.Contains(strangers[r.name], within(path)) {
			report("%s, and they must not know each other", within(path))
		}
	}
	return out
}

// usersOf returns the rooms that may use a package of another module.
func usersOf(path string) (users []string, limited bool) {
	for prefix, rooms := range outside {
		if strings.HasPrefix(path, prefix) {
			return rooms, true
		}
	}
	return nil, false
}

func TestMistakesAreSeen(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name string
		room room
		want string
	}{
		{"rising", room{name: "store", Imports: []string{module + "/jobs"}}, "store imports jobs, which is not on a lower floor"},
		{"level", room{name: "jobs", Imports: []string{module + "/operate"}}, "jobs imports operate, which is not on a lower floor"},
		{"unlisted", room{name: "attic", Imports: []string{module + "/store"}}, "attic imports store, which is not on a lower floor"},
		{"reserved", room{name: "jobs", Imports: []string{module + "/internal/config"}}, "jobs imports internal/config, which is only for tests and [cmd/rotator]"},
		{"outside", room{name: "store", Imports: []string{"github.com/riverqueue/river/rivertype"}}, "store imports github.com/riverqueue/river/rivertype, which is only for [jobs migrations cmd/rotator bench]"},
		{"stranger in a test", room{name: "haravan/haravansim", XTestImports: []string{module + "/haravan"}}, "haravan/haravansim imports haravan, and they must not know each other"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			if diff := cmp.Diff([]string{tc.want}, mistakes(tc.room)); diff != "" {
				t.Errorf("mistakes (-want +got):\n%s", diff)
			}
		})
	}
	if got := mistakes(room{name: "store", Imports: []string{"time", module + "/rotation"}, XTestImports: []string{module + "/store/storetest"}}); got != nil {
		t.Errorf("a falling import is taken for a mistake: %v", got)
	}
}

// A rule with a clock or a socket of its own could not be tested as a table.
func TestRulesDoNoIO(t *testing.T) {
	t.Parallel()
	for _, r := range rooms(t) {
		if r.name != "rotation" {
			continue
		}
		for _, path := range r.Imports {
			for _, forbidden := range []string{"os", "net", "net/http", "io", "database/sql", "log", "log/slog", "math/rand", "math/rand/v2", "context"} {
				if path == forbidden {
					t.Errorf("rotation imports %s: rules are pure", path)
				}
			}
		}
		for _, call := range clockCalls(t, r.Dir) {
			t.Errorf("%s: rules take the time that they need as an argument", call)
		}
		return
	}
	t.Fatal("there is no room rotation")
}

// clockCalls names where the files of a package, tests aside, ask for the time.
func clockCalls(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("find the files of %s: %d, %v", dir, len(files), err)
	}
	var calls []string
	fset := token.NewFileSet()
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(fset, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			sel, ok := n.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			if pkg, ok := sel.X.(*ast.Ident); ok && pkg.Name == "time" &&
				slices.Contains([]string{"Now", "Since", "Until", "After", "Sleep", "Tick", "NewTimer", "NewTicker", "AfterFunc"}, sel.Sel.Name) {
				calls = append(calls, fmt.Sprintf("%s calls time.%s", fset.Position(sel.Pos()), sel.Sel.Name))
			}
			return true
		})
	}
	return calls
}
