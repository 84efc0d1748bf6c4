package house_test

import (
	"encoding/json"
	"errors"
	"io"
	"os/exec"
	"slices"
	"strings"
	"testing"
)

// root is the repository as seen from this package's folder.
const root = "../.."

const module = "github.com/haravan-rotator/rotator"

// floors are the rooms from the ground up. A room imports lower floors only, so
// two rooms on one floor never import each other.
var floors = [][]string{
	{"internal/secret", "internal/shopdomain", "internal/outbound", "internal/pgembed", "internal/house", "migrations", "rotation", "runbooks", "haravan/haravansim"},
	{"internal/shopfile", "internal/config", "internal/deliver"},
	{"store", "haravan"},
	{"jobs", "operate", "store/storetest"},
	{"cmd/rotator", "bench"},
}

// reserved rooms are imported, outside of tests, by the named rooms only.
var reserved = map[string][]string{
	"haravan/haravansim": {"cmd/rotator", "bench"},
	"internal/pgembed":   {"cmd/rotator", "bench", "store/storetest"},
	"internal/config":    {"cmd/rotator"},
	"internal/deliver":   {"cmd/rotator", "jobs"},
	"store/storetest":    {},
	"internal/house":     {},
	"runbooks":           {},
}

// strangers are rooms that not even a test may bring together.
var strangers = map[string][]string{
	"haravan/haravansim": {"haravan", "store", "jobs", "rotation"},
	"store":              {"haravan", "haravan/haravansim"},
	"haravan":            {"store", "migrations"},
	"rotation":           {"store", "haravan", "haravan/haravansim"},
}

// outside maps other people's modules to the only rooms that use them.
var outside = map[string][]string{
	"github.com/tink-crypto/tink-go/": {"internal/secret"},
	"github.com/riverqueue/river":     {"jobs", "migrations", "cmd/rotator", "bench"},
	"github.com/jackc/tern/":          {"migrations"},
	"github.com/spf13/":               {"cmd/rotator"},
	"charm.land/":                     {"cmd/rotator"},
	"golang.org/x/term":               {"cmd/rotator"},
	"github.com/jackc/pgx/":           {"store", "store/storetest", "migrations", "jobs", "internal/config", "internal/pgembed", "cmd/rotator", "bench"},
}

// room is one package as the go command sees it.
type room struct {
	name         string
	Dir          string
	ImportPath   string
	Imports      []string
	TestImports  []string
	XTestImports []string
}

func (r room) tests() []string { return slices.Concat(r.TestImports, r.XTestImports) }

// rooms lists the packages of this module.
func rooms(t *testing.T) []room {
	t.Helper()
	list := exec.CommandContext(t.Context(), "go", "list", "-json=Dir,ImportPath,Imports,TestImports,XTestImports", "./...")
	list.Dir = root
	out, err := list.Output()
	if err != nil {
		t.Fatalf("list the packages: %v", err)
	}
	var all []room
	for dec := json.NewDecoder(strings.NewReader(string(out))); ; {
		var r room
		if err := dec.Decode(&r); errors.Is(err, io.EOF) {
			return all
		} else if err != nil {
			t.Fatalf("read the list of packages: %v", err)
		}
		r.name = within(r.ImportPath)
		all = append(all, r)
	}
}

// within returns the room of an import path, "" if it is not of this module.
func within(path string) string {
	name, ok := strings.CutPrefix(path, module+"/")
	if !ok {
		return ""
	}
	return name
}

// floor is -1 for a room that is not on the list.
func floor(name string) int {
	return slices.IndexFunc(floors, func(f []string) bool { return slices.Contains(f, name) })
}
