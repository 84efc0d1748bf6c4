//go:build !linux

package main

import "golang.org/x/term"

// readHidden reads a line from a terminal that echoes nothing meanwhile.
func readHidden(fd int) ([]byte, error) { return term.ReadPassword(fd) }
