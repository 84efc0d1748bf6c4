package pgembed

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestAFailedStartShowsTheServersOwnWords(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	_, err := Open(t.Context(), Options{Dir: dir, Settings: map[string]string{"work_mem": "lots"}})
	wantText(t, err, dir, "the server gave up", `invalid value for parameter "work_mem": "lots"`)

	c := mustOpen(t, Options{Dir: dir}) // a better setting mends it
	must(t, c.StopServer(t.Context()))
	control := filepath.Join(dir, "data", "global", "pg_control")
	must(t, os.Rename(control, control+".away"))
	err = c.StartServer(t.Context())
	wantText(t, err, "the server gave up", "pg_control")
	if strings.Contains(err.Error(), "work_mem") {
		t.Errorf("the error shows lines of an earlier start:\n%v", err)
	}
	must(t, os.Rename(control+".away", control))
	must(t, c.StartServer(t.Context()))
}

func TestOpenRefusesWhatItCannotRun(t *testing.T) {
	t.Parallel()
	bin, err := FindBinaries()
	if err != nil {
		t.Fatal(err)
	}
	data := func(t *testing.T, version string) string {
		dir := filepath.Join(publicFolder(t), "postgres")
		must(t, os.MkdirAll(filepath.Join(dir, "data"), 0o711))
		if version != "" {
			must(t, os.WriteFile(filepath.Join(dir, "data", "PG_VERSION"), []byte(version), 0o644))
		}
		if os.Geteuid() == 0 {
			nobody := lookUp(t, "nobody")
			must(t, os.Chown(filepath.Join(dir, "data"), nobody.uid, nobody.gid))
		}
		return dir
	}
	tests := []struct {
		name string
		dir  func(t *testing.T) string
		o    Options
		want []string
	}{
		{
			"another major version", func(t *testing.T) string { return data(t, "9\n") },
			Options{},
			[]string{"made by PostgreSQL 9", bin.Version, "install PostgreSQL 9"},
		},
		{"no data in the data folder", func(t *testing.T) string { return data(t, "") }, Options{}, []string{"no PG_VERSION"}},
		{"a damaged version", func(t *testing.T) string { return data(t, "x") }, Options{}, []string{"PG_VERSION is not a number"}},
		{"a file in the way", func(t *testing.T) string {
			path := filepath.Join(publicFolder(t), "file")
			must(t, os.WriteFile(path, nil, 0o600))
			return filepath.Join(path, "postgres")
		}, Options{}, []string{"not a directory"}},
		{
			"listening on the network", func(t *testing.T) string { return durableFolder(t) },
			Options{Settings: map[string]string{"Listen_Addresses": "*"}},
			[]string{"Listen_Addresses", "leave it out"},
		},
		{
			"no programs in the folder", func(t *testing.T) string { return filepath.Join(publicFolder(t), "postgres") },
			Options{Binaries: "/nowhere"},
			[]string{"/nowhere/initdb"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			o := tt.o
			o.Dir = tt.dir(t)
			_, err := Open(t.Context(), o)
			wantText(t, err, tt.want...)
		})
	}
}

func TestOpenWithoutProgramsMakesNothing(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(publicFolder(t), "above", "postgres")
	if _, err := Open(t.Context(), Options{Dir: dir, Binaries: "/nowhere"}); err == nil {
		t.Fatal("Open without programs succeeded")
	}
	if exists(filepath.Dir(dir)) {
		t.Error("Open made a folder before it looked for programs")
	}
}

func TestMakeableMakesNothing(t *testing.T) {
	t.Parallel()
	base := publicFolder(t)
	dir := filepath.Join(base, "above", "postgres")
	must(t, Makeable(dir))
	if exists(filepath.Dir(dir)) {
		t.Error("looking made a folder")
	}
	file := filepath.Join(base, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	wantText(t, Makeable(filepath.Join(file, "postgres")), file, "not a directory")
}

func TestRootNeedsAFolderThatTheServerCanReach(t *testing.T) {
	t.Parallel()
	needRoot(t)
	closed := filepath.Join(publicFolder(t), "closed")
	must(t, os.Mkdir(closed, 0o700))
	_, err := Open(t.Context(), Options{Dir: filepath.Join(closed, "postgres")})
	wantText(t, err, "cannot pass through "+closed, "ROTATOR_DATA_DIR")
	wantText(t, Makeable(filepath.Join(closed, "data", "postgres")), "cannot pass through "+closed, "ROTATOR_DATA_DIR")
	_, err = Open(t.Context(), Options{Dir: filepath.Join(closed, "data", "postgres")})
	wantText(t, err, "cannot pass through "+closed, "ROTATOR_DATA_DIR")
	if exists(filepath.Join(closed, "data")) {
		t.Error("a folder was made where the server cannot come")
	}
	if info, err := os.Stat(closed); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("a folder that is not rotator's own was opened: %v, %v", info.Mode(), err)
	}

	notEmpty := filepath.Join(publicFolder(t), "postgres")
	must(t, os.Mkdir(notEmpty, 0o755))
	must(t, os.WriteFile(filepath.Join(notEmpty, "thesis"), nil, 0o600))
	_, err = Open(t.Context(), Options{Dir: notEmpty})
	wantText(t, err, "belongs to user id 0")
	wantText(t, Makeable(notEmpty), "belongs to user id 0")
	if info, err := os.Stat(notEmpty); err != nil || ownerOf(info) != 0 || info.Mode().Perm() != 0o755 {
		t.Error("a folder with content was given away")
	}
}

