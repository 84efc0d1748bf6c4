package pgembed

import (
	"context"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

func TestDurableClusterOutlivesItsProcess(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	if s := mustInspect(t, dir); s.State != Absent || s.PID != 0 {
		t.Errorf("before: %+v, want absent", s)
	}
	starter := cast(t, "", "open", dir)
	f := starter.tells(t)
	if f.Err != "" {
		t.Fatal(f.Err)
	}
	// An interrupt typed at a terminal goes to a whole process group.
	if group, err := syscall.Getpgid(f.PID); err != nil || group == syscall.Getpgrp() {
		t.Errorf("the server's process group is %d, ours is %d: %v", group, syscall.Getpgrp(), err)
	}
	starter.leaves(t)

	s := mustInspect(t, dir)
	if s.State != Running || s.PID != f.PID || s.SizeBytes < 1<<20 || s.SocketDir != filepath.Join(dir, "run") {
		t.Errorf("running: %+v, want process %d", s, f.PID)
	}
	if age := time.Since(s.StartedAt); age < -time.Second || age > time.Minute {
		t.Errorf("started at %v, %v ago", s.StartedAt, age)
	}
	c := mustOpen(t, Options{Dir: dir, Binaries: "/nowhere"}) // joining needs none
	if c.PID() != f.PID || c.URL() != f.URL {
		t.Errorf("joined process %d at %s, want %d at %s", c.PID(), c.URL(), f.PID, f.URL)
	}
	if v := ask(t, c.URL(), "show server_version"); !strings.HasPrefix(v, s.Version) {
		t.Errorf("Inspect says version %s, the server %s", s.Version, v)
	}
	if got := ask(t, c.URL(), "show data_checksums") + ask(t, c.URL(), "show fsync"); got != "onon" {
		t.Errorf("checksums and fsync are %s", got)
	}
	mustExecute(t, c.URL(), "create table kept (n int)", "insert into kept values (1)")
	must(t, c.Close())
	mustExecute(t, c.URL(), "select 1") // Close leaves it running

	must(t, Stop(t.Context(), dir))
	if s := mustInspect(t, dir); s.State != Stopped || s.PID != 0 || s.Version == "" {
		t.Errorf("stopped: %+v", s)
	}
	must(t, Stop(t.Context(), dir)) // stopped is fine
	must(t, Stop(t.Context(), filepath.Join(dir, "absent")))

	again := mustOpen(t, Options{Dir: dir, Settings: map[string]string{"work_mem": "9MB"}})
	if got := ask(t, again.URL(), "select n::text from kept") + ask(t, again.URL(), "show work_mem"); got != "19MB" {
		t.Errorf("after a restart with a setting: %s", got)
	}
	must(t, again.Stop(t.Context()))
	if again.PID() != 0 {
		t.Error("Stop left the server running")
	}
}

func TestProcessesAtOnceGetOneServer(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	var actors []*actor
	for range 4 {
		actors = append(actors, cast(t, "", "open", dir))
	}
	pids := map[int]bool{}
	for _, a := range actors {
		f := a.tells(t)
		if f.Err != "" {
			t.Error(f.Err)
		}
		pids[f.PID] = true
	}
	if len(pids) != 1 || pids[0] {
		t.Errorf("four processes at once got servers %v, want one", pids)
	}
	for _, a := range actors {
		a.dies(t) // none takes the server with it
	}
	mustExecute(t, mustOpen(t, Options{Dir: dir}).URL(), "select 1")
}

// What a power cut leaves: a postmaster.pid and a socket lock whose process id
// now belongs to some other process of the same user; an unfinished initdb.
func TestOpenRecoversWhatACrashLeaves(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	c := mustOpen(t, Options{Dir: dir})
	mustExecute(t, c.URL(), "create table kept (n int)", "insert into kept values (1)")
	must(t, c.Kill())
	if s := mustInspect(t, dir); s.State != Stopped {
		t.Errorf("after a crash: %+v, want stopped", s)
	}

	bystander := c.account.command("/", "sleep", "60")
	must(t, bystander.Start())
	defer func() {
		_ = bystander.Process.Kill()
		_ = bystander.Wait()
	}()
	for _, path := range []string{filepath.Join(dir, "data", "postmaster.pid"), filepath.Join(dir, "run", socketName+".lock")} {
		b, err := os.ReadFile(path)
		must(t, err)
		_, rest, _ := strings.Cut(string(b), "\n")
		must(t, os.WriteFile(path, []byte(strconv.Itoa(bystander.Process.Pid)+"\n"+rest), 0o600))
	}
	unfinished := filepath.Join(dir, "data.new-1")
	must(t, os.Mkdir(unfinished, 0o700))

	if s := mustInspect(t, dir); s.State != Stopped {
		t.Errorf("with a foreign process id: %+v, want stopped", s)
	}
	must(t, Stop(t.Context(), dir))
	if !isAlive(bystander.Process.Pid) {
		t.Fatal("Stop ended a process that is no server")
	}
	c = mustOpen(t, Options{Dir: dir})
	if n := ask(t, c.URL(), "select n::text from kept"); n != "1" {
		t.Errorf("after the crash n = %s", n)
	}
	if exists(unfinished) {
		t.Error("the unfinished data folder was not removed")
	}
	if !isAlive(bystander.Process.Pid) {
		t.Error("Open ended a process that is no server")
	}

	must(t, c.Kill())
	for _, path := range []string{filepath.Join(dir, "data", "postmaster.pid"), filepath.Join(dir, "run", socketName+".lock")} {
		must(t, os.Truncate(path, 0)) // written, but not to the disk
	}
	if s := mustInspect(t, dir); s.State != Stopped {
		t.Errorf("with an empty postmaster.pid: %+v, want stopped", s)
	}
	mustExecute(t, mustOpen(t, Options{Dir: dir}).URL(), "select 1")
}

func TestOpenIgnoresAnUnfinishedInitialisation(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	ctx, cancel := context.WithCancel(t.Context())
	failed := make(chan error, 1)
	go func() {
		_, err := Open(ctx, Options{Dir: dir})
		failed <- err
	}()
	eventually(t, "initdb runs", func() bool {
		found, err := filepath.Glob(filepath.Join(dir, "data.new-*", "base"))
		return err == nil && len(found) > 0
	})
	cancel()
	if err := <-failed; err == nil {
		t.Fatal("Open succeeded after its context ended")
	}
	if s := mustInspect(t, dir); s.State != Absent {
		t.Errorf("after a cancelled initdb: %+v, want absent", s)
	}
	leftover := filepath.Join(dir, "data.new-left")
	must(t, os.MkdirAll(filepath.Join(leftover, "base"), 0o700))
	mustExecute(t, mustOpen(t, Options{Dir: dir}).URL(), "select 1")
	if exists(leftover) {
		t.Error("the unfinished data folder was not removed")
	}
}

// The initdb of a rotator that was killed goes on, in the folder that is to be
// removed.
func TestOpenBesideAnInitialisationThatGoesOn(t *testing.T) {
	t.Parallel()
	dir := durableFolder(t)
	a, err := accountFor(dir)
	must(t, err)
	must(t, makeClusterFolder(dir, a))
	orphan := filepath.Join(dir, "data.new-orphan")
	write := func() {
		for n := range 100 { // may be removed again at once
			_ = os.MkdirAll(filepath.Join(orphan, "base", strconv.Itoa(n)), 0o700)
		}
	}
	write()
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		for ctx.Err() == nil {
			write()
		}
		write()
	}()
	c, err := Open(t.Context(), Options{Dir: dir, Log: &closeOnWrite{cancel: cancel}})
	cancel()
	<-ended
	if err != nil {
		t.Fatal(err)
	}
	mustExecute(t, c.URL(), "select 1")
	must(t, c.StopServer(t.Context()))
	must(t, c.StartServer(t.Context()))
	if exists(orphan) {
		t.Error("the unfinished data folder is still there after the next start")
	}
}

