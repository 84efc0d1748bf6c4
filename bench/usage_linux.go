package main

import (
	"bytes"
	"fmt"
	"os"
	"syscall"
	"time"
)

// used is what this process took: CPU time and the high-water mark of its
// resident memory (proc(5), /proc/pid/status, VmHWM, in KiB).
func used() (result, error) {
	var r result
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return r, fmt.Errorf("measure memory: %w", err)
	}
	for line := range bytes.Lines(status) {
		if value, ok := bytes.CutPrefix(line, []byte("VmHWM:")); ok {
			var kib float64
			if _, err := fmt.Sscan(string(value), &kib); err != nil {
				return r, fmt.Errorf("measure memory: %w", err)
			}
			r.RSSMiB = kib / 1024
		}
	}
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return r, fmt.Errorf("measure CPU time: %w", err)
	}
	r.CPUSeconds = (time.Duration(usage.Utime.Nano()) + time.Duration(usage.Stime.Nano())).Seconds()
	return r, nil
}
