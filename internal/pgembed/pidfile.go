package pgembed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"
)

// pidFile is what postmaster.pid says. Source: PostgreSQL,
// src/include/utils/pidfile.h.
type pidFile struct {
	pid       int
	startedAt time.Time
	socketDir string
	status    string // "starting", "ready", "stopping", "standby"; "" before the server wrote it
}

// parsePIDFile reads the file's lines: process id, data folder, start time,
// port, socket folder, listen address, shared memory key, status. The server
// writes it in steps, so all but the first may be missing.
func parsePIDFile(s string) (pidFile, error) {
	lines := strings.Split(s, "\n")
	line := func(n int) string {
		if n > len(lines) {
			return ""
		}
		return strings.TrimSpace(lines[n-1])
	}
	pid, err := strconv.Atoi(line(1))
	if err != nil {
		return pidFile{}, errors.New("parse postmaster.pid: its first line is not a process id")
	}
	if pid < 0 { // a server in single-user mode writes its id negated
		pid = -pid
	}
	if pid <= 1 {
		return pidFile{}, fmt.Errorf("parse postmaster.pid: %d cannot be the process id of a server", pid)
	}
	p := pidFile{pid: pid, socketDir: line(5), status: line(8)}
	if seconds, err := strconv.ParseInt(line(3), 10, 64); err == nil && seconds > 0 {
		p.startedAt = time.Unix(seconds, 0).UTC()
	}
	return p, nil
}

// running reads postmaster.pid and reports whether the process that it names is
// a live server of this data folder. A file that names none (a power cut can
// leave it empty) is as good as missing.
func running(data string) (pidFile, bool, error) {
	b, err := os.ReadFile(filepath.Join(data, "postmaster.pid"))
	if errors.Is(err, os.ErrNotExist) {
		return pidFile{}, false, nil
	}
	if err != nil {
		return pidFile{}, false, err
	}
	p, err := parsePIDFile(string(b))
	if err != nil {
		return pidFile{}, false, nil
	}
	alive, err := worksIn(p.pid, data)
	return p, alive, err
}
