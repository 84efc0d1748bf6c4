package jobs

import (
	"context"
	"log/slog"
	"sync"
	"time"
)

// quiet lets only warnings and errors of a library through.
type quiet struct{ slog.Handler }

// Enabled implements slog.Handler.
func (q quiet) Enabled(ctx context.Context, l slog.Level) bool {
	return l >= slog.LevelWarn && q.Handler.Enabled(ctx, l)
}

// WithAttrs implements slog.Handler.
func (q quiet) WithAttrs(as []slog.Attr) slog.Handler { return quiet{q.Handler.WithAttrs(as)} }

// WithGroup implements slog.Handler.
func (q quiet) WithGroup(name string) slog.Handler { return quiet{q.Handler.WithGroup(name)} }

// sparingEvery is how often the same message is let through.
const sparingEvery = 10 * time.Second

// sparing lets a message through once in a while, and tells how many it kept
// back: while the database is away every loop fails several times a second, and
// who reads the log then looks for something else.
type sparing struct {
	slog.Handler
	said *said
}

// said is when each message was let through last.
type said struct {
	mu     sync.Mutex
	before map[string]*saidBefore
}

type saidBefore struct {
	at   time.Time
	kept int
}

func newSparing(h slog.Handler) sparing {
	return sparing{Handler: h, said: &said{before: map[string]*saidBefore{}}}
}

// Handle implements slog.Handler.
func (s sparing) Handle(ctx context.Context, r slog.Record) error {
	key := r.Message
	r.Attrs(func(a slog.Attr) bool {
		switch a.Key { // the failure of one is not another's
		case "run", "kind", "job_kind", "queue":
			key += " " + a.Value.String()
		}
		return true
	})
	kept, again := s.said.again(key, r.Time)
	switch {
	case again:
		return nil
	case kept > 0:
		r.AddAttrs(slog.Int("kept_back", kept))
	}
	return s.Handler.Handle(ctx, r)
}

// again notes a message and reports whether it is kept back; if not, kept is how
// many were since the last one.
func (s *said) again(message string, at time.Time) (kept int, again bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.before[message]
	if b == nil {
		s.before[message] = &saidBefore{at: at}
		return 0, false
	}
	if at.Sub(b.at) < sparingEvery {
		b.kept++
		return 0, true
	}
	kept, b.at, b.kept = b.kept, at, 0
	return kept, false
}

// WithAttrs implements slog.Handler.
func (s sparing) WithAttrs(as []slog.Attr) slog.Handler {
	return sparing{s.Handler.WithAttrs(as), s.said}
}

// WithGroup implements slog.Handler.
func (s sparing) WithGroup(name string) slog.Handler {
	return sparing{s.Handler.WithGroup(name), s.said}
}
