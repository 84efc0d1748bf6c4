package jobs

import (
	"sync"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// isolate writes a group that PostgreSQL refused for a value or a rule in halves,
// until the outcome is alone that it refuses: that shop is set aside, and keeps no
// other waiting.
func (f *Flusher) isolate(outcomes []store.Outcome, thens []func(store.Verdict), why string) {
	if half := len(outcomes) / 2; half > 0 {
		f.commitOrIsolate(outcomes[:half], thens[:half])
		f.commitOrIsolate(outcomes[half:], thens[half:])
		return
	}
	o, then := outcomes[0], thens[0]
	f.log.Error("a shop's outcome cannot be stored", "run", o.Claim.RunID, "shop", o.Claim.Domain, "state", o.State, "refused", why)
	refused := f.commit([]store.Outcome{o.SetAside(why)}, []func(store.Verdict){func(v store.Verdict) {
		if v == store.Written {
			v = store.SetAside
		}
		then(v)
	}})
	if refused != "" {
		then(store.Unwritable)
	}
}

func (f *Flusher) commitOrIsolate(outcomes []store.Outcome, thens []func(store.Verdict)) {
	if refused := f.commit(outcomes, thens); refused != "" {
		f.isolate(outcomes, thens, refused)
	}
}

// doubts are what PostgreSQL refused with a group and has not taken alone since:
// it may turn out to take nothing of that kind.
type doubts struct {
	mu sync.Mutex
	// groups are being isolated.
	groups int
	since  map[doubt]time.Time
}

type doubt struct {
	run   int64
	state rotation.ItemState
}

// doubtPatience ends a doubt: what was refused is found in a moment, unless a row
// is locked.
const doubtPatience = time.Second

func (d *doubts) begin(outcomes []store.Outcome) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.groups++
	if d.since == nil {
		d.since = map[doubt]time.Time{}
	}
	for _, o := range outcomes {
		if about := (doubt{o.Claim.RunID, o.State}); d.since[about].IsZero() {
			d.since[about] = time.Now()
		}
	}
}

func (d *doubts) end() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.groups--; d.groups == 0 {
		clear(d.since)
	}
}

// taken ends the doubts about what was written.
func (d *doubts) taken(outcomes []store.Outcome, verdicts []store.Verdict) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.since) == 0 {
		return
	}
	for i, o := range outcomes {
		if verdicts[i] == store.Written {
			delete(d.since, doubt{o.Claim.RunID, o.State})
		}
	}
}

// about reports whether a run's tokens, or their proofs, may all be refused.
func (d *doubts) about(run int64) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	if len(d.since) == 0 {
		return false
	}
	for _, state := range []rotation.ItemState{rotation.ItemExchanged, rotation.ItemProven} {
		if at, ok := d.since[doubt{run, state}]; ok && time.Since(at) < doubtPatience {
			return true
		}
	}
	return false
}
