package pgembed

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// OldestMajor is the oldest PostgreSQL that is used.
const OldestMajor = 14

// ErrNoBinaries means that this machine has no usable PostgreSQL server.
var ErrNoBinaries = errors.New(`no PostgreSQL server (14 or newer) found on this machine; choose one of three:
  1. install it:  apt install postgresql  |  dnf install postgresql-server  |  brew install postgresql
  2. run one in a container:  docker compose up -d, and set DATABASE_URL to it
  3. set DATABASE_URL to any PostgreSQL 14 or newer that you have`)

// Binaries is a folder with the programs of one PostgreSQL.
type Binaries struct {
	Dir     string // holds initdb, postgres and pg_ctl
	Version string // as the server says it, "15.4"
	Major   int
}

func (b Binaries) program(name string) string { return filepath.Join(b.Dir, name) }

// FindBinaries returns the newest PostgreSQL on this machine that is at least
// OldestMajor, looking at PATH, at what pg_config names, and at the usual
// folders of Debian, Red Hat and Homebrew. The error wraps ErrNoBinaries.
func FindBinaries() (Binaries, error) {
	found, err := searchBinaries(binaryFolders())
	if err != nil {
		return Binaries{}, err
	}
	return found[0], nil
}

// binaryFolders lists the folders where a server's programs may be.
func binaryFolders() []string {
	dirs := filepath.SplitList(os.Getenv("PATH"))
	if out, err := exec.Command("pg_config", "--bindir").Output(); err == nil {
		dirs = append(dirs, string(bytes.TrimSpace(out)))
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",         // Debian, Ubuntu
		"/usr/pgsql-*/bin",                  // Red Hat, PostgreSQL's own packages
		"/usr/libexec/postgresql*",          // Alpine
		"/opt/homebrew/opt/postgresql*/bin", // Homebrew on Apple silicon
		"/usr/local/opt/postgresql*/bin",    // Homebrew on Intel
		"/home/linuxbrew/.linuxbrew/opt/postgresql*/bin",
		"/usr/local/pgsql/bin", // built from source
	} {
		matches, _ := filepath.Glob(pattern) // fails on a bad pattern only
		dirs = append(dirs, matches...)
	}
	return dirs
}

// searchBinaries returns the usable ones of dirs, newest first; among equals
// the earlier folder. If there is none, its error wraps ErrNoBinaries and says
// what is wrong with those that are there.
func searchBinaries(dirs []string) ([]Binaries, error) {
	var found []Binaries
	var useless strings.Builder
	seen := map[string]bool{}
	for _, dir := range dirs {
		if !filepath.IsAbs(dir) || seen[dir] {
			continue // never run a program of the current folder
		}
		seen[dir] = true
		b, err := binariesIn(dir)
		switch {
		case err == nil:
			found = append(found, b)
		case !errors.Is(err, fs.ErrNotExist):
			useless.WriteString("\n  " + err.Error())
		}
	}
	switch {
	case len(found) > 0:
	case useless.Len() > 0:
		return nil, fmt.Errorf("%w\nwhat is there cannot be used:%s", ErrNoBinaries, &useless)
	default:
		return nil, ErrNoBinaries
	}
	slices.SortStableFunc(found, func(a, b Binaries) int {
		return compareVersions(b.Version, a.Version)
	})
	return found, nil
}

// binariesIn looks at one folder and says what it lacks.
func binariesIn(dir string) (Binaries, error) {
	b := Binaries{Dir: dir}
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		info, err := os.Stat(b.program(name))
		if err != nil {
			return Binaries{}, fmt.Errorf("look for PostgreSQL programs: %w", err)
		}
		if !info.Mode().IsRegular() || info.Mode().Perm()&0o111 == 0 {
			return Binaries{}, fmt.Errorf("look for PostgreSQL programs: %s is not a program", b.program(name))
		}
	}
	cmd := exec.Command(b.program("postgres"), "--version")
	cmd.Env = serverEnviron(os.Environ())
	out, err := cmd.Output()
	if err != nil {
		return Binaries{}, fmt.Errorf("ask %s for its version: %w", b.program("postgres"), err)
	}
	b.Version, b.Major, err = parseVersion(string(out))
	if err != nil {
		return Binaries{}, fmt.Errorf("ask %s for its version: %w", b.program("postgres"), err)
	}
	if b.Major < OldestMajor {
		return Binaries{}, fmt.Errorf("use PostgreSQL %s in %s: too old, %d or newer is needed", b.Version, dir, OldestMajor)
	}
	return b, nil
}

var versionPattern = regexp.MustCompile(`\(PostgreSQL\) ((\d{1,4})[^\s]*)`)

// parseVersion reads "postgres (PostgreSQL) 15.4 (Debian …)", also "17beta1".
func parseVersion(out string) (version string, major int, err error) {
	m := versionPattern.FindStringSubmatch(out)
	if m == nil {
		return "", 0, fmt.Errorf("parse version %q: no PostgreSQL version in it", firstLine(out))
	}
	major, err = strconv.Atoi(m[2])
	if err != nil {
		return "", 0, fmt.Errorf("parse version %q: %w", m[1], err)
	}
	return m[1], major, nil
}

var numberPattern = regexp.MustCompile(`\d+`)

// compareVersions orders by the numbers in a and b, "15.10" after "15.9".
func compareVersions(a, b string) int {
	numbers := func(s string) []int {
		var ns []int
		for _, digits := range numberPattern.FindAllString(s, -1) {
			n, _ := strconv.Atoi(digits) // out of range sorts as the largest
			ns = append(ns, n)
		}
		return ns
	}
	return slices.Compare(numbers(a), numbers(b))
}

// chooseBinaries picks what to start a cluster with: exactly the major version
// that made an existing data folder (0 for a new one), else the newest. Only
// folder is looked at unless it is "".
func chooseBinaries(folder, data string, major int) (Binaries, error) {
	var found []Binaries
	var err error
	if folder == "" {
		found, err = searchBinaries(binaryFolders())
	} else {
		found = make([]Binaries, 1)
		found[0], err = binariesIn(folder)
	}
	if err != nil {
		return Binaries{}, err
	}
	if major == 0 {
		return found[0], nil
	}
	i := slices.IndexFunc(found, func(b Binaries) bool { return b.Major == major })
	if i < 0 {
		return Binaries{}, fmt.Errorf("start PostgreSQL in %s: the folder was made by PostgreSQL %d, but this machine has %s (in %s): install PostgreSQL %d beside it, or move the data with pg_dump or pg_upgrade",
			data, major, found[0].Version, found[0].Dir, major)
	}
	return found[i], nil
}
