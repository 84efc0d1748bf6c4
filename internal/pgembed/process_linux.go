package pgembed

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// worksIn reports whether process pid is alive and works in the data folder,
// which a PostgreSQL server makes its current folder. Source: proc(5),
// /proc/pid/cwd.
func worksIn(pid int, data string) (bool, error) {
	real, err := filepath.EvalSymlinks(data)
	if err != nil {
		return false, fmt.Errorf("look at PostgreSQL data folder: %w", err)
	}
	cwd, err := os.Readlink(filepath.Join("/proc", strconv.Itoa(pid), "cwd"))
	switch {
	case errors.Is(err, os.ErrPermission):
		return serves(pid, data, real)
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ESRCH):
		return false, nil // not there, or a zombie
	case err != nil:
		return false, fmt.Errorf("look at process %d: %w", pid, err)
	}
	return cwd == real, nil
}

// serves is worksIn for a process whose folder may not be looked at: root in a
// container may not look at other users' without CAP_SYS_PTRACE. Everyone may
// see whose process it is and what command, "postgres -D data". Source: proc(5),
// /proc/pid/cmdline.
func serves(pid int, data, real string) (bool, error) {
	folder, err := os.Stat(data)
	if err != nil {
		return false, fmt.Errorf("look at PostgreSQL data folder: %w", err)
	}
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	process, err := os.Stat(proc)
	if err != nil || ownerOf(process) != ownerOf(folder) {
		return false, nil // gone, or another user's
	}
	command, err := os.ReadFile(filepath.Join(proc, "cmdline"))
	if err != nil {
		return false, nil // gone
	}
	argv := strings.Split(strings.TrimRight(string(command), "\x00"), "\x00")
	return filepath.Base(argv[0]) == "postgres" && (slices.Contains(argv, data) || slices.Contains(argv, real)), nil
}

// isStopped reports whether a signal has stopped the process, or a debugger.
// Source: proc(5), /proc/pid/stat, whose second field may hold anything.
func isStopped(pid int) bool {
	stat, err := os.ReadFile(filepath.Join("/proc", strconv.Itoa(pid), "stat"))
	if err != nil {
		return false // gone
	}
	_, state, _ := strings.Cut(string(stat)[strings.LastIndexByte(string(stat), ')')+1:], " ")
	return strings.HasPrefix(state, "T") || strings.HasPrefix(state, "t")
}

// leftovers returns the server processes that work in the data folder. After the
// main one was killed, one that is busy with a query notices only at its end.
// Source: PostgreSQL, "Shutting Down the Server", on SIGKILL.
func leftovers(data string) ([]int, error) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil, fmt.Errorf("look for PostgreSQL processes: %w", err)
	}
	var pids []int
	for _, entry := range entries {
		pid, err := strconv.Atoi(entry.Name())
		if err != nil {
			continue // not a process
		}
		if here, err := worksIn(pid, data); err != nil || !here {
			continue
		}
		program, err := os.Readlink(filepath.Join("/proc", entry.Name(), "exe"))
		if err == nil && filepath.Base(program) == "postgres" { // not someone's shell
			pids = append(pids, pid)
		}
	}
	return pids, nil
}
