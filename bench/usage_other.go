//go:build !linux

package main

import (
	"errors"
	"time"
)

// used needs /proc.
func used() (result, error) {
	return result{}, errors.New("measure memory: the bench reads /proc, which is Linux's")
}

// familyCPU needs /proc.
func familyCPU(int) (time.Duration, error) {
	return 0, errors.New("measure CPU time: the bench reads /proc, which is Linux's")
}
