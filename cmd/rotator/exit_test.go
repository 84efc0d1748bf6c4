package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/haravan-rotator/rotator/internal/config"
	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/store"
)

func TestExitCodes(t *testing.T) {
	t.Parallel()
	anything := errors.New("anything")
	for _, tt := range []struct {
		name string
		err  error
		want int
	}{
		{"done", nil, 0},
		{"any error", anything, 1},
		{"not found", fmt.Errorf("app x: %w", store.ErrNotFound), 1},
		{"usage", exitWith(exitUsage, anything, "usage: rotator"), 2},
		{"waiting", exitWith(exitWaiting, nil, ""), 3},
		{"exceptions", exitWith(exitExceptions, nil, ""), 4},
		{"no fit", exitWith(exitNoFit, anything, ""), 5},
		{"refused", exitWith(exitRefused, anything, ""), 6},
		{"run open", fmt.Errorf("start run: %w", store.ErrRunOpen), 6},
		{"configuration", errors.Join(&config.Mistake{Variable: "X", Want: "y"}, anything), 78},
		{"no PostgreSQL", fmt.Errorf("open: %w", pgembed.ErrNoBinaries), 78},
		{"not migrated", migrations.ErrNotMigrated, 78},
		{"newer schema", fmt.Errorf("%w (schema 9)", migrations.ErrNewerSchema), 78},
		{"another keyring", fmt.Errorf("open: %w", store.ErrForeignKeyring), 78},
		{"a code beats what it wraps", exitWith(exitFailed, store.ErrRunOpen, ""), 1},
		{"a wrapped code stays", fmt.Errorf("outer: %w", exitWith(exitNoFit, anything, "")), 5},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := exitCodeOf(tt.err); got != tt.want {
				t.Errorf("exit code %d, want %d", got, tt.want)
			}
		})
	}
}

func TestReport(t *testing.T) {
	t.Parallel()
	cancelled, cancel := context.WithCancel(t.Context())
	cancel()
	for _, tt := range []struct {
		name string
		ctx  context.Context
		err  error
		want string
	}{
		{"nothing", t.Context(), nil, ""},
		{"only a code", t.Context(), exitWith(exitWaiting, nil, "unheard"), ""},
		{"with a next step", t.Context(), exitWith(exitFailed, errors.New("it broke"), "mend it"), "rotator: it broke\n  mend it\n"},
		{"many lines", t.Context(), errors.Join(errors.New("one"), errors.New("two")), "rotator: one\nrotator: two\n"},
		{"control characters", t.Context(), errors.New("a\x1b[2Jb\tc"), "rotator: a·[2Jb c\n"},
		{"interrupted", cancelled, fmt.Errorf("read: %w", context.Canceled), "rotator: interrupted: read: context canceled\n"},
		{"what an interrupt breaks", cancelled, errors.New("connection closed"), "rotator: interrupted: connection closed\n"},
		{"an answer after an interrupt", cancelled, exitWith(exitFailed, errors.New("no"), "yes"), "rotator: no\n  yes\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			var stderr bytes.Buffer
			newCLI(nil, nil, nil, &stderr).report(tt.ctx, tt.err)
			if stderr.String() != tt.want {
				t.Errorf("got %q, want %q", stderr.String(), tt.want)
			}
		})
	}
}

// A redirection to a full disk must not look like a text that was written.
func TestHelpThatCannotBeWrittenFails(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{{"help"}, {"--help"}, {"shop", "import", "--help"}, {"help", "exit-codes"}} {
		var stderr bytes.Buffer
		if code := run(t.Context(), args, nil, strings.NewReader(""), noSpace{}, &stderr); code != exitFailed {
			t.Errorf("rotator %v: exit code %d", args, code)
		}
		if !strings.Contains(stderr.String(), "write the answer: no space left") {
			t.Errorf("rotator %v: %s", args, stderr.String())
		}
	}
}

type noSpace struct{}

func (noSpace) Write([]byte) (int, error) { return 0, syscall.ENOSPC }
