package shopfile

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

var errDiskFull = errors.New("disk full")

func create(t *testing.T, path string, o CreateOptions, text string) *PrivateFile {
	t.Helper()
	f, err := CreatePrivate(path, o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := io.WriteString(f, text); err != nil {
		t.Fatal(err)
	}
	return f
}

func names(t *testing.T, folder string) string {
	t.Helper()
	entries, err := os.ReadDir(folder)
	if err != nil {
		t.Fatal(err)
	}
	var all []string
	for _, e := range entries {
		all = append(all, e.Name())
	}
	return strings.Join(all, " ")
}

func wantFile(t *testing.T, path, text string) {
	t.Helper()
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(got) != text {
		t.Errorf("file holds %q, want %q", got, text)
	}
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, want 0600", info.Mode().Perm())
	}
}

func TestPrivateFileAppearsOnCommit(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shops.csv")
	f := create(t, path, CreateOptions{}, "first")
	if _, err := os.Stat(path); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("before the commit: %v", err)
	}
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("close after commit: %v", err)
	}
	if err := f.Commit(); !errors.Is(err, fs.ErrClosed) {
		t.Errorf("second commit: %v", err)
	}
	wantFile(t, path, "first")

	// An existing file stays, unless told, and becomes private when replaced.
	if err := os.Chmod(path, 0o644); err != nil {
		t.Fatal(err)
	}
	if _, err := CreatePrivate(path, CreateOptions{}); !errors.Is(err, ErrExists) {
		t.Errorf("existing file: %v", err)
	}
	f = create(t, path, CreateOptions{Overwrite: true}, "second")
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "second")
	if got := names(t, filepath.Dir(path)); got != "shops.csv" {
		t.Errorf("folder holds %q", got)
	}
}

// Not every file system has files without a name.
func TestPrivateFileWithANameBeforeCommit(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	path := filepath.Join(folder, "shops.csv")
	first := create(t, path, CreateOptions{named: true}, "first")
	if got := names(t, folder); !strings.HasPrefix(got, ".shops.csv.") {
		t.Errorf("folder holds %q", got)
	}
	late := create(t, path, CreateOptions{named: true}, "late")
	if err := first.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := late.Commit(); !errors.Is(err, ErrExists) {
		t.Errorf("second to commit: %v", err)
	}
	wantFile(t, path, "first")
	if err := create(t, path, CreateOptions{named: true, Overwrite: true}, "second").Commit(); err != nil {
		t.Fatal(err)
	}
	wantFile(t, path, "second")
	if err := create(t, path, CreateOptions{named: true, Overwrite: true}, "half").Close(); err != nil {
		t.Fatal(err)
	}
	if got := names(t, folder); got != "shops.csv" {
		t.Errorf("folder holds %q", got)
	}
}

func TestPrivateFileGivenUp(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	f := create(t, filepath.Join(folder, "shops.csv"), CreateOptions{}, "half")
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Errorf("second close: %v", err)
	}
	if got := names(t, folder); got != "" {
		t.Errorf("folder holds %q", got)
	}
}

// TestPrivateFileOfAFullDisk: the writes that failed were those of a buffer, and
// whoever flushed it may commit all the same.
func TestPrivateFileOfAFullDisk(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shops.csv")
	if err := create(t, path, CreateOptions{}, "yesterday's").Commit(); err != nil {
		t.Fatal(err)
	}
	f := create(t, path, CreateOptions{Overwrite: true}, "half of tod")
	whole := f.w
	f.w = fullDisk{}
	if _, err := io.WriteString(f, "ay's"); !errors.Is(err, errDiskFull) {
		t.Fatal(err)
	}
	f.w = whole // there is room again
	if _, err := io.WriteString(f, "!"); err != nil {
		t.Fatal(err)
	}
	if err := f.Commit(); !errors.Is(err, errDiskFull) {
		t.Errorf("commit: %v, want that the disk was full", err)
	}
	wantFile(t, path, "yesterday's")
	if got := names(t, filepath.Dir(path)); got != "shops.csv" {
		t.Errorf("folder holds %q", got)
	}
}

