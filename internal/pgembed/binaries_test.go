package pgembed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// fakeBinaries makes a folder with programs that only know their version.
func fakeBinaries(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	script := fmt.Sprintf("#!/bin/sh\necho 'postgres (PostgreSQL) %s (some build)'\n", version)
	for _, name := range []string{"initdb", "postgres", "pg_ctl"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(script), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

func TestSearchBinariesPrefersTheNewest(t *testing.T) {
	t.Parallel()
	old, nine, ten, beta := fakeBinaries(t, "13.21"), fakeBinaries(t, "16.9"), fakeBinaries(t, "16.10"), fakeBinaries(t, "15beta2")
	twin := fakeBinaries(t, "16.10")
	noInitdb := fakeBinaries(t, "17.1")
	if err := os.Remove(filepath.Join(noInitdb, "initdb")); err != nil {
		t.Fatal(err)
	}
	notExecutable := fakeBinaries(t, "17.2")
	if err := os.Chmod(filepath.Join(notExecutable, "pg_ctl"), 0o644); err != nil {
		t.Fatal(err)
	}
	broken := fakeBinaries(t, "of your dreams")

	got, err := searchBinaries([]string{"", "relative", old, beta, nine, broken, ten, noInitdb, notExecutable, ten, twin, "/nowhere"})
	want := []Binaries{{ten, "16.10", 16}, {twin, "16.10", 16}, {nine, "16.9", 16}, {beta, "15beta2", 15}}
	if diff := cmp.Diff(want, got); diff != "" || err != nil {
		t.Errorf("found (-want +got):\n%s%v", diff, err)
	}

	// Whoever has one that is too old is not told that there is none.
	_, err = searchBinaries([]string{old, broken, noInitdb, notExecutable, "/nowhere"})
	wantText(t, err, ErrNoBinaries.Error(), "13.21 in "+old+": too old", broken, notExecutable+"/pg_ctl is not a program")
	if !errors.Is(err, ErrNoBinaries) || strings.Contains(err.Error(), noInitdb) {
		t.Errorf("nothing of use: %v", err)
	}
	if _, err := searchBinaries([]string{noInitdb, "/nowhere"}); err != ErrNoBinaries {
		t.Errorf("nothing there: %v", err)
	}
}

func TestChooseBinaries(t *testing.T) {
	t.Parallel()
	sixteen, old := fakeBinaries(t, "16.9"), fakeBinaries(t, "13.21")
	if b, err := chooseBinaries(sixteen, "/data", 16); err != nil || b.Dir != sixteen {
		t.Errorf("chosen %+v, %v", b, err)
	}
	_, err := chooseBinaries(sixteen, "/data", 14)
	wantText(t, err, "/data", "made by PostgreSQL 14", "16.9", sixteen)
	_, err = chooseBinaries(old, "/data", 0)
	wantText(t, err, "13.21", "too old", "14 or newer")
}

func TestErrNoBinariesNamesThreeWaysOut(t *testing.T) {
	t.Parallel()
	wantText(t, ErrNoBinaries, "apt install postgresql", "dnf install postgresql-server", "brew install postgresql",
		"docker compose up -d", "DATABASE_URL")
}

func TestParseVersion(t *testing.T) {
	t.Parallel()
	tests := []struct {
		out, version string
		major        int
	}{
		{"postgres (PostgreSQL) 15.4 (Debian 15.4-1.pgdg120+1)\n", "15.4", 15},
		{"postgres (PostgreSQL) 14.0\n", "14.0", 14},
		{"postgres (PostgreSQL) 17beta1", "17beta1", 17},
		{"postgres (PostgreSQL) 9.6.24", "9.6.24", 9},
		{"initdb: command not found", "", 0},
		{"", "", 0},
		{"postgres (PostgreSQL) devel", "", 0},
	}
	for _, tt := range tests {
		version, major, err := parseVersion(tt.out)
		if version != tt.version || major != tt.major || (err == nil) != (tt.major != 0) {
			t.Errorf("parseVersion(%q) = %q, %d, %v", tt.out, version, major, err)
		}
	}
}

func TestServerEnvironHoldsNoSecrets(t *testing.T) {
	t.Parallel()
	got := serverEnviron([]string{
		"PATH=/bin", "HOME=/root", "DATABASE_URL=postgres://u:planted@h", "PGPASSWORD=planted", "PGPORT=1",
		"ROTATOR_KEYRING=/k", "LC_ALL=vi_VN", "AWS_SECRET_ACCESS_KEY=planted", "LD_LIBRARY_PATH=/opt",
	})
	if diff := cmp.Diff([]string{"LC_ALL=C", "TZ=UTC", "PATH=/bin", "LD_LIBRARY_PATH=/opt"}, got); diff != "" {
		t.Errorf("environment (-want +got):\n%s", diff)
	}
}

func FuzzParsePIDFile(f *testing.F) {
	f.Add("4711\n/data\n1763800000\n5432\n/data/run\n\n  1234  5678\nready   \n")
	f.Add("4711\n")
	f.Add("-4711\n/data\n")
	f.Add("")
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parsePIDFile(s)
		if err == nil && p.pid <= 1 {
			t.Errorf("parsePIDFile(%q) gives process %d, which must never be signalled", s, p.pid)
		}
		if strings.ContainsAny(p.socketDir+p.status, "\n") {
			t.Errorf("parsePIDFile(%q) = %+v", s, p)
		}
	})
}

func TestParsePIDFile(t *testing.T) {
	t.Parallel()
	p, err := parsePIDFile("4711\n/data\n1763800000\n5432\n/data/run\n\n  1234  5678\nready   \n")
	if err != nil || p.pid != 4711 || p.socketDir != "/data/run" || p.status != "ready" || p.startedAt.Unix() != 1763800000 {
		t.Errorf("whole file: %+v, %v", p, err)
	}
	p, err = parsePIDFile("4711\n/data\n")
	if err != nil || p.pid != 4711 || p.status != "" || !p.startedAt.IsZero() {
		t.Errorf("beginning of a file: %+v, %v", p, err)
	}
	for _, s := range []string{"", "x\n", "0\n", "1\n", "-1\n"} {
		if p, err := parsePIDFile(s); err == nil {
			t.Errorf("parsePIDFile(%q) = %+v, want an error", s, p)
		}
	}
}
