package pgembed

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"syscall"
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

// lasting are the errors of a folder that do not pass by themselves, as a full disk
// does.
var lasting = []error{os.ErrPermission, syscall.EROFS, os.ErrExist, syscall.ELOOP, syscall.ENOTDIR}

// ofFolder makes err a FolderError if trying again is of no use.
func ofFolder(err error) error {
	var folder *FolderError
	if errors.As(err, &folder) || !slices.ContainsFunc(lasting, func(l error) bool { return errors.Is(err, l) }) {
		return err
	}
	return &FolderError{err}
}

// notMakeable says of an error that a folder cannot be made.
func notMakeable(err error) error {
	return ofFolder(fmt.Errorf("make folder for PostgreSQL: %w: choose another with ROTATOR_DATA_DIR", err))
}
