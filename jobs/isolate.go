package jobs

import (
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// unstorablePause is how long a shop is left alone of which nothing can be stored.
const unstorablePause = 5 * time.Second

const saysUnstorable = "PostgreSQL refuses to store the outcome ("

// isolate writes a group that PostgreSQL refused for a value or a rule in halves,
// until the outcome is alone that it refuses: that shop is set aside, and keeps no
// other waiting.
func (f *Flusher) isolate(outcomes []store.Outcome, thens []func(store.Verdict), why string) {
	if half := len(outcomes) / 2; half > 0 {
		f.commit(outcomes[:half], thens[:half])
		f.commit(outcomes[half:], thens[half:])
		return
	}
	o, then := outcomes[0], thens[0]
	f.log.Error("a shop's outcome cannot be stored", "run", o.Claim.RunID, "shop", o.Claim.Domain, "state", o.State, "refused", why)
	if strings.HasPrefix(o.Detail, saysUnstorable) {
		// Not even that: whoever looks after its batch comes back to it, and not at
		// once.
		time.AfterFunc(unstorablePause, func() { then(store.Fenced) })
		return
	}
	f.commit([]store.Outcome{setAside(o, why)}, []func(store.Verdict){func(store.Verdict) { then(store.Fenced) }})
}

// setAside is what is stored instead of an outcome that cannot be: a token that
// is stored stays where it is, one that is not may be the platform's newest.
func setAside(o store.Outcome, why string) store.Outcome {
	aside := store.Outcome{
		Claim: o.Claim, State: rotation.ItemParked, Class: rotation.ClassOurs, Latency: o.Latency,
		Detail: saysUnstorable + why + "): see the worker's log",
	}
	if o.State == rotation.ItemExchanged && !o.New.IsZero() && o.Claim.Tries < attemptsNetwork {
		aside.State, aside.Delay = rotation.ItemUnknown, grownPause(o.Claim.Tries)
	}
	return aside
}
