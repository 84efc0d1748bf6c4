package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// accepted names credentials that all shops share: when the platform has made a
// token with them, a refusal is no longer theirs.
type accepted struct{ secretID, refreshID int64 }

// accept notes that the platform made a token with these credentials.
func (r *runState) accept(c credentials) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.accepted = c.accepted
}

// acceptedAgain is how long a no of the database is believed.
const acceptedAgain = time.Second

// accepts reports whether the platform has made a token with these credentials,
// for this worker or for another.
func (r *runState) accepts(ctx context.Context, s *store.Store, c credentials) bool {
	r.mu.Lock()
	known := r.accepted == c.accepted
	asked := time.Since(r.askedAt) < acceptedAgain
	if !known && !asked {
		r.askedAt = time.Now()
	}
	r.mu.Unlock()
	if known || asked {
		return known
	}
	ok, err := s.Accepted(ctx, r.id, c.secretID, c.refreshID)
	if err != nil || !ok {
		return false // not knowing is the same: the shop is tried again
	}
	r.accept(c)
	return true
}

// judgeContained tells whose fault a refused exchange is after the leaked secret
// was revoked. The shop's stored token is dead by design, so it cannot be asked,
// and nothing follows from its 401: only the exchange's own clear answer says
// that a shop is gone. What is unclear counts as ours, which holds the run
// within the canary if a credential is wrong, until the platform has made a token
// with the same credentials; from then on it is this shop's, and a person's.
func (a *attempt) judgeContained(ctx context.Context, refusal *haravan.Error, c credentials) (rotation.Class, string) {
	switch refusal.Class {
	case rotation.ClassUninstalled, rotation.ClassFrozen:
		return refusal.Class, refusal.Error()
	case rotation.ClassNotFound:
		// A wrong path says the same of every shop; the shop's other door knows.
		_, err := a.identity(ctx, a.claim.Current)
		var he *haravan.Error
		switch {
		case !errors.As(err, &he) && err != nil, he != nil && he.Class.Retryable():
			return rotation.ClassNetwork, "the exchange was refused, and the shop could not be asked why: " + refusal.Error()
		case he != nil && he.Class.ShopIsGone():
			return refusal.Class, refusal.Error()
		}
	}
	if a.run.accepts(ctx, a.engine.store, c) {
		return rotation.ClassUnauthorized, "the exchange is refused for this shop while others are exchanged: " + refusal.Error()
	}
	return rotation.ClassOurs, "the exchange was refused, and no shop was exchanged with these credentials yet: " + refusal.Error()
}