// As another user than the one whose database it is, trying again is of no use.
func TestAnothersFolderIsNotOnesOwn(t *testing.T) {
	t.Parallel()
	needRoot(t)
	closed := filepath.Join(publicFolder(t), "closed")
	must(t, os.MkdirAll(filepath.Join(closed, "postgres", "data"), 0o700))
	half := filepath.Join(publicFolder(t), "postgres")
	must(t, os.MkdirAll(filepath.Join(half, "data"), 0o755))
	must(t, os.WriteFile(filepath.Join(half, "data", "PG_VERSION"), []byte("15\n"), 0o600))
	for _, dir := range []string{filepath.Join(closed, "postgres"), half} {
		for _, role := range []string{"inspect", "stop"} {
			if role == "stop" && dir == half {
				continue // without a server it has nothing to read there
			}
			if f := cast(t, "nobody", role, dir).tells(t); !f.Folder || !strings.Contains(f.Err, "permission denied") {
				t.Errorf("%s %s: %+v", role, dir, f)
			}
		}
	}
}

// The data may be root's after a restore: then there is still nothing to stop.
func TestStoppingWhatDoesNotRunNeedsNoAccount(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := filepath.Join(publicFolder(t), "postgres")
	must(t, os.MkdirAll(filepath.Join(dir, "data"), 0o700))
	if err := Stop(t.Context(), dir); err != nil {
		t.Error(err)
	}
}

// Rotator's own data folder may be there already, closed, with the keyring.
func TestRootsOwnDataFolderIsOpenedForTheServer(t *testing.T) {
	t.Parallel()
	needRoot(t)
	own := filepath.Join(publicFolder(t), "own")
	must(t, os.Mkdir(own, 0o700))
	a := cast(t, "", "open-default", own)
	f := a.tells(t)
	defer func() { must(t, Stop(context.Background(), filepath.Join(own, "postgres"))) }()
	if f.Err != "" || f.Dir != filepath.Join(own, "postgres") {
		t.Fatalf("%+v", f)
	}
	info, err := os.Stat(own)
	must(t, err)
	if info.Mode().Perm() != 0o711 || ownerOf(info) != 0 {
		t.Errorf("data folder has mode %v and owner %d, want 0711 and root", info.Mode(), ownerOf(info))
	}
}

// Nor does a link to the cluster's folder hide that it is rotator's own.
func TestRootsOwnDataFolderIsKnownThroughLinks(t *testing.T) {
	t.Parallel()
	needRoot(t)
	base := publicFolder(t)
	own := filepath.Join(base, "own")
	must(t, os.MkdirAll(filepath.Join(own, "cluster"), 0o700))
	must(t, os.Symlink("cluster", filepath.Join(own, "postgres")))
	link := filepath.Join(base, "link")
	must(t, os.Symlink(own, link))
	f := cast(t, "", "open-default", link).tells(t)
	defer func() { must(t, Stop(context.Background(), filepath.Join(link, "postgres"))) }()
	if f.Err != "" || f.Dir != filepath.Join(own, "cluster") {
		t.Errorf("%+v", f)
	}
}

// A umask that closes new folders to others closes none to the server, and opens
// none that was there.
func TestRootsUmaskKeepsNoServerOut(t *testing.T) {
	t.Parallel()
	needRoot(t)
	base := publicFolder(t)
	there := filepath.Join(base, "there")
	must(t, os.Mkdir(there, 0o751))
	dir := filepath.Join(there, "new", "data", "postgres")
	a := cast(t, "", "open-masked", dir)
	f := a.tells(t)
	defer func() { must(t, Stop(context.Background(), dir)) }()
	if f.Err != "" {
		t.Fatal(f.Err)
	}
	for path, want := range map[string]os.FileMode{
		there: 0o751, filepath.Join(there, "new"): 0o711, filepath.Join(there, "new", "data"): 0o711, dir: 0o700,
	} {
		if info, err := os.Stat(path); err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v, want %v: %v", path, info.Mode(), want, err)
		}
	}
}

func TestWaitingForAnotherStarterEndsWithTheContextAndIsSaid(t *testing.T) {
	t.Parallel()
	dir := publicFolder(t)
	release, err := lockFolder(t.Context(), dir, newNotes(nil))
	must(t, err)
	defer release()
	ctx, cancel := context.WithCancel(t.Context())
	said := &closeOnWrite{cancel: cancel}
	if _, err := lockFolder(ctx, dir, newNotes(said)); err == nil {
		t.Fatal("two got the lock")
	}
	if !strings.Contains(said.String(), "waiting for another rotator") {
		t.Errorf("waiting said %q", said)
	}
}

// closeOnWrite ends a context at the first line it gets.
type closeOnWrite struct {
	bytes.Buffer
	cancel context.CancelFunc
}

func (c *closeOnWrite) Write(b []byte) (int, error) {
	defer c.cancel()
	return c.Buffer.Write(b)
}

func TestExplainLog(t *testing.T) {
	t.Parallel()
	if got := explainLog("  \n"); got != "" {
		t.Errorf("explainLog(nothing) = %q", got)
	}
	got := explainLog("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n" +
		`PANIC:  could not write to file "pg_wal/xlogtemp.31": No space left on device` + "\n")
	for _, part := range []string{"the disk is full", "xlogtemp.31", "\n  2\n"} {
		if !strings.Contains(got, part) {
			t.Errorf("explanation lacks %q:\n%s", part, got)
		}
	}
	if strings.Contains(got, "\n  1\n") {
		t.Errorf("explanation shows more than the last lines:\n%s", got)
	}
}
