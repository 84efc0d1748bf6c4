package secret

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// createVariable makes the test binary another process that creates a keyring.
const createVariable = "SECRET_TEST_CREATE"

func TestMain(m *testing.M) {
	path := os.Getenv(createVariable)
	if path == "" {
		os.Exit(m.Run())
	}
	k, err := CreateKeyring(path)
	if err == nil {
		// A value that opens only if all processes have the same keyring.
		var sealed []byte
		sealed, err = k.Seal(New("token-1"), tokenColumn)
		_, _ = os.Stdout.Write(sealed)
	}
	if err != nil {
		_, _ = os.Stderr.WriteString(err.Error())
		os.Exit(1)
	}
	os.Exit(0)
}

func TestCreatedKeyringOpensAgain(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "new", "keyring.json")
	k := mustCreate(t, path)
	sealed := mustSeal(t, k, "token-1", tokenColumn)
	fingerprint := k.Fingerprint(New("token-1"))

	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("file mode %v, %v, want 0600", info.Mode(), err)
	}
	if info, err := os.Stat(filepath.Dir(path)); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("folder mode %v, %v, want 0700", info.Mode(), err)
	}
	for name, open := range map[string]func(string) (*Keyring, error){"OpenKeyring": OpenKeyring, "CreateKeyring again": CreateKeyring} {
		again, err := open(path)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if got := mustOpen(t, again, sealed, tokenColumn); got.Reveal() != "token-1" {
			t.Errorf("%s: opened %q", name, got.Reveal())
		}
		if again.KeyID() != k.KeyID() || again.Fingerprint(New("token-1")) != fingerprint {
			t.Errorf("%s: another key or fingerprint", name)
		}
	}
	mustHoldOnly(t, path)
}

func TestProcessesAtOnceCreateOneKeyring(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyring.json")
	program, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const processes = 8
	var outs, errs [processes]bytes.Buffer
	var cmds [processes]*exec.Cmd
	for i := range cmds {
		cmds[i] = exec.Command(program)
		cmds[i].Env = append(os.Environ(), createVariable+"="+path)
		cmds[i].Stdout, cmds[i].Stderr = &outs[i], &errs[i]
		if err := cmds[i].Start(); err != nil {
			t.Fatal(err)
		}
	}
	for i, cmd := range cmds {
		if err := cmd.Wait(); err != nil {
			t.Errorf("process %d: %v: %s", i, err, &errs[i])
		}
	}
	k, err := OpenKeyring(path)
	if err != nil {
		t.Fatal(err)
	}
	for i := range outs {
		if _, err := k.Open(outs[i].Bytes(), tokenColumn); err != nil {
			t.Errorf("process %d had another keyring: %v", i, err)
		}
	}
	mustHoldOnly(t, path)
}