func TestPrivateFileRace(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "shops.csv")
	slow := create(t, path, CreateOptions{}, "slow")
	quick := create(t, path, CreateOptions{}, "quick")
	if err := quick.Commit(); err != nil {
		t.Fatal(err)
	}
	if err := slow.Commit(); !errors.Is(err, ErrExists) {
		t.Errorf("second to commit: %v", err)
	}
	wantFile(t, path, "quick")
	if got := names(t, filepath.Dir(path)); got != "shops.csv" {
		t.Errorf("folder holds %q", got)
	}
}

func TestPrivateFileRefusals(t *testing.T) {
	t.Parallel()
	folder := t.TempDir()
	at := func(name string) string { return filepath.Join(folder, name) }
	for _, err := range []error{
		os.WriteFile(at("file"), nil, 0o600),
		os.Symlink("file", at("link")),
		os.Symlink("nowhere", at("dangling")),
		os.Mkdir(at("open"), 0o700),
		os.Chmod(at("open"), 0o777), // whatever the umask is
		os.Mkdir(at("sticky"), 0o700),
		os.Chmod(at("sticky"), 0o777|fs.ModeSticky),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	tests := []struct{ path, want string }{
		{"", "path is empty"},
		{folder, "is a folder"},
		{at("link"), "symbolic link"},
		{at("dangling"), "symbolic link"},
		{at("open/x"), "any user may replace files"},
		{at("missing/x"), "no such file"},
		{at("file/x"), "not a directory"},
		{"-", "no standard output"},
	}
	for _, tt := range tests {
		_, err := CreatePrivate(tt.path, CreateOptions{Overwrite: true})
		if err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: error %v, want %q in it", tt.path, err, tt.want)
		}
	}
	if err := create(t, at("sticky/x"), CreateOptions{}, "t").Commit(); err != nil {
		t.Errorf("sticky folder: %v", err)
	}
}

func TestPrivateStdout(t *testing.T) {
	t.Parallel()
	for _, path := range []string{"-", "/dev/stdout"} {
		var b bytes.Buffer
		f := create(t, path, CreateOptions{Stdout: &b}, "tokens")
		if err := f.Commit(); err != nil || b.String() != "tokens" {
			t.Errorf("%s: wrote %q, %v", path, b.String(), err)
		}
	}
	redirected, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer redirected.Close()
	if err := redirected.Chmod(0o640); err != nil {
		t.Fatal(err)
	}
	if _, err := CreatePrivate("-", CreateOptions{Stdout: redirected}); err == nil || !strings.Contains(err.Error(), "0640") {
		t.Errorf("readable redirection: %v", err)
	}
	if err := redirected.Chmod(0o600); err != nil {
		t.Fatal(err)
	}
	f := create(t, "-", CreateOptions{Stdout: redirected}, "tokens")
	if err := f.Commit(); err != nil {
		t.Error(err)
	}
	if _, err := redirected.WriteString("more"); err != nil {
		t.Errorf("the caller's standard output was closed: %v", err)
	}
}

func TestPrivatePipe(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(path, 0o600); err != nil {
		t.Fatal(err)
	}
	type result struct {
		text []byte
		err  error
	}
	got := make(chan result, 1)
	go func() {
		text, err := os.ReadFile(path)
		got <- result{text, err}
	}()
	f := create(t, path, CreateOptions{}, "tokens") // opens when the reader does
	if err := f.Commit(); err != nil {
		t.Fatal(err)
	}
	if r := <-got; r.err != nil || string(r.text) != "tokens" {
		t.Errorf("read %q, %v", r.text, r.err)
	}
	if info, err := os.Lstat(path); err != nil || info.Mode()&fs.ModeNamedPipe == 0 {
		t.Errorf("the pipe was replaced: %v, %v", info, err)
	}
}
