package pgembed

import (
	"fmt"
	"io"
	"sync"
	"time"
)

// notes writes progress lines for a human, one Write each.
type notes struct {
	mu sync.Mutex
	w  io.Writer
}

func newNotes(w io.Writer) *notes {
	if w == nil {
		w = io.Discard
	}
	return &notes{w: w}
}

func (n *notes) printf(format string, args ...any) {
	n.mu.Lock()
	defer n.mu.Unlock()
	// Progress is a courtesy: a closed pipe must not stop a database.
	_, _ = fmt.Fprintf(n.w, format+"\n", args...)
}

// after returns a function to be called while waiting; it prints the note once,
// when d has passed since after was called.
func (n *notes) after(d time.Duration, format string, args ...any) func() {
	due := time.Now().Add(d)
	return func() {
		if !due.IsZero() && time.Now().After(due) {
			due = time.Time{}
			n.printf(format, args...)
		}
	}
}