// A folder name that leaves no room for a socket's path.
func TestOpenInADeepFolder(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(durableFolder(t), strings.Repeat("deep/", 30), "postgres")
	a, err := accountFor(dir)
	must(t, err)
	sockets := socketFolder(dir, a.uid)
	must(t, os.WriteFile(sockets, nil, 0o600)) // someone was there first
	defer os.RemoveAll(sockets)
	_, err = Open(t.Context(), Options{Dir: dir})
	wantText(t, err, sockets, "not a folder")
	must(t, os.Remove(sockets))

	c := mustOpen(t, Options{Dir: dir})
	defer func() {
		must(t, Stop(context.Background(), dir))
		if exists(sockets) {
			t.Errorf("%s is left", sockets)
		}
	}()
	mustExecute(t, c.URL(), "select 1")
	if s := mustInspect(t, dir); s.SocketDir != sockets {
		t.Errorf("socket in %s, want %s", s.SocketDir, sockets)
	}
	info, err := os.Stat(sockets)
	must(t, err)
	if info.Mode().Perm() != 0o700 || ownerOf(info) != a.uid {
		t.Errorf("socket folder has mode %v and owner %d, want 0700 and %d", info.Mode(), ownerOf(info), a.uid)
	}
}

// Nothing that a folder may be called is taken for something else: by the
// connection string, by PostgreSQL's settings, by a search.
func TestOpenInAFolderOfAnyName(t *testing.T) {
	t.Parallel()
	for _, name := range []string{`Application Support é +%20`, `it's "a"&b=c?d#e`, `a,b`, `[x\y*`} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(durableFolder(t), name, "postgres")
			defer func() { must(t, Stop(context.Background(), dir)) }()
			unfinished := filepath.Join(dir, "data.new-1")
			must(t, makeFolders(unfinished, 0o777))
			a, err := accountFor(dir)
			must(t, err)
			must(t, a.own(dir))
			c := mustOpen(t, Options{Dir: dir})
			mustExecute(t, c.URL(), "select 1")
			if exists(unfinished) {
				t.Error("an unfinished data folder is still there")
			}
		})
	}
}

