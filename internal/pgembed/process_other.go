//go:build !linux

package pgembed

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// worksIn reports whether process pid is alive and looks like the server of the
// data folder: its command is "…/postgres -D data", as startServer and pg_ctl
// write it. Source: ps(1), keywords stat and command.
func worksIn(pid int, data string) (bool, error) {
	if err := syscall.Kill(pid, 0); errors.Is(err, syscall.ESRCH) {
		return false, nil
	}
	out, err := exec.Command("ps", "-o", "stat=,command=", "-p", strconv.Itoa(pid)).Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return false, nil // gone in between
	}
	if err != nil {
		return false, fmt.Errorf("look at process %d: %w", pid, err)
	}
	stat, command, _ := strings.Cut(strings.TrimSpace(string(out)), " ")
	if strings.HasPrefix(stat, "Z") || !strings.Contains(command, "postgres") {
		return false, nil
	}
	real, err := filepath.EvalSymlinks(data)
	if err != nil {
		return false, fmt.Errorf("look at PostgreSQL data folder: %w", err)
	}
	if errors.Is(syscall.Kill(pid, 0), os.ErrPermission) {
		return false, nil
	}
	return strings.Contains(command, data) || strings.Contains(command, real), nil
}

// isStopped reports whether a signal has stopped the process. Source: ps(1),
// keyword stat.
func isStopped(pid int) bool {
	out, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
	return err == nil && strings.HasPrefix(strings.TrimSpace(string(out)), "T")
}

// leftovers finds none: ps does not tell a process's folder. A start then waits
// for them to notice.
func leftovers(string) ([]int, error) { return nil, nil }
