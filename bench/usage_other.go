//go:build !linux

package main

import "errors"

// used needs /proc.
func used() (result, error) {
	return result{}, errors.New("measure memory: the bench reads /proc, which is Linux's")
}