func TestOpenKeyringRefusesInWords(t *testing.T) {
	t.Parallel()
	whole, err := os.ReadFile(mustCreate(t, filepath.Join(t.TempDir(), "keyring.json")).path)
	if err != nil {
		t.Fatal(err)
	}
	raw := strings.Replace(string(whole), `"TINK"`, `"RAW"`, 1)
	swapped := swapKeysets(t, whole)
	tests := []struct {
		name    string
		content string
		mode    os.FileMode
		want    string
	}{
		{"readable by group", string(whole), 0o640, "chmod 600"},
		{"readable by others", string(whole), 0o604, "chmod 600"},
		{"writable by others", string(whole), 0o602, "chmod 600"},
		{"empty", "", 0o600, "empty"},
		{"blank", " \n", 0o600, "empty"},
		{"cut", string(whole[:len(whole)-40]), 0o600, "truncated or damaged"},
		{"cut early", string(whole[:40]), 0o600, "truncated or damaged"},
		{"foreign text", "DATABASE_URL=postgres://planted-b7c1f0e2d9@h", 0o600, "not a rotator keyring"},
		{"foreign json", `{"a": "planted-b7c1f0e2d9"}`, 0o600, "not a rotator keyring"},
		{"foreign list", `[1, 2]`, 0o600, "not a rotator keyring"},
		{"newer", strings.Replace(string(whole), `"version": 1`, `"version": 2`, 1), 0o600, "version 2"},
		{"no keysets", `{"format": "rotator-keyring", "version": 1}`, 0o600, "missing or damaged"},
		{"keyset of text", `{"format": "rotator-keyring", "version": 1, "sealing": "planted-b7c1f0e2d9", "fingerprint": {}}`, 0o600, "missing or damaged"},
		{"keys without a prefix", raw, 0o600, "does not put its id"},
		{"keysets swapped", swapped, 0o600, "key"},
		{"large", strings.Repeat(" ", maxKeyringBytes+1), 0o600, "too large"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			path := filepath.Join(t.TempDir(), "keyring.json")
			if err := os.WriteFile(path, []byte(tt.content), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(path, tt.mode); err != nil {
				t.Fatal(err)
			}
			_, err := OpenKeyring(path)
			if err == nil || !strings.Contains(err.Error(), tt.want) || !strings.Contains(err.Error(), path) {
				t.Fatalf("OpenKeyring: %v, want the path and %q", err, tt.want)
			}
			mustNotShow(t, "the error", err.Error())
			if _, err := CreateKeyring(path); err == nil {
				t.Error("CreateKeyring accepted or replaced it")
			}
			if after, err := os.ReadFile(path); err != nil || string(after) != tt.content {
				t.Error("the file was changed")
			}
		})
	}
}

func TestOpenKeyringOfWhatIsNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if _, err := OpenKeyring(filepath.Join(dir, "absent")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("absent: %v, want fs.ErrNotExist", err)
	}
	if _, err := OpenKeyring(dir); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("folder: %v", err)
	}
	pipe := filepath.Join(dir, "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := OpenKeyring(pipe); err == nil || !strings.Contains(err.Error(), "not a regular file") {
		t.Errorf("pipe: %v", err)
	}
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := CreateKeyring(filepath.Join(file, "keyring.json")); err == nil {
		t.Error("created a keyring below a file")
	}
}

func TestRotateIsOnDiskBeforeItSeals(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyring.json")
	k := mustCreate(t, path)
	other, err := OpenKeyring(path)
	if err != nil {
		t.Fatal(err)
	}
	before := mustSeal(t, k, "token-1", tokenColumn)
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	after := mustSeal(t, k, "token-2", tokenColumn)

	if _, err := other.Open(after, tokenColumn); !errors.Is(err, ErrUnknownKey) {
		t.Errorf("a keyring opened before the rotation: %v, want ErrUnknownKey", err)
	}
	// Its own rotation takes in the key that it did not know.
	if err := other.Rotate(); err != nil {
		t.Fatal(err)
	}
	fresh, err := OpenKeyring(path)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []*Keyring{other, fresh} {
		mustOpen(t, k, before, tokenColumn)
		mustOpen(t, k, after, tokenColumn)
		mustOpen(t, k, mustSeal(t, other, "token-3", tokenColumn), tokenColumn)
	}
	if fresh.KeyID() != other.KeyID() || fresh.KeyID() == k.KeyID() {
		t.Error("the file's primary key is not the last one made")
	}
	mustHoldOnly(t, path)
}

// Each opened the file for itself, as processes do: the folder's lock, and not
// the keyring's own, keeps one from writing over what another added.
func TestRotationsAtOnceLoseNoKey(t *testing.T) {
	t.Parallel()
	const keyrings, rotations = 4, 5
	path := filepath.Join(t.TempDir(), "keyring.json")
	first := mustSeal(t, mustCreate(t, path), "token-0", tokenColumn)
	ended := make(chan error, keyrings)
	sealed := make(chan []byte, keyrings*rotations)
	for range keyrings {
		k, err := OpenKeyring(path)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for range rotations {
				err := k.Rotate()
				var b []byte
				if err == nil {
					b, err = k.Seal(New("token-1"), tokenColumn)
				}
				if err != nil {
					ended <- err
					return
				}
				sealed <- b
			}
			ended <- nil
		}()
	}
	for range keyrings {
		if err := <-ended; err != nil {
			t.Error(err)
		}
	}
	close(sealed)
	k, err := OpenKeyring(path)
	if err != nil {
		t.Fatal(err)
	}
	mustOpen(t, k, first, tokenColumn)
	for b := range sealed {
		mustOpen(t, k, b, tokenColumn)
	}
}

