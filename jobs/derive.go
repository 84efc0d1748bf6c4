package jobs

import (
	"context"
	"errors"
	"fmt"

	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// DeriveKind is the kind of derive jobs in River's table.
const DeriveKind = "derive_batch"

// DeriveArgs derives the tokens of one batch, under one grant.
type DeriveArgs struct {
	Run   int64 `json:"run"`
	Batch int   `json:"batch"`
	Grant int   `json:"grant"`
}

// Kind implements river.JobArgs.
func (DeriveArgs) Kind() string { return DeriveKind }

// InsertOpts implements river.JobArgsWithInsertOpts.
func (a DeriveArgs) InsertOpts() river.InsertOpts {
	return river.InsertOpts{Queue: batchQueue(a.Run)}
}

// deriveWorker derives what is still underived in one batch and asks nobody.
// Running it again, at any time and anywhere, derives the same.
type deriveWorker struct {
	river.WorkerDefaults[DeriveArgs]
	engine *Engine
}

// Work implements river.Worker.
func (w *deriveWorker) Work(ctx context.Context, job *river.Job[DeriveArgs]) error {
	e := w.engine
	run, stopped, err := e.enter(ctx, job.Args.Run)
	switch {
	case err != nil, run == nil:
		return err
	case stopped != nil:
		return e.later() // not taken: whoever resumes the run grants it anew
	}
	derive, err := e.deriver(ctx, run)
	if err != nil || derive == nil {
		return err
	}
	lease, err := e.store.HoldBatch(ctx, store.Grant{RunID: job.Args.Run, Number: job.Args.Batch, Grant: job.Args.Grant}, e.id)
	if errors.Is(err, store.ErrConflict) {
		return nil // superseded or settled
	}
	if err != nil {
		return err
	}
	batch, err := e.store.ReadUnderived(ctx, lease)
	if err != nil {
		return err
	}
	done := make([]store.Derivation, len(batch))
	for i, u := range batch {
		done[i] = derive(u)
	}
	err = e.store.WriteDerived(ctx, lease, done)
	if e.tableFailed(ctx, run, err) {
		// Nothing was written: whoever looks after the batches comes back to it.
		return errors.Join(e.store.LeaveBatch(ctx, lease), e.later())
	}
	if errors.Is(err, store.ErrConflict) {
		// Held, cancelled or superseded since: nothing was written.
		return errors.Join(e.store.LeaveBatch(ctx, lease), e.later())
	}
	if err != nil {
		e.holdIfUnstorable(ctx, run, err)
		return err
	}
	e.proven.Add(int64(len(done)))
	e.kick()
	return nil
}

// deriver returns what derives the run's tokens. It is nil when the run cannot
// be derived here and was held for it.
func (e *Engine) deriver(ctx context.Context, run *runState) (func(store.Underived) store.Derivation, error) {
	if err := e.vectors(); err != nil {
		e.hold(ctx, run, rotation.HeldWaiting, err.Error())
		return nil, nil
	}
	key, err := run.derivingSecret(ctx, e.store)
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, secret.ErrUnknownKey), errors.Is(err, secret.ErrWrongPlace), errors.Is(err, secret.ErrNotSealed):
		e.hold(ctx, run, rotation.HeldWaiting, fmt.Sprintf("the secret that tokens are derived from cannot be read: %v", err))
		return nil, nil
	case err != nil:
		return nil, err
	}
	return func(u store.Underived) store.Derivation { return derive(key, u) }, nil
}

// Details of items that people read.
const (
	saysOAuth    = "has an OAuth token already"
	saysPassword = "legacy password, taken unchanged"
)

// derive computes one shop's token, or says why there is none.
func derive(key secret.String, u store.Underived) store.Derivation {
	d := store.Derivation{Of: u}
	var err error
	switch {
	case u.Excluded != "":
		d.State, d.Detail = rotation.ItemSkipped, "excluded: "+u.Excluded
	case u.OAuth:
		d.State, d.Detail = rotation.ItemSkipped, saysOAuth
	case u.Broken != "":
		err = errors.New(u.Broken)
	case u.Fingerprint == "":
		d.State, d.Detail = rotation.ItemSkipped, "no legacy token is stored"
	case u.Derived:
		err = errors.New("its legacy token is itself a derived token: import the shop's legacy token again, then retry")
	case u.Password:
		if err = haravan.CheckLegacy(u.Legacy); err == nil {
			d.Token, d.Detail = u.Legacy, saysPassword
		}
	default:
		d.Token, err = haravan.DeriveToken(key, u.Legacy)
	}
	if err != nil {
		d.Token = secret.String{}
		d.State, d.Class, d.Detail = rotation.ItemParked, rotation.ClassOurs, err.Error()
	}
	return d
}

// derivingSecret unseals the secret that the run derives from, once.
func (r *runState) derivingSecret(ctx context.Context, s *store.Store) (secret.String, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if id := r.control.OldSecretID; r.secretID != id {
		v, err := s.SecretValue(ctx, id)
		if err != nil {
			return secret.String{}, err
		}
		r.secret, r.secretID = v, id
	}
	return r.secret, nil
}

// hold closes the run here and then in the database.
func (e *Engine) hold(ctx context.Context, run *runState, held rotation.Held, why string) {
	if run.trip(rotation.Trip{Held: held, Why: why}) {
		e.saveTrip(ctx, run)
	}
}
