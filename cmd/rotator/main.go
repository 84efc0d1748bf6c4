package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"
	"syscall"
)

func main() {
	signals := []os.Signal{os.Interrupt, syscall.SIGTERM}
	if !signal.Ignored(syscall.SIGHUP) { // as under nohup
		signals = append(signals, syscall.SIGHUP)
	}
	ctx, stop := signal.NotifyContext(context.Background(), signals...)
	// After the first signal the default action is back: a second one kills a
	// process that does not come to an end.
	context.AfterFunc(ctx, stop)
	if os.Getenv("DATABASE_URL") == "" || bringsDatabase(os.Args[1:]) {
		forgetOtherServers()
	}
	log.SetOutput(unquoted{os.Stderr})
	os.Exit(run(ctx, os.Args[1:], os.Environ(), os.Stdin, os.Stdout, os.Stderr))
}

// unquoted is where the standard logger writes to. net/http quotes there what a
// host sends beyond its answer, which can be a token.
type unquoted struct{ io.Writer }

// Write implements io.Writer.
func (u unquoted) Write(line []byte) (int, error) {
	if before, _, found := bytes.Cut(line, []byte(" starting with ")); found {
		if _, err := u.Writer.Write(append(bytes.Clone(before), '\n')); err != nil {
			return 0, err
		}
		return len(line), nil
	}
	return u.Writer.Write(line)
}

// ownDatabase marks a command that uses no database but one that it starts.
const ownDatabase = "rotator/own-database"

// bringsDatabase reports whether a command line is of such a command.
func bringsDatabase(args []string) bool {
	cmd, _, err := newRoot(newCLI(nil, nil, io.Discard, io.Discard)).Find(args)
	return err == nil && cmd.Annotations[ownDatabase] != ""
}

// forgetOtherServers drops the variables of PostgreSQL's clients (PGSERVICE,
// PGOPTIONS and the like), which the driver heeds: they are about another server
// than the private one.
func forgetOtherServers() {
	for _, entry := range os.Environ() {
		if name, _, _ := strings.Cut(entry, "="); strings.HasPrefix(name, "PG") {
			_ = os.Unsetenv(name) // fails on an empty name only
		}
	}
}

// run executes one command line, without the program's name, and returns the
// exit code. env has the form of os.Environ. It touches nothing of the process
// but what it is given, so that tests can run many at once.
func run(ctx context.Context, args, env []string, stdin io.Reader, stdout, stderr io.Writer) int {
	c := newCLI(env, stdin, stdout, stderr)
	root := newRoot(c)
	root.SetArgs(args)
	root.SetIn(stdin)
	help := &heeded{Writer: stdout}
	root.SetOut(help)
	root.SetErr(stderr)
	completesShells(root) // it keeps the stream that it finds
	err := root.ExecuteContext(ctx)
	c.came()
	if err == nil && help.failed != nil {
		err = fmt.Errorf("write the answer: %w", help.failed)
	}
	c.report(ctx, err)
	return exitCodeOf(err)
}

// heeded remembers that a write failed: cobra does not look when it prints help.
type heeded struct {
	io.Writer
	failed error
}

// Write implements io.Writer.
func (h *heeded) Write(b []byte) (int, error) {
	n, err := h.Writer.Write(b)
	if err != nil {
		h.failed = err
	}
	return n, err
}