func TestFailedRotateChangesNothing(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyring.json")
	k := mustCreate(t, path)
	primary := k.KeyID()
	stranger := mustCreate(t, filepath.Join(t.TempDir(), "keyring.json"))
	if err := os.Rename(stranger.path, path); err != nil { // someone replaced the file
		t.Fatal(err)
	}
	if err := k.Rotate(); err == nil || !strings.Contains(err.Error(), "refuse to drop key") {
		t.Errorf("Rotate over another keyring: %v", err)
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := k.Rotate(); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Rotate without the file: %v, want fs.ErrNotExist", err)
	}
	if k.KeyID() != primary {
		t.Error("a failed Rotate changed the primary key")
	}
	if exists, _ := filepath.Glob(path + "*"); len(exists) != 0 {
		t.Errorf("a failed Rotate left %v", exists)
	}
}

func TestSaveNeverDropsAKey(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keyring.json")
	k := newTestKeyring(t)
	if err := k.Save(path); err != nil {
		t.Fatal(err)
	}
	if err := k.Rotate(); err != nil {
		t.Fatal(err)
	}
	if err := k.Save(path); err != nil {
		t.Fatalf("Save over its own earlier state: %v", err)
	}
	saved, err := OpenKeyring(path)
	if err != nil || saved.KeyID() != k.KeyID() {
		t.Fatalf("saved keyring has key %v, %v", saved.KeyID(), err)
	}
	if err := newTestKeyring(t).Save(path); err == nil || !strings.Contains(err.Error(), "refuse to drop key") {
		t.Errorf("Save over a stranger's keyring: %v", err)
	}
	foreign := filepath.Join(t.TempDir(), "notes.txt")
	if err := os.WriteFile(foreign, []byte("notes"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := k.Save(foreign); err == nil {
		t.Error("Save replaced a file that is no keyring")
	}
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("saved with mode %v, %v", info.Mode(), err)
	}
	mustHoldOnly(t, path)
}

// A decoded keyring file either works or is refused in words without its content.
func FuzzDecodeKeyring(f *testing.F) {
	k, err := NewKeyring()
	if err != nil {
		f.Fatal(err)
	}
	whole, err := k.keys.Load().encode()
	if err != nil {
		f.Fatal(err)
	}
	f.Add(whole)
	f.Add(whole[:len(whole)/2])
	f.Add([]byte(`{"format": "rotator-keyring", "version": 1, "sealing": {"key": []}, "fingerprint": null}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		ks, err := decodeKeyring(b)
		if err != nil {
			if len(err.Error()) > 200 {
				t.Errorf("error of %d bytes", len(err.Error()))
			}
			return
		}
		k := &Keyring{}
		k.keys.Store(ks)
		sealed, err := k.Seal(New("token-1"), tokenColumn)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := k.Open(sealed, tokenColumn); err != nil {
			t.Fatal(err)
		}
		if got := k.Fingerprint(New("token-1")); len(got) != 16 {
			t.Errorf("fingerprint %q", got)
		}
	})
}

func swapKeysets(t *testing.T, whole []byte) string {
	t.Helper()
	var file keyringFile
	if err := json.Unmarshal(whole, &file); err != nil {
		t.Fatal(err)
	}
	file.Sealing, file.Fingerprint = file.Fingerprint, file.Sealing
	b, err := json.Marshal(file)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func mustCreate(t *testing.T, path string) *Keyring {
	t.Helper()
	k, err := CreateKeyring(path)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

// mustHoldOnly fails when the folder of path has anything else, such as a
// temporary file.
func mustHoldOnly(t *testing.T, path string) {
	t.Helper()
	entries, err := os.ReadDir(filepath.Dir(path))
	if err != nil {
		t.Fatal(err)
	}
	for _, entry := range entries {
		if entry.Name() != filepath.Base(path) {
			t.Errorf("left over: %s", entry.Name())
		}
	}
}
