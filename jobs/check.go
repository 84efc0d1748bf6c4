package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// checkWorker looks at shops after the revoke: former tokens must be dead, the
// current ones alive. A shop that gives no clear answer is looked at again.
type checkWorker struct {
	river.WorkerDefaults[CheckArgs]
	engine *Engine
}

const (
	// checkPage shops are looked at side by side.
	checkPage = 1000
	// checkPause lies between two looks at shops that gave no clear answer.
	checkPause = time.Second
)

// Work implements river.Worker.
func (w *checkWorker) Work(ctx context.Context, job *river.Job[CheckArgs]) error {
	e := w.engine
	run, stopped, err := e.enter(ctx, job.Args.Run)
	if err != nil || run == nil || stopped != nil {
		return err // stopped: the supervisor sends another when it may
	}
	begin := time.Now()
	going := func() bool { return time.Since(begin) < batchBudget && e.mayCall(run, false, 0) == nil }
	for going() {
		unclear, err := e.checkOnce(ctx, run, going)
		if err != nil {
			return err
		}
		if unclear == 0 {
			e.kick()
			return nil
		}
		// Once more, for those that gave no clear answer.
		if err := pause(ctx, checkPause); err != nil {
			return err
		}
	}
	return nil // the supervisor sends another
}

// checkOnce looks once at every shop that the check has not looked at, for as
// long as it may. unclear is how many gave no clear answer.
func (e *Engine) checkOnce(ctx context.Context, run *runState, going func() bool) (unclear int, err error) {
	after := int64(0)
	look := func(c store.Check) (store.Checked, bool) { return e.check(ctx, run, c) }
	return looking[store.Check, store.Checked]{
		read: func() (page []store.Check, err error) {
			if !going() {
				return nil, nil
			}
			if page, err = e.store.NextChecks(ctx, run.id, after, checkPage); len(page) > 0 {
				after = page[len(page)-1].Position
			}
			return page, err
		},
		look:  unharmed(e, run.id, look),
		write: func(seen []store.Checked) error { return e.store.WriteChecks(ctx, seen) },
	}.all(checkPage)
}

// check asks with both tokens. ok is false when an answer was neither yes nor
// no: the next pass asks again.
func (e *Engine) check(ctx context.Context, run *runState, c store.Check) (store.Checked, bool) {
	if c.Broken {
		return store.Checked{}, false
	}
	if c.Old.IsZero() || c.Old.Equal(c.Current) {
		// No run replaced one of the old secret, or the platform kept it at the
		// exchange: there is no old one.
		alive, ok := e.alive(ctx, run, c.Domain, c.Current)
		return store.Checked{Check: c, OldDead: true, NewAlive: alive}, ok
	}
	oldAlive, ok := e.alive(ctx, run, c.Domain, c.Old)
	if !ok {
		return store.Checked{}, false
	}
	newAlive, ok := e.alive(ctx, run, c.Domain, c.Current)
	return store.Checked{Check: c, OldDead: !oldAlive, NewAlive: newAlive}, ok
}

func (e *Engine) alive(ctx context.Context, run *runState, domain string, token secret.String) (alive, ok bool) {
	a := attempt{engine: e, run: run, claim: store.Claim{RunID: run.id, Domain: domain}}
	_, err := a.identity(context.WithoutCancel(ctx), token)
	var he *haravan.Error
	switch {
	case err == nil:
		return true, true
	case !errors.As(err, &he), he.Class.Retryable():
		return false, false
	default: // alive but lacking a scope is alive
		return he.Class == rotation.ClassScope, true
	}
}
