package jobs

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// CheckDerivedArgs looks at derived tokens before the cutover. Done is the
// number of shops that were looked at when the job was made, to tell one from
// the next.
type CheckDerivedArgs struct {
	Run  int64 `json:"run"`
	Done int   `json:"done"`
}

// Kind implements river.JobArgs.
func (CheckDerivedArgs) Kind() string { return "check_derived" }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (a CheckDerivedArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: itemQueue(a.Run), UniqueOpts: onceWhileOpen}
}

// checkDerivedWorker reads the identity behind derived tokens. A read has no
// effect, so it needs no claim. A few shops are asked first: if they are all
// refused, it is not theirs and the run is held.
type checkDerivedWorker struct {
	river.WorkerDefaults[CheckDerivedArgs]
	engine *Engine
}

// checkCanary shops are looked at side by side as long as none was accepted.
const checkCanary = 5

// Work implements river.Worker.
func (w *checkDerivedWorker) Work(ctx context.Context, job *river.Job[CheckDerivedArgs]) error {
	e := w.engine
	run, stopped, err := e.enter(ctx, job.Args.Run)
	if err != nil || run == nil || stopped != nil {
		return err // stopped: the supervisor sends another when it may
	}
	alive, err := e.store.AnyComputedAlive(ctx, run.id)
	if err != nil {
		return err
	}
	pass := derivedPass{engine: e, run: run, alive: alive, computed: !alive}
	for begin := time.Now(); time.Since(begin) < batchBudget && e.mayCall(run, false, 0) == nil; {
		more, err := pass.next(ctx)
		if err != nil || !more {
			return err
		}
	}
	return nil // the supervisor sends another
}

// derivedPass goes once over the shops that the check has not looked at.
type derivedPass struct {
	engine *Engine
	run    *runState
	after  int64
	// computed tells that passwords are left for later: they are right under any
	// version of the secret, and would hide that it is the wrong one.
	computed bool
	// alive tells that a derived token was accepted. Until then refused ones are
	// kept here: nobody knows whose fault it is.
	alive   bool
	refused []store.DerivedChecked
}

// next looks at a page of shops. It reports whether there may be more.
func (p *derivedPass) next(ctx context.Context) (more bool, err error) {
	n := checkPage
	if !p.alive {
		n = checkCanary
	}
	page, err := p.engine.store.NextDerivedChecks(ctx, p.run.id, p.after, n, p.computed)
	if err != nil {
		return false, err
	}
	if len(page) == 0 && p.computed {
		few := p.refused
		p.computed, p.after, p.refused = false, 0, nil
		p.engine.kick()
		return true, p.write(ctx, few) // too few to be believed
	}
	if len(page) == 0 {
		if p.after > 0 {
			p.engine.kick()
		}
		return false, p.write(ctx, p.refused) // too few to be believed
	}
	p.after = page[len(page)-1].Position
	seen := sideBySide(page, unharmed(p.engine, p.run.id, func(c store.DerivedCheck) (store.DerivedChecked, bool) {
		a := attempt{engine: p.engine, run: p.run, claim: store.Claim{RunID: p.run.id, Domain: c.Domain, Tries: c.Tries}}
		return a.lookAtDerived(context.WithoutCancel(ctx), c)
	}))
	if !p.alive && slices.ContainsFunc(seen, func(c store.DerivedChecked) bool { return c.Alive }) {
		p.alive = true
		if p.computed {
			p.computed, p.after = false, 0
		}
		p.run.tokenAccepted()
	}
	if p.alive {
		seen, p.refused = append(seen, p.refused...), nil
		return true, p.write(ctx, seen)
	}
	var clear []store.DerivedChecked
	for _, c := range seen {
		if c.Refused {
			p.refused = append(p.refused, c)
		} else {
			clear = append(clear, c)
		}
	}
	if err := p.write(ctx, clear); err != nil {
		return false, err
	}
	if len(p.refused) < refusalsBelieved {
		return true, nil
	}
	p.engine.hold(ctx, p.run, rotation.HeldWaiting, saysRefused)
	return false, nil
}

const saysRefused = "the platform refuses the derived tokens (401): is it the right version of the secret, and does a test app exist?"

func (p *derivedPass) write(ctx context.Context, seen []store.DerivedChecked) error {
	if len(seen) == 0 {
		return nil
	}
	err := p.engine.store.WriteDerivedChecks(ctx, p.run.id, seen)
	if errors.Is(err, store.ErrConflict) {
		return nil // the run is over
	}
	return err
}

// lookAtDerived asks with a derived token. ok is false when no call was made.
func (a *attempt) lookAtDerived(ctx context.Context, c store.DerivedCheck) (seen store.DerivedChecked, ok bool) {
	seen = store.DerivedChecked{Of: c, State: rotation.ItemParked}
	if c.Broken != "" {
		seen.Class, seen.Detail = rotation.ClassOurs, c.Broken
		return seen, true
	}
	_, err := a.identity(ctx, c.Token)
	var he *haravan.Error
	switch {
	case err == nil:
		a.observe("", "", 0)
		seen.State, seen.Alive = rotation.ItemExchanged, true
		return seen, true
	case lacksScope(err):
		seen.State, seen.Alive, seen.Class, seen.Detail = rotation.ItemExchanged, true, rotation.ClassScope, saysScope
		return seen, true
	case !errors.As(err, &he):
		return seen, false
	}
	seen.Class, seen.Detail, seen.Asked = he.Class, he.Error(), max(0, time.Until(a.quietUntil))
	switch {
	case he.Class == rotation.ClassUnauthorized:
		seen.Refused, seen.Detail = true, "its derived token was refused: "+he.Error()
	case he.Class.ShopIsGone():
		seen.State = rotation.ItemSkipped
	case he.Class.Retryable():
		a.observe(he.Class, he.Error(), 0)
		if c.Tries < attemptsRateLimited {
			seen.State, seen.Delay = rotation.ItemExchanged, a.backoff(he)
		}
	default:
		a.observe(he.Class, he.Error(), 0)
	}
	return seen, true
}

// checkDerived looks once more at a claimed shop that gave no clear answer, or
// that an operator retried.
func (a *attempt) checkDerived(ctx context.Context) {
	c := a.claim
	seen, ok := a.lookAtDerived(ctx, store.DerivedCheck{
		RunID: c.RunID, Position: c.Position, Domain: c.Domain, Attempt: c.Attempt, Tries: c.Tries, Token: c.New,
	})
	alive := seen.Alive
	var err error
	if ok && seen.Refused {
		alive, err = a.engine.derivedAlive(ctx, a.run)
	}
	switch {
	case !ok || err != nil:
		a.fail(rotation.ItemExchanged, "", "", postponeBy)
		return
	case seen.Alive:
		a.run.tokenAccepted()
	case seen.Refused && !alive && a.run.refusedEnough(c.Domain):
		a.fail(rotation.ItemExchanged, "", "", postponeBy)
		a.engine.hold(ctx, a.run, rotation.HeldWaiting, saysRefused)
		return
	}
	if err := a.engine.store.WriteDerivedChecks(ctx, c.RunID, []store.DerivedChecked{seen}); err != nil {
		a.fail(rotation.ItemExchanged, "", "", postponeBy)
	}
}
