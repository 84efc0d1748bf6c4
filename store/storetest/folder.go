package storetest

import (
	"os"
	"syscall"
)

const (
	memory = "/dev/shm"
	// roomWanted is ten times what a test binary uses at most.
	roomWanted = 4 << 30
)

// folder is where the test server lives: in memory if there is room, because every
// test makes some three hundred files and removes them, which file systems on disks
// are slow at. (systemd removes what is there when its owner logs out; nobody logs
// out of a test.) Empty is the folder for temporary files, also where TMPDIR names it.
func folder() string {
	var fs syscall.Statfs_t
	if os.Getenv("TMPDIR") != "" || syscall.Statfs(memory, &fs) != nil || uint64(fs.Bavail)*uint64(fs.Bsize) < roomWanted {
		return ""
	}
	if writable, err := os.MkdirTemp(memory, "rotator"); err != nil || os.Remove(writable) != nil {
		return ""
	}
	return memory
}
