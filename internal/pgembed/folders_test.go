package pgembed

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Not parallel: it sets the environment.
func TestDataDir(t *testing.T) {
	ordinary := "/home/an/.local/share/rotator"
	xdg := "/xdg/rotator"
	if os.Geteuid() == 0 {
		ordinary, xdg = "/var/lib/rotator", "/var/lib/rotator"
	}
	for _, tt := range []struct{ own, xdg, want string }{
		{"", "", ordinary},
		{"", "/xdg", xdg},
		{"", "relative", ordinary},
		{"/own", "/xdg", "/own"},
	} {
		t.Setenv("ROTATOR_DATA_DIR", tt.own)
		t.Setenv("XDG_DATA_HOME", tt.xdg)
		t.Setenv("HOME", "/home/an")
		got, err := DataDir()
		if err != nil || got != tt.want {
			t.Errorf("%+v: DataDir = %q, %v", tt, got, err)
		}
		if got, err := DefaultDir(); err != nil || got != filepath.Join(tt.want, "postgres") {
			t.Errorf("%+v: DefaultDir = %q, %v", tt, got, err)
		}
	}
}

func TestSocketFolderFits(t *testing.T) {
	t.Parallel()
	for _, dir := range []string{"/var/lib/rotator/postgres", "/" + strings.Repeat("a", 83), "/" + strings.Repeat("a", 84), "/" + strings.Repeat("a", 400)} {
		got := socketFolder(dir, 1000)
		if len(got)+len("/.s.PGSQL.5432") > 103 {
			t.Errorf("socket folder %q is too long", got)
		}
		if inside := strings.HasPrefix(got, dir+"/"); inside != (len(dir) <= 85) {
			t.Errorf("dir of %d bytes: socket folder %q", len(dir), got)
		}
	}
	if got := socketFolder("/srv/a,b", 1); strings.Contains(got, ",") {
		t.Errorf("socket folder %q has a comma", got)
	}
	if socketFolder(strings.Repeat("/a", 200), 1) == socketFolder(strings.Repeat("/a", 201), 1) {
		t.Error("two folders share a socket folder")
	}
}

func TestMakePrivateFolderTrustsNobody(t *testing.T) {
	t.Parallel()
	self := currentAccount()
	base := t.TempDir()
	open := filepath.Join(base, "open")
	must(t, os.Mkdir(open, 0o777))
	must(t, makePrivateFolder(open, self))
	if info, err := os.Stat(open); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("an open folder stays open: %v, %v", info.Mode(), err)
	}
	link := filepath.Join(base, "link")
	must(t, os.Symlink(open, link))
	wantText(t, makePrivateFolder(link, self), link+": it is a link and not a folder: remove it")
	file := filepath.Join(base, "file")
	must(t, os.WriteFile(file, nil, 0o600))
	wantText(t, makePrivateFolder(file, self), file+": not a folder: remove it")
	foreign := self
	foreign.uid += 7 // whoever has the folder, it is not this one
	if self.uid == 0 {
		must(t, os.Chown(open, 1, 1)) // what root itself has is handed over
	}
	wantText(t, makePrivateFolder(open, foreign), "it belongs to user id")
}

func TestSettingsFile(t *testing.T) {
	t.Parallel()
	got, err := settingsFile("/run/it's", map[string]string{"work_mem": "1MB", "a.b": "x"}, map[string]string{"Work_Mem": `2\'`})
	if err != nil {
		t.Fatal(err)
	}
	want := []string{
		`a.b = 'x'`, `listen_addresses = ''`, `logging_collector = 'off'`, `port = '5432'`, `ssl = 'off'`,
		`unix_socket_directories = '/run/it''s'`, `unix_socket_permissions = '0700'`, `work_mem = '2\\'''`,
	}
	lines := strings.Split(strings.TrimSpace(got), "\n")[1:]
	if diff := cmp.Diff(want, lines); diff != "" {
		t.Errorf("settings (-want +got):\n%s", diff)
	}
	for name, value := range map[string]string{
		"listen_addresses": "*", "PORT": "1", "hba_file": "/x", "unix_socket_directories": "/x", "data_directory": "/x",
		"a b": "1", "": "1", "a\nport": "1", "work_mem": "1\nport=1",
	} {
		if _, err := settingsFile("/run", map[string]string{name: value}); err == nil {
			t.Errorf("setting %q = %q is accepted", name, value)
		}
	}
}

func TestAdmissionNamesTheOwnerAndRoot(t *testing.T) {
	t.Parallel()
	_, ident := admission(`an "n"`)
	if want := "rotator root rotator\nrotator \"an \"\"n\"\"\" rotator\n"; ident != want {
		t.Errorf("map is %q, want %q", ident, want)
	}
	if _, ident := admission("root"); strings.Count(ident, "\n") != 1 {
		t.Errorf("map for root is %q", ident)
	}
}
