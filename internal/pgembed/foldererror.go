package pgembed

import (
	"errors"
	"fmt"
	"os"
)

// FolderError means that a cluster cannot be in its folder, or not for this OS
// user, until somebody changes one of them: trying again is of no use.
type FolderError struct{ err error }

// Error implements error.
func (e *FolderError) Error() string { return e.err.Error() }

// Unwrap returns what went wrong.
func (e *FolderError) Unwrap() error { return e.err }

func folderErrorf(format string, args ...any) error {
	return &FolderError{fmt.Errorf(format, args...)}
}

// notMakeable says of an error that a folder cannot be made. A full disk passes by
// itself, a lack of permission does not.
func notMakeable(err error) error {
	said := fmt.Errorf("make folder for PostgreSQL: %w: choose another with ROTATOR_DATA_DIR", err)
	if errors.Is(err, os.ErrPermission) {
		return &FolderError{said}
	}
	return said
}
