package secret

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tink-crypto/tink-go/v2/aead"
	"github.com/tink-crypto/tink-go/v2/keyset"
)

// maxKeyringBytes bounds what is read: thousands of keys fit.
const maxKeyringBytes = 1 << 20

// CreateKeyring makes the keyring file at path, mode 0600, and its folder when
// that is missing, mode 0700. It never overwrites: a file that is there, or that
// another process makes at this moment, is opened instead. The keyring is on
// disk when CreateKeyring returns.
func CreateKeyring(path string) (*Keyring, error) {
	k, err := NewKeyring()
	if err != nil {
		return nil, err
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, fmt.Errorf("create keyring %s: make its folder: %w", path, err)
	}
	var exists bool
	err = inLockedFolder(path, func() error {
		// A link, unlike a rename, fails when the name is taken: even a file
		// that someone puts there without the lock is not lost.
		err := writeKeyring(path, k.keys.Load(), os.Link)
		if errors.Is(err, fs.ErrExist) {
			exists = true
			return nil
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("create keyring %s: %w", path, err)
	}
	if exists {
		return OpenKeyring(path)
	}
	k.path = path
	return k, nil
}

// OpenKeyring reads the keyring file at path. It refuses a file that group or
// others can reach, and one that is empty, truncated, foreign or of another
// version. A missing file is fs.ErrNotExist.
func OpenKeyring(path string) (*Keyring, error) {
	ks, err := readKeyring(path)
	if err != nil {
		return nil, fmt.Errorf("open keyring %s: %w", path, err)
	}
	k := &Keyring{path: path}
	k.keys.Store(ks)
	return k, nil
}

// Rotate adds a key and makes it the primary; older keys go on opening what they
// sealed. The file of a created or opened keyring is replaced first, together
// with the keys that another process added to it: nothing is ever sealed by a
// key that is only in memory. Other processes use the new key after they opened
// the file again; until then what it seals is ErrUnknownKey to them.
func (k *Keyring) Rotate() error {
	k.rotating.Lock()
	defer k.rotating.Unlock()
	if k.path == "" {
		next, err := k.keys.Load().withNewPrimary()
		if err != nil {
			return fmt.Errorf("rotate keyring: %w", err)
		}
		k.keys.Store(next)
		return nil
	}
	err := inLockedFolder(k.path, func() error {
		onDisk, err := readKeyring(k.path)
		if err != nil {
			return err
		}
		if err := onDisk.mustHold(k.keys.Load()); err != nil {
			return err
		}
		next, err := onDisk.withNewPrimary()
		if err != nil {
			return err
		}
		if err := writeKeyring(k.path, next, os.Rename); err != nil {
			return err
		}
		k.keys.Store(next)
		return nil
	})
	if err != nil {
		return fmt.Errorf("rotate keyring %s: %w", k.path, err)
	}
	return nil
}

// Save writes the keyring to path, mode 0600, replacing the file there in one
// step. It refuses to replace a file that is not a keyring or that holds a key
// which k lacks: what that key sealed would be lost.
func (k *Keyring) Save(path string) error {
	k.rotating.Lock()
	defer k.rotating.Unlock()
	ks := k.keys.Load()
	err := inLockedFolder(path, func() error {
		onDisk, err := readKeyring(path)
		switch {
		case errors.Is(err, fs.ErrNotExist):
		case err != nil:
			return err
		default:
			if err := ks.mustHold(onDisk); err != nil {
				return err
			}
		}
		return writeKeyring(path, ks, os.Rename)
	})
	if err != nil {
		return fmt.Errorf("save keyring %s: %w", path, err)
	}
	return nil
}

func (ks *keys) withNewPrimary() (*keys, error) {
	m := keyset.NewManagerFromHandle(ks.sealing)
	id, err := m.Add(aead.AES256GCMKeyTemplate())
	if err != nil {
		return nil, fmt.Errorf("make sealing key: %w", err)
	}
	if err := m.SetPrimary(id); err != nil {
		return nil, fmt.Errorf("make key %d primary: %w", id, err)
	}
	h, err := m.Handle()
	if err != nil {
		return nil, fmt.Errorf("assemble sealing keys: %w", err)
	}
	return newKeys(h, ks.fingerprint)
}

// mustHold fails when other has a sealing key that ks lacks.
func (ks *keys) mustHold(other *keys) error {
	for id := range other.held {
		if _, ok := ks.held[id]; !ok {
			return fmt.Errorf("refuse to drop key %d: what it sealed could never be opened again", id)
		}
	}
	return nil
}

func readKeyring(path string) (*keys, error) {
	// Without O_NONBLOCK a pipe at this path would hang the program.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, errors.New("not a regular file: check the path")
	}
	if perm := info.Mode().Perm(); perm&0o077 != 0 {
		return nil, fmt.Errorf("refuse a keyring that others can reach (mode %#o): run chmod 600 on it", perm)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyringBytes+1))
	if err != nil {
		return nil, fmt.Errorf("read: %w", err)
	}
	if len(b) > maxKeyringBytes {
		return nil, errors.New("file is too large for a rotator keyring: check the path")
	}
	return decodeKeyring(b)
}

// writeKeyring writes a sibling of path to the end and to the disk, and gives it
// its name by place (os.Link or os.Rename), so that no crash leaves half a file
// under path. The caller holds the folder's lock.
func writeKeyring(path string, ks *keys, place func(from, to string) error) error {
	b, err := ks.encode()
	if err != nil {
		return err
	}
	temp, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".new-*") // 0600
	if err != nil {
		return err
	}
	defer os.Remove(temp.Name()) // gone already after a rename
	_, err = temp.Write(b)
	if err == nil {
		err = temp.Sync()
	}
	if err := errors.Join(err, temp.Close()); err != nil {
		return fmt.Errorf("write: %w", err)
	}
	if err := place(temp.Name(), path); err != nil {
		return err
	}
	return syncFolder(filepath.Dir(path))
}

// inLockedFolder runs fn while this process alone holds the lock of path's
// folder. The kernel drops the lock with the process.
func inLockedFolder(path string, fn func() error) error {
	d, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer d.Close()
	for {
		err = syscall.Flock(int(d.Fd()), syscall.LOCK_EX)
		if !errors.Is(err, syscall.EINTR) {
			break
		}
	}
	if err != nil {
		return fmt.Errorf("lock folder %s: %w", filepath.Dir(path), err)
	}
	return fn()
}

// syncFolder makes a name in dir durable: without it a crash can undo the rename.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil {
		return fmt.Errorf("sync folder %s: %w", dir, err)
	}
	return nil
}
