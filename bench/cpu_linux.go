package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// clockTick is the unit of times in /proc/pid/stat: sysconf(_SC_CLK_TCK), which
// Linux has fixed at 100 a second for user space (proc(5)).
const clockTick = time.Second / 100

// processStat is what is read of /proc/pid/stat.
type processStat struct {
	parent int
	// own is user and system time, waited that of children that have ended.
	own, waited time.Duration
}

// familyCPU is the CPU time, user and system, that a process and its children
// have taken, those that have ended included: all of a PostgreSQL server, when
// pid is its postmaster.
func familyCPU(pid int) (time.Duration, error) {
	whole, err := readStat(strconv.Itoa(pid))
	if err != nil {
		return 0, err
	}
	took := whole.own + whole.waited
	stats, err := filepath.Glob("/proc/[0-9]*")
	if err != nil {
		return 0, fmt.Errorf("list processes: %w", err)
	}
	for _, path := range stats {
		child, err := readStat(filepath.Base(path))
		if errors.Is(err, fs.ErrNotExist) {
			continue // ended meanwhile
		}
		if err == nil && child.parent == pid {
			took += child.own + child.waited
		}
	}
	return took, nil
}

// readStat reads the fields 4 and 14 to 17 of /proc/pid/stat (proc(5)).
func readStat(pid string) (processStat, error) {
	text, err := os.ReadFile("/proc/" + pid + "/stat")
	if err != nil {
		return processStat{}, fmt.Errorf("measure CPU time: %w", err)
	}
	// The name, field 2, is in parentheses and may hold anything.
	fields := bytes.Fields(text[bytes.LastIndexByte(text, ')')+1:])
	const state, parent, utime, cstime = 3, 4, 14, 17
	if len(fields) <= cstime-state {
		return processStat{}, fmt.Errorf("measure CPU time: /proc/%s/stat has %d fields", pid, len(fields))
	}
	var s processStat
	if s.parent, err = strconv.Atoi(string(fields[parent-state])); err != nil {
		return s, fmt.Errorf("measure CPU time: /proc/%s/stat: %w", pid, err)
	}
	for i := utime; i <= cstime; i++ {
		ticks, err := strconv.ParseInt(string(fields[i-state]), 10, 64)
		if err != nil {
			return s, fmt.Errorf("measure CPU time: /proc/%s/stat: %w", pid, err)
		}
		if i < utime+2 {
			s.own += time.Duration(ticks) * clockTick
		} else {
			s.waited += time.Duration(ticks) * clockTick
		}
	}
	return s, nil
}
