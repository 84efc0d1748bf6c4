package pgembed

import (
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"syscall"
	"testing"
)

func init() {
	become["contained"] = func(role string) int {
		const (
			capbsetDrop = 24 // prctl(2), PR_CAPBSET_DROP
			sysPtrace   = 19 // capabilities(7), CAP_SYS_PTRACE
		)
		runtime.LockOSThread()
		if _, _, errno := syscall.RawSyscall(syscall.SYS_PRCTL, capbsetDrop, sysPtrace, 0); errno != 0 {
			fmt.Fprintln(os.Stderr, "drop capability:", errno)
			return 1
		}
		program, err := os.Executable()
		if err == nil {
			err = os.Setenv(roleVariable, role)
		}
		if err == nil {
			err = syscall.Exec(program, os.Args, os.Environ())
		}
		fmt.Fprintln(os.Stderr, "run again:", err)
		return 1
	}
}

// Root of a container usually may not look into the processes of other users.
func TestRootOfAContainerSeesItsServer(t *testing.T) {
	t.Parallel()
	needRoot(t)
	dir := durableFolder(t)
	first := cast(t, "", "contained+open", dir)
	f := first.tells(t)
	if f.Err != "" || f.PID == 0 {
		t.Fatalf("%+v", f)
	}
	second := cast(t, "", "contained+open", dir)
	if g := second.tells(t); g.Err != "" || g.PID != f.PID {
		t.Errorf("a second process gets %+v, want server %d", g, f.PID)
	}
	mustExecute(t, f.URL, "select 1")
}

func TestServesLooksAtOwnerAndCommand(t *testing.T) {
	t.Parallel()
	c := mustEphemeral(t, Options{})
	data := dataFolder(c.Dir())
	for name, tt := range map[string]struct {
		pid  int
		data string
		want bool
	}{
		"its server":              {c.PID(), data, true},
		"another data folder":     {c.PID(), filepath.Join(c.Dir(), "run"), false},
		"this very process":       {os.Getpid(), data, false},
		"no process":              {1 << 30, data, false},
		"the shell that holds it": {parentOf(t, c.PID()), data, false},
	} {
		if got, err := serves(tt.pid, tt.data, tt.data); err != nil || got != tt.want {
			t.Errorf("%s: %v, %v, want %v", name, got, err, tt.want)
		}
	}
}
