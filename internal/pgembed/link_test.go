package pgembed

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

// refusesFolder wants a FolderError with those words of everything that looks at dir.
func refusesFolder(t *testing.T, dir string, words ...string) {
	t.Helper()
	_, openErr := Open(t.Context(), Options{Dir: dir})
	_, inspectErr := Inspect(t.Context(), dir)
	for name, err := range map[string]error{"Makeable": Makeable(dir), "Open": openErr, "Inspect": inspectErr} {
		var folder *FolderError
		if !errors.As(err, &folder) {
			t.Errorf("%s: %v", name, err)
			continue
		}
		wantText(t, err, words...)
	}
}

// The disk that it leads to is not mounted, say.
func TestALinkToNothingIsCalledOne(t *testing.T) {
	t.Parallel()
	base := publicFolder(t)
	link := filepath.Join(base, "link")
	must(t, os.Symlink(filepath.Join(base, "gone"), link))
	must(t, os.Mkdir(filepath.Join(base, "data"), 0o755))
	postgres := filepath.Join(base, "data", "postgres")
	must(t, os.Symlink(filepath.Join(base, "gone"), postgres))
	for dir, at := range map[string]string{
		filepath.Join(link, "postgres"): link, filepath.Join(link, "deeper", "postgres"): link, postgres: postgres,
	} {
		refusesFolder(t, dir, at+" is a link to nothing", "ROTATOR_DATA_DIR")
	}
	if exists(filepath.Join(base, "gone")) {
		t.Error("what the link leads to was made")
	}
}

func TestALinkToItselfIsNoFolder(t *testing.T) {
	t.Parallel()
	base := publicFolder(t)
	link := filepath.Join(base, "link")
	must(t, os.Symlink(link, link))
	for _, dir := range []string{link, filepath.Join(link, "postgres")} {
		refusesFolder(t, dir, link, "too many levels of symbolic links", "ROTATOR_DATA_DIR")
	}
}

// The database may be on a larger disk than the keyring.
func TestAClusterBehindALink(t *testing.T) {
	t.Parallel()
	base := publicFolder(t)
	disk, data := filepath.Join(base, "disk"), filepath.Join(base, "data")
	must(t, os.Mkdir(disk, 0o755))
	must(t, os.Mkdir(data, 0o755))
	dir := filepath.Join(data, "postgres")
	must(t, os.Symlink(disk, dir))
	must(t, Makeable(dir))
	defer func() { must(t, Stop(context.Background(), dir)) }()
	if c := mustOpen(t, Options{Dir: dir}); c.Dir() != disk {
		t.Errorf("it is in %s", c.Dir())
	}
	if c := mustOpen(t, Options{Dir: dir}); c.Dir() != disk {
		t.Errorf("it is joined in %s", c.Dir())
	}
	if s := mustInspect(t, dir); s.State != Running {
		t.Errorf("it is %s", s.State)
	}
}

func TestALinkGivesNothingOfOthersAway(t *testing.T) {
	t.Parallel()
	needRoot(t)
	base := publicFolder(t)
	home, dir := filepath.Join(base, "home"), filepath.Join(base, "postgres")
	must(t, os.Mkdir(home, 0o755))
	must(t, os.WriteFile(filepath.Join(home, "thesis"), nil, 0o600))
	must(t, os.Symlink(home, dir))
	wantText(t, Makeable(dir), home, "belongs to user id 0")
	_, err := Open(t.Context(), Options{Dir: dir})
	wantText(t, err, home, "belongs to user id 0")
	if info, err := os.Stat(home); err != nil || ownerOf(info) != 0 || info.Mode().Perm() != 0o755 {
		t.Error("a folder with content was given away")
	}
}

// Trying again is of no use for these; a disk that is full is emptied some day.
func TestWhatKeepsAFolderFromBeingMadeForGood(t *testing.T) {
	t.Parallel()
	for errno, lasts := range map[syscall.Errno]bool{
		syscall.EACCES: true, syscall.EROFS: true, syscall.EEXIST: true, syscall.ELOOP: true, syscall.ENOTDIR: true,
		syscall.ENOSPC: false, syscall.EIO: false,
	} {
		var folder *FolderError
		err := notMakeable(&os.PathError{Op: "mkdir", Path: "/a", Err: errno})
		if errors.As(err, &folder) != lasts {
			t.Errorf("%v: %v", errno, err)
		}
		wantText(t, err, "choose another with ROTATOR_DATA_DIR")
	}
}
