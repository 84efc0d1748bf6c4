package jobs

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haravan-rotator/rotator/store"
)

// Flusher commits the outcomes of all shops in flight in groups: a transaction
// per hundred shops costs PostgreSQL a tenth of a transaction per shop.
//
// While PostgreSQL is away a group is tried again until it is back: the tokens
// in it exist nowhere else. The shops that wait are called no further meanwhile,
// and keep others from getting under way.
type Flusher struct {
	store  *store.Store
	log    *slog.Logger
	gather *gathering
	done   sync.WaitGroup
	// failing is when the last try of a group began that failed, nil if none did.
	failing atomic.Pointer[time.Time]
	doubts  doubts
}

const (
	// flushRows is a full group; flushers run side by side.
	flushRows = 500
	flushers  = 2
	// flushDelay is how long a group waits for company.
	flushDelay = 20 * time.Millisecond
	// Between tries while the database is away.
	flushRetryMin = 100 * time.Millisecond
	flushRetryMax = 2 * time.Second
)

// NewFlusher starts the flushers; Close ends them.
func NewFlusher(s *store.Store, log *slog.Logger) *Flusher {
	f := &Flusher{store: s, log: log, gather: newGathering()}
	for range flushers {
		f.done.Go(f.run)
	}
	return f
}

// Submit commits one outcome and, once it has committed, tells then what became
// of it. then may not wait: the other outcomes of the group do.
func (f *Flusher) Submit(o store.Outcome, then func(store.Verdict)) { f.gather.add(o, then) }

// Hurry commits what was submitted without waiting for company.
func (f *Flusher) Hurry() { f.gather.hurry() }

// Close commits what was submitted and ends the flushers. Nobody may submit.
func (f *Flusher) Close() {
	f.gather.end()
	f.done.Wait()
}

// Failing reports whether a group cannot be written at the moment, and since when.
// It may be the group's fault, or a lock's.
func (f *Flusher) Failing() (since time.Time, failing bool) {
	if at := f.failing.Load(); at != nil {
		return *at, true
	}
	return time.Time{}, false
}

func (f *Flusher) run() {
	for {
		g := f.gather.next()
		if g == nil {
			return
		}
		f.flush(g)
		f.gather.done(g)
	}
}

func (f *Flusher) flush(g *group) {
	if refused := f.commit(g.outcomes, g.thens); refused != "" {
		f.doubts.begin(g.outcomes)
		f.isolate(g.outcomes, g.thens, refused)
		f.doubts.end()
	}
}

// commit writes outcomes together, if PostgreSQL takes them all; otherwise it tells
// what was refused, and nothing is written.
func (f *Flusher) commit(outcomes []store.Outcome, thens []func(store.Verdict)) (refused string) {
	wait := flushRetryMin
	for {
		begin := time.Now()
		// A commit that takes this long has lost its server; after a lost
		// answer to a commit the fences make the second try harmless.
		ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
		verdicts, err := f.store.WriteOutcomes(ctx, outcomes)
		cancel()
		if err == nil {
			f.failing.Store(nil)
			f.doubts.taken(outcomes, verdicts)
			for i, then := range thens {
				then(verdicts[i])
			}
			return ""
		}
		if why := store.Unstorable(err); why != "" {
			f.failing.Store(nil) // the server is there
			return why
		}
		if f.failing.CompareAndSwap(nil, &begin) {
			f.log.Warn("cannot write outcomes; trying until the database is back", "shops", len(outcomes), "error", err)
		}
		time.Sleep(wait)
		wait = min(wait*2, flushRetryMax)
	}
}
