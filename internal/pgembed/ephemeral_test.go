package pgembed

import (
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
)

func TestEphemeralServesAndLeavesNothing(t *testing.T) {
	t.Parallel()
	base := publicFolder(t)
	c := mustEphemeral(t, Options{Dir: base, Settings: map[string]string{"work_mem": "7MB"}})
	other := mustEphemeral(t, Options{Dir: base})

	mustExecute(t, c.URL(), "create table here (n int)")
	if n := ask(t, other.URL(), "select count(*)::text from pg_tables where tablename = 'here'"); n != "0" {
		t.Error("two ephemeral clusters share a database")
	}
	for query, want := range map[string]string{
		"show work_mem":          "7MB",
		"show listen_addresses":  "",
		"show fsync":             "off",
		"show server_encoding":   "UTF8",
		"show lc_collate":        "C",
		"select current_user":    "rotator",
		"select current_catalog": "rotator",
	} {
		if query == "show lc_collate" {
			query = "select datcollate from pg_database where datname = 'rotator'"
		}
		if got := ask(t, c.URL(), query); got != want {
			t.Errorf("%s = %q, want %q", query, got, want)
		}
	}
	if err := execute(t.Context(), c.ConnString("postgres"), "create database second"); err != nil {
		t.Error(err)
	}
	mustExecute(t, c.ConnString("second"), "select 1")

	pid := c.PID()
	if err := c.Close(); err != nil {
		t.Fatal(err)
	}
	if exists(c.Dir()) || isAlive(pid) {
		t.Errorf("after Close: folder there %v, server alive %v", exists(c.Dir()), isAlive(pid))
	}
	if err := c.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
	wantText(t, c.StartServer(t.Context()), "it was removed")
	mustExecute(t, other.URL(), "select 1") // closing one leaves the other
}

func TestEphemeralGoesAwayAndComesBack(t *testing.T) {
	t.Parallel()
	c := mustEphemeral(t, Options{})
	mustExecute(t, c.URL(), "create table kept (n int)", "insert into kept values (1)")
	first := c.PID()

	must(t, c.StopServer(t.Context()))
	if c.PID() != 0 || isAlive(first) {
		t.Fatalf("after StopServer: PID %d, process alive %v", c.PID(), isAlive(first))
	}
	if execute(t.Context(), c.URL(), "select 1") == nil {
		t.Fatal("a stopped server answers")
	}
	must(t, c.StopServer(t.Context())) // stopped is fine
	must(t, c.StartServer(t.Context()))
	if n := ask(t, c.URL(), "select n::text from kept"); n != "1" {
		t.Errorf("after StopServer and StartServer: n = %s", n)
	}
	second := c.PID()
	must(t, c.StartServer(t.Context())) // running is fine
	if c.PID() != second {
		t.Error("StartServer replaced a running server")
	}

	mustExecute(t, c.URL(), "insert into kept values (2)", "checkpoint", "insert into kept values (4)")
	must(t, c.Kill())
	if isAlive(second) {
		t.Fatal("after Kill the server lives")
	}
	must(t, c.StartServer(t.Context()))
	if n := ask(t, c.URL(), "select sum(n)::text from kept"); n != "7" {
		t.Errorf("after Kill and StartServer: sum = %s, want what was committed", n)
	}

	must(t, syscall.Kill(c.PID(), syscall.SIGKILL)) // a crash that we did not order
	eventually(t, "the server is gone", func() bool { return c.PID() == 0 })
	must(t, c.StartServer(t.Context()))
	mustExecute(t, c.URL(), "select 1")
}

// A query that computes does not notice that the server was killed, and keeps
// the next one from starting.
func TestStartAfterAKillInTheMiddleOfAQuery(t *testing.T) {
	t.Parallel()
	c := mustEphemeral(t, Options{})
	query := make(chan error, 1)
	go func() {
		query <- execute(t.Context(), c.URL(), "select count(*) /* busy */ from generate_series(1, 1000000000)")
	}()
	eventually(t, "the query runs", func() bool {
		return ask(t, c.URL(), "select count(*)::text from pg_stat_activity where query like '%/* busy */%' and pid <> pg_backend_pid()") == "1"
	})
	must(t, c.Kill())
	must(t, c.StartServer(t.Context()))
	mustExecute(t, c.URL(), "select 1")
	if err := <-query; err == nil {
		t.Error("the query outlived its server")
	}
}

