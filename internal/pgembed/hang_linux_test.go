package pgembed

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Nothing continues a process that waits for a dead disk: here it is one that is
// deaf to the request.
func TestStopGivesUpOnAServerThatDoesNot(t *testing.T) {
	t.Parallel()
	for status, want := range map[string]string{
		"ready":    "was asked to (SIGINT) and has not begun to within 300ms, see postgres/server.log; `kill -KILL %d` ends it",
		"stopping": "process %d is still stopping after 300ms, see postgres/server.log",
	} {
		t.Run(status, func(t *testing.T) {
			t.Parallel()
			dir := filepath.Join(publicFolder(t), "postgres")
			data := dataFolder(dir)
			must(t, os.MkdirAll(data, 0o700))
			deaf := exec.Command("/bin/sh", "-c", "trap '' INT; echo deaf; exec sleep 60")
			deaf.Dir = data
			out, err := deaf.StdoutPipe()
			must(t, err)
			must(t, deaf.Start())
			defer func() {
				_ = deaf.Process.Kill()
				_ = deaf.Wait()
			}()
			_, err = fmt.Fscanln(out, new(string))
			must(t, err)
			pid := deaf.Process.Pid
			file := fmt.Sprintf("%d\n%s\n1\n5432\n%s\n\n\n%s\n", pid, data, dir, status)
			must(t, os.WriteFile(filepath.Join(data, "postmaster.pid"), []byte(file), 0o600))
			err = StopWith(t.Context(), Options{Dir: dir, patience: brief})
			if strings.Contains(want, "%d") {
				want = fmt.Sprintf(want, pid)
			}
			wantText(t, err, want, fmt.Sprintf("process %d", pid))
			release, err := lockFolder(t.Context(), dir, newNotes(nil))
			must(t, err)
			release()
		})
	}
}
