package main

import (
	"fmt"
	"os"
	"path/filepath"
	"syscall"

	"github.com/haravan-rotator/rotator/haravan"
)

// openFiles compares the limit of open files with what a worker needs: two
// sockets for a call that meets a fresh connection, and some for the rest.
func openFiles(inflight int) check {
	if inflight == 0 {
		inflight = haravan.DefaultInFlight
	}
	need := uint64(2*inflight + 100)
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		return check{Status: checkWarn, Detail: fmt.Sprintf("the limit cannot be read: %v", err)}
	}
	detail := fmt.Sprintf("%d allowed, %d needed for %d calls in flight", limit.Cur, need, inflight)
	if uint64(limit.Cur) < need {
		return check{Status: checkFail, Detail: detail, Remedy: fmt.Sprintf("ulimit -n %d, or fewer calls: rotator app set --inflight N", need)}
	}
	return check{Status: checkOK, Detail: detail}
}

// mayWrite is W_OK of access(2).
const mayWrite = 2

// The space below which the data folder's disk is worth a word: a rotation of a
// million shops writes about 1 GB of WAL.
const (
	spaceWanted = 2 << 30
	spaceNeeded = 256 << 20
)

// diskSpace looks at the file system that holds dir, or will.
func diskSpace(dir string) check {
	for at := dir; ; at = filepath.Dir(at) {
		if _, err := os.Stat(at); err != nil && at != filepath.Dir(at) {
			continue
		}
		var fs syscall.Statfs_t
		if err := syscall.Statfs(at, &fs); err != nil {
			return check{Status: checkWarn, Detail: fmt.Sprintf("free space of %s cannot be read: %v", dir, err)}
		}
		if err := syscall.Access(at, mayWrite); err != nil {
			return check{Status: checkFail, Detail: fmt.Sprintf("%s cannot be written: %v", at, err), Remedy: "mend that, or move the data with ROTATOR_DATA_DIR"}
		}
		return judgeSpace(dir, int64(fs.Bavail)*int64(fs.Bsize))
	}
}

func judgeSpace(dir string, free int64) check {
	found := check{Status: checkOK, Detail: size(free) + " free for " + dir}
	switch {
	case free < spaceNeeded:
		found.Status, found.Remedy = checkFail, "free some, or move it with ROTATOR_DATA_DIR"
	case free < spaceWanted:
		found.Status, found.Remedy = checkWarn, "a rotation of a million shops writes about 1 GiB"
	}
	return found
}