func TestEphemeralDiesWithItsProcess(t *testing.T) {
	t.Parallel()
	process := cast(t, "", "ephemeral", publicFolder(t))
	f := process.tells(t)
	if f.Err != "" {
		t.Fatal(f.Err)
	}
	mustExecute(t, f.URL, "select 1")
	process.dies(t)
	eventually(t, "the server has died with its process", func() bool { return !isAlive(f.PID) })
	eventually(t, "its folder is gone", func() bool { return !exists(f.Dir) })
}

// A server that has just been forked ignores the signal that is to end it.
func TestEphemeralDiesWithAProcessKilledDuringTheStart(t *testing.T) {
	t.Parallel()
	base := publicFolder(t)
	process := cast(t, "", "ephemeral", base)
	eventually(t, "the server is being started", func() bool {
		logs, err := filepath.Glob(filepath.Join(base, ephemeralPattern, "server.log"))
		return err == nil && len(logs) > 0
	})
	process.dies(t)
	// Either the holder was there and removes the folder, or the process died
	// just before it; then the next one does.
	c := mustEphemeral(t, Options{Dir: base})
	eventually(t, "only the new cluster is there", func() bool {
		dirs, err := filepath.Glob(filepath.Join(base, ephemeralPattern))
		return err == nil && len(dirs) == 1 && dirs[0] == c.Dir()
	})
	if pids := serversIn(t, base); len(pids) != 1 || pids[0] != c.PID() {
		t.Errorf("servers %v run, want only %d", pids, c.PID())
	}
}

func TestNextEphemeralRemovesOrphansOnly(t *testing.T) {
	t.Parallel()
	base := publicFolder(t)
	dying, living := cast(t, "", "ephemeral", base), cast(t, "", "ephemeral", base)
	orphan, kept := dying.tells(t), living.tells(t)
	if orphan.Err != "" || kept.Err != "" {
		t.Fatal(orphan.Err, kept.Err)
	}
	// Without the shell that holds it, the server outlives its process.
	shell := parentOf(t, orphan.PID)
	for _, pid := range append(childrenOf(t, shell), shell) {
		if pid != orphan.PID {
			must(t, syscall.Kill(pid, syscall.SIGKILL))
		}
	}
	dying.dies(t)
	mustExecute(t, orphan.URL, "select 1")
	foreign := filepath.Join(base, "rotator-ephemeral-foreign")
	must(t, os.WriteFile(foreign, nil, 0o600))

	c := mustEphemeral(t, Options{Dir: base})
	if exists(orphan.Dir) {
		t.Error("the orphan's folder is still there")
	}
	eventually(t, "the orphan is gone", func() bool { return !isAlive(orphan.PID) })
	mustExecute(t, kept.URL, "select 1")
	mustExecute(t, c.URL(), "select 1")
	if !exists(foreign) {
		t.Error("a file of the same name was removed")
	}
	living.leaves(t)
}

// serversIn returns the servers whose data folder is below base.
func serversIn(t *testing.T, base string) []int {
	t.Helper()
	return processes(t, func(p process) bool {
		return strings.Contains(p.args, "postgres -D "+base) && !strings.HasPrefix(p.args, "/bin/sh")
	})
}

func childrenOf(t *testing.T, pid int) []int {
	t.Helper()
	return processes(t, func(p process) bool { return p.parent == pid })
}

func parentOf(t *testing.T, pid int) int {
	t.Helper()
	var parent int
	processes(t, func(p process) bool {
		if p.pid == pid {
			parent = p.parent
		}
		return false
	})
	if parent <= 1 {
		t.Fatalf("process %d has parent %d, want the shell that holds it", pid, parent)
	}
	return parent
}

type process struct {
	pid, parent int
	args        string
}

// processes returns the ids of the machine's processes that pick accepts.
func processes(t *testing.T, pick func(process) bool) []int {
	t.Helper()
	out, err := exec.Command("ps", "-eo", "pid=,ppid=,args=").Output()
	must(t, err)
	var pids []int
	for line := range strings.Lines(string(out)) {
		fields := strings.Fields(line)
		if len(fields) < 3 {
			continue
		}
		pid, err := strconv.Atoi(fields[0])
		must(t, err)
		parent, err := strconv.Atoi(fields[1])
		must(t, err)
		if pick(process{pid, parent, strings.Join(fields[2:], " ")}) {
			pids = append(pids, pid)
		}
	}
	return pids
}
