package jobs

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// unstoredBelieved is of how many shops PostgreSQL must refuse an outcome of a kind,
// with none in between that it took, until it is believed to take none. Of 100,000
// shops with one odd among ten, as many come in a row once.
const unstoredBelieved = 5

// unstored counts shops of a run of which PostgreSQL refused an outcome in a row, each
// kind for itself: where it takes no proof it may take every token.
type unstored struct{ tokens, proofs, others refusals }

// refusals are the shops refused in a row. One that is tried again and again is one.
type refusals struct {
	any   atomic.Bool
	mu    sync.Mutex
	shops map[string]bool
}

func (r *refusals) add(shop string) (shops int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.shops == nil {
		r.shops = map[string]bool{}
	}
	r.shops[shop] = true
	r.any.Store(true)
	return len(r.shops)
}

func (r *refusals) end() {
	if r.any.Load() { // as a rule there is none
		r.mu.Lock()
		defer r.mu.Unlock()
		clear(r.shops)
		r.any.Store(false)
	}
}

func (u *unstored) of(state rotation.ItemState) *refusals {
	switch state {
	case rotation.ItemExchanged:
		return &u.tokens
	case rotation.ItemProven:
		return &u.proofs
	}
	return &u.others
}

// taken ends the row of its kind, and that of the others, which are too few to be
// told by themselves.
func (u *unstored) taken(state rotation.ItemState) {
	u.of(state).end()
	u.others.end()
}

// forget begins anew, for a run that goes on after a hold.
func (u *unstored) forget() {
	u.tokens.end()
	u.proofs.end()
	u.others.end()
}

// notStored is what is left to do, by a hand, for an outcome that was to bring the
// shop to a state and was kept out, and failed false for every other. The app's own
// table is the breaker's matter. A database that refuses one shop after the other, or
// all that could be said of one, holds the run, here at once: each further exchange
// would make a token that nobody keeps.
func (a *attempt) notStored(state rotation.ItemState, v store.Verdict) (step func(context.Context) (ended bool), failed bool) {
	refused := 0
	switch v {
	case store.Written:
		a.run.unstored.taken(state)
		return nil, false
	case store.TableFailed:
		return func(ctx context.Context) bool {
			a.observe(rotation.ClassOurs, a.why(ctx), 0)
			return true
		}, true
	case store.RowRefused:
		first := a.run.firstRefusal(a.claim.Domain)
		return func(ctx context.Context) bool {
			if first {
				a.observe(rotation.ClassOurs, a.why(ctx), 0)
			}
			return true
		}, true
	case store.SetAside:
		refused = a.run.unstored.of(state).add(a.claim.Domain)
	case store.Unwritable:
		refused = unstoredBelieved
	default:
		return nil, false
	}
	first := refused >= unstoredBelieved && a.run.trip(rotation.Trip{Held: rotation.HeldWaiting, Why: fmt.Sprintf(
		"%s what becomes of shops, %s for example: a worker's log says by which rule; mend the database, then resume", rotation.SaysUnstorable, a.claim.Domain)})
	return func(ctx context.Context) bool {
		if first {
			a.engine.saveTrip(ctx, a.run)
		}
		return true
	}, true
}

// rowsKnown is of how many shops a worker remembers that their row refused its token.
const rowsKnown = 10_000

// firstRefusal reports whether the row of the shop in the app's own table refuses its
// token for the first time here. Only that may be the table's matter: the last shops
// of a wave, each with a row of its own to mend, are tried again with no success in
// between, and would hold the run at each resume.
func (r *runState) firstRefusal(shop string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.rows[shop] {
		return false
	}
	if r.rows == nil || len(r.rows) >= rowsKnown {
		r.rows = map[string]bool{}
	}
	r.rows[shop] = true
	return true
}

// holdIfUnstorable holds a run of which PostgreSQL refuses a write for a rule: no
// further try would get through.
func (e *Engine) holdIfUnstorable(ctx context.Context, run *runState, err error) {
	if why := store.Unstorable(err); why != "" {
		e.hold(ctx, run, rotation.HeldWaiting, rotation.SaysUnstorable+" what became of a batch ("+why+"): mend the database, then resume")
	}
}
