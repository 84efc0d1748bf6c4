package pgembed

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
)

// maxLogBytes is the size at which a start begins a new server.log.
const maxLogBytes = 16 << 20

// shownLogLines is how much of a log an error shows.
const shownLogLines = 12

func (c *Cluster) logPath() string { return filepath.Join(c.dir, "server.log") }

// openLog opens server.log for appending and returns its size, so that a failed
// start is explained by its own lines only. One older log is kept.
func (c *Cluster) openLog() (*os.File, int64, error) {
	path := c.logPath()
	if info, err := os.Stat(path); err == nil && info.Size() > maxLogBytes {
		if err := os.Rename(path, path+".1"); err != nil {
			return nil, 0, fmt.Errorf("begin a new server.log: %w", err)
		}
	}
	f, err := os.OpenFile(path, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return nil, 0, fmt.Errorf("open server.log: %w", err)
	}
	info, err := f.Stat()
	if err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("look at server.log: %w", err)
	}
	if err := c.account.own(path); err != nil {
		_ = f.Close()
		return nil, 0, fmt.Errorf("open server.log: %w", err)
	}
	return f, info.Size(), nil
}

// logSince returns server.log from offset on, its last part when that is long.
func (c *Cluster) logSince(offset int64) string {
	const most = 16 << 10
	f, err := os.Open(c.logPath())
	if err != nil {
		return ""
	}
	defer f.Close()
	if info, err := f.Stat(); err == nil && info.Size()-offset > most {
		offset = info.Size() - most
	}
	b, err := io.ReadAll(io.NewSectionReader(f, offset, most))
	if err != nil {
		return ""
	}
	return string(b)
}

// causes are messages of PostgreSQL and its operating system, and what to do.
var causes = []struct{ message, advice string }{
	{"No space left on device", "the disk is full: free space and start again, nothing is lost"},
	{"Check free disk space", "the disk is full: free space and start again, nothing is lost"},
	{"Disk quota exceeded", "the disk quota is used up: free space and start again, nothing is lost"},
	{"Read-only file system", "the folder is on a read-only file system: choose another with ROTATOR_DATA_DIR"},
	{"Permission denied", "the server's user lacks a permission: check owner and mode of the folder"},
	{"could not look up effective user ID", "this OS user has no entry in /etc/passwd, which PostgreSQL needs: add one"},
	{"Cannot allocate memory", "the machine has too little free memory for the server"},
	{"could not create shared memory segment", "the machine's shared memory limits are too low for the server"},
	{"database files are incompatible with server", "another PostgreSQL made this folder: install that one again"},
	{"is another postmaster", "another server runs on this folder"},
	{"could not locate a valid checkpoint record", "the data folder is damaged: restore it from a backup"},
}

// explainLog returns advice for the messages it knows and the last lines of the
// log, to be put at the end of an error. No log gives "".
func explainLog(log string) string {
	log = strings.TrimSpace(log)
	if log == "" {
		return ""
	}
	var b strings.Builder
	for _, c := range causes {
		if strings.Contains(log, c.message) {
			b.WriteString(": " + c.advice)
			break
		}
	}
	b.WriteString("; the server's last lines:")
	lines := strings.Split(log, "\n")
	for _, line := range lines[max(0, len(lines)-shownLogLines):] {
		b.WriteString("\n  " + strings.TrimRight(line, "\r"))
	}
	return b.String()
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(strings.TrimSpace(s), "\n")
	return line
}