func TestOnlyTheOwnerIsAdmitted(t *testing.T) {
	t.Parallel()
	needRoot(t)
	c := mustEphemeral(t, Options{})
	stranger := cast(t, "daemon", "connect", c.URL())
	if f := stranger.tells(t); !strings.Contains(f.Err, "permission denied") {
		t.Errorf("another user connects with %q, want permission denied at the socket's folder", f.Err)
	}
	// The account itself can reach the socket, but is not the one who made the
	// cluster.
	server := cast(t, c.account.name, "connect", c.URL())
	if f := server.tells(t); !strings.Contains(f.Err, "eer authentication failed") {
		t.Errorf("the server's account connects with %q, want a refusal", f.Err)
	}
	if owner := lookUp(t, c.account.name); owner.uid == 0 {
		t.Error("the server runs as root")
	}
}

func TestOpenAsAnOrdinaryUser(t *testing.T) {
	t.Parallel()
	needRoot(t)
	home := publicFolder(t)
	nobody := lookUp(t, "nobody")
	must(t, os.Chown(home, nobody.uid, nobody.gid))
	dir := filepath.Join(home, "data", "postgres")
	user := cast(t, "nobody", "open", dir)
	f := user.tells(t)
	if f.Err != "" {
		t.Fatal(f.Err)
	}
	user.leaves(t)
	defer func() { must(t, Stop(context.Background(), dir)) }()

	if s := mustInspect(t, dir); s.State != Running || s.PID != f.PID {
		t.Errorf("root sees %+v, want process %d running", s, f.PID)
	}
	c := mustOpen(t, Options{Dir: dir}) // root joins, as the map allows
	mustExecute(t, c.URL(), "create table kept (n int)")
	must(t, c.Stop(t.Context()))
	c = mustOpen(t, Options{Dir: dir}) // and starts it as its owner
	if n := ask(t, c.URL(), "select count(*)::text from kept"); n != "0" {
		t.Error("root sees another database")
	}
	again := cast(t, "nobody", "open", dir)
	if f := again.tells(t); f.Err != "" || f.PID != c.PID() {
		t.Errorf("the owner gets %+v after root started the server as %d", f, c.PID())
	}
	stranger := cast(t, "daemon", "open", dir)
	if f := stranger.tells(t); !strings.Contains(f.Err, "ROTATOR_DATA_DIR") {
		t.Errorf("another user opens with %q, want a way out", f.Err)
	}
}
