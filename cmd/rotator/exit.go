package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/haravan-rotator/rotator/internal/config"
	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store"
)

// The exit codes, for scripts and cron. They are a contract.
const (
	exitDone       = 0  // done
	exitFailed     = 1  // failed
	exitUsage      = 2  // the command line is wrong
	exitWaiting    = 3  // waiting for a human step, which was printed
	exitExceptions = 4  // finished, with exceptions: rows or items left out
	exitNoFit      = 5  // does not fit the window
	exitRefused    = 6  // refused by a gate, or another run is open
	exitConfig     = 78 // configuration: environment, keyring, schema
)

// exitCodes is the table as `rotator help exit-codes` prints it.
var exitCodes = []struct {
	code    int
	meaning string
}{
	{exitDone, "done"},
	{exitFailed, "failed"},
	{exitUsage, "usage: the command line is wrong"},
	{exitWaiting, "waiting for a human step; the next one is printed"},
	{exitExceptions, "finished with exceptions: rows or items were left out"},
	{exitNoFit, "does not fit the window of the refresh token"},
	{exitRefused, "refused by a gate, or because another run is open"},
	{exitConfig, "configuration: environment, keyring, database schema"},
}

// failure is an error with its exit code and what to do next.
type failure struct {
	code int
	err  error  // nil: the answer is printed, only the code remains to be told
	next string // one line, without a full stop; "" when err says it
}

// Error implements error.
func (f *failure) Error() string {
	if f.err == nil {
		return fmt.Sprintf("exit code %d", f.code)
	}
	return f.err.Error()
}

// Unwrap returns what went wrong.
func (f *failure) Unwrap() error { return f.err }

// exitWith gives err its exit code and next step. With a nil err it ends the
// command with that code and prints nothing more.
func exitWith(code int, err error, next string) error {
	return &failure{code: code, err: err, next: next}
}

// exitCodeOf maps an error to the exit code: its own if it carries one, else by
// what it wraps.
func exitCodeOf(err error) int {
	var f *failure
	var mistake *config.Mistake
	var folder *pgembed.FolderError
	switch {
	case err == nil:
		return exitDone
	case errors.As(err, &f):
		return f.code
	case errors.Is(err, store.ErrRunOpen):
		return exitRefused
	case errors.As(err, &mistake),
		errors.As(err, &folder),
		errors.Is(err, pgembed.ErrNoBinaries),
		errors.Is(err, migrations.ErrNotMigrated),
		errors.Is(err, migrations.ErrNewerSchema),
		errors.Is(err, store.ErrForeignKeyring):
		return exitConfig
	}
	return exitFailed
}

// report prints an error as the terminal rules say.
func (c *cli) report(ctx context.Context, err error) {
	var f *failure
	errors.As(err, &f)
	switch {
	case err == nil, f != nil && f.err == nil:
		return
	case ctx.Err() != nil && f == nil:
		// Whatever broke, broke because of that.
		c.notef("rotator: interrupted: %s", inline(err.Error()))
	default:
		for line := range strings.SplitSeq(strings.TrimSpace(err.Error()), "\n") {
			c.notef("rotator: %s", printable(line))
		}
	}
	if f != nil && f.next != "" {
		c.notef("  %s", c.words.text(c.words.command(f.next)))
	}
}
