package store

import (
	"slices"
	"strings"
)

// saidOnce leaves out lines of an error that repeat the one before: a connection that
// is tried with TLS and without fails twice for the same reason.
type saidOnce struct{ err error }

// Error implements error.
func (e saidOnce) Error() string {
	return strings.Join(slices.Compact(strings.Split(e.err.Error(), "\n")), "\n")
}

// Unwrap returns the error itself.
func (e saidOnce) Unwrap() error { return e.err }
