package main

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// TestScripts runs the command lines of testdata/script as an operator would.
// Each script has an empty database in $DATABASE_URL, a keyring of its own, and
// in $PUBLIC a folder that the account of a private PostgreSQL can pass.
func TestScripts(t *testing.T) {
	t.Parallel()
	testscript.Run(t, testscript.Params{
		Dir:                 "testdata/script",
		RequireExplicitExec: true,
		RequireUniqueNames:  true,
		Setup:               setUpScript,
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			"exits": exits, "simulator": simulator, "dashboard": dashboard, "until": until, "receiver": receiver,
		},
	})
}

func setUpScript(e *testscript.Env) error {
	url, drop, err := storetest.Database(false)
	if err != nil {
		return err
	}
	public, err := os.MkdirTemp("", "rotator-script-*")
	if err != nil {
		return err
	}
	e.Defer(func() {
		// A script that failed has left its private PostgreSQL running.
		err := pgembed.Stop(context.Background(), filepath.Join(public, "data", "postgres"))
		if err := errors.Join(err, drop(), os.RemoveAll(public)); err != nil {
			e.T().Log(err)
		}
	})
	if err := os.Chmod(public, 0o755); err != nil {
		return err
	}
	e.Setenv("DATABASE_URL", url)
	e.Setenv("ROTATOR_KEYRING", filepath.Join(e.WorkDir, "keyring.json"))
	e.Setenv("ROTATOR_ACTOR", "tester")
	e.Setenv("PUBLIC", public)
	return nil
}

// exits runs a command and wants the exit code: exits CODE COMMAND...
func exits(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: exits CODE COMMAND...")
	}
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	got := 0
	var ended *exec.ExitError
	if err := ts.Exec(args[1], args[2:]...); errors.As(err, &ended) {
		got = ended.ExitCode()
	} else {
		ts.Check(err)
	}
	if got != want {
		ts.Fatalf("exit code %d, want %d", got, want)
	}
}
