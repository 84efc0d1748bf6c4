package pgembed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/user"
	"strconv"
	"strings"
	"syscall"
)

// account is the OS user that the server runs as.
type account struct {
	uid, gid int
	name     string
}

// currentAccount is this process's own user.
func currentAccount() account {
	a := account{uid: os.Geteuid(), gid: os.Getegid()}
	a.name = userName(a.uid)
	return a
}

// accountFor returns the account for the cluster in dir: this user, or when
// this is root the owner of an existing data folder, or else postgres or nobody.
func accountFor(dir string) (account, error) {
	self := currentAccount()
	info, err := os.Stat(dataFolder(dir))
	switch {
	case err == nil:
		owner := account{uid: ownerOf(info), gid: groupOf(info), name: userName(ownerOf(info))}
		if self.uid != 0 && owner.uid != self.uid {
			return account{}, folderErrorf("use PostgreSQL data folder %s: it belongs to %s: run rotator as that user, or choose another folder with ROTATOR_DATA_DIR", dataFolder(dir), owner)
		}
		if owner.uid == 0 {
			return account{}, folderErrorf("use PostgreSQL data folder %s: it belongs to root, and PostgreSQL does not run as root: chown it to postgres", dataFolder(dir))
		}
		return owner, nil
	case errors.Is(err, os.ErrPermission):
		return account{}, folderErrorf("use PostgreSQL data folder: %w: run rotator as its owner, or choose another folder with ROTATOR_DATA_DIR", err)
	case self.uid != 0:
		return self, nil
	}
	for _, name := range []string{"postgres", "nobody"} {
		u, err := user.Lookup(name)
		if err != nil {
			continue
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2); err != nil {
			return account{}, fmt.Errorf("look up user %s: %w", name, err)
		}
		return account{uid: uid, gid: gid, name: name}, nil
	}
	return account{}, errors.New("start PostgreSQL as root: PostgreSQL refuses to, and there is no user postgres or nobody to run it as: create one, or run rotator as another user")
}

// userName returns the name of uid, or uid in digits where it has none.
func userName(uid int) string {
	u, err := user.LookupId(strconv.Itoa(uid))
	if err != nil {
		return strconv.Itoa(uid)
	}
	return u.Username
}

func (a account) String() string { return "user " + a.name }

// other reports whether a is not the user of this process.
func (a account) other() bool { return a.uid != os.Geteuid() }

// own gives path to a.
func (a account) own(path string) error {
	if !a.other() {
		return nil
	}
	if err := os.Chown(path, a.uid, a.gid); err != nil {
		return fmt.Errorf("give to %s: %w", a, err)
	}
	return nil
}

// mayPass reports whether a may pass through the folder of info. Supplementary
// groups do not count: the server has none.
func (a account) mayPass(info os.FileInfo) bool {
	perm := info.Mode().Perm()
	switch {
	case ownerOf(info) == a.uid:
		return perm&0o100 != 0
	case groupOf(info) == a.gid:
		return perm&0o010 != 0
	}
	return perm&0o001 != 0
}

// command prepares a program that runs as a, in dir, in a session of its own:
// an interrupt typed at rotator's terminal must not reach the server.
func (a account) command(dir, program string, args ...string) *exec.Cmd {
	cmd := exec.Command(program, args...)
	cmd.Dir = dir
	cmd.Env = serverEnviron(os.Environ())
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if a.other() {
		cmd.SysProcAttr.Credential = &syscall.Credential{Uid: uint32(a.uid), Gid: uint32(a.gid)}
	}
	return cmd
}

// serverEnviron keeps of env only what programs need to be found and loaded. The
// server outlives rotator and other programs of its account can read its
// environment; and PGDATA, PGPORT and the like would change what it does. LC_ALL
// fixes the language of the messages that explainLog looks for.
func serverEnviron(env []string) []string {
	kept := []string{"LC_ALL=C", "TZ=UTC"}
	for _, entry := range env {
		switch name, _, _ := strings.Cut(entry, "="); name {
		case "PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "DYLD_FALLBACK_LIBRARY_PATH":
			kept = append(kept, entry)
		}
	}
	return kept
}
