package operate

import (
	"context"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Retry makes parked and waiting shops due now.
func (o Operator) Retry(ctx context.Context, runID int64, class rotation.Class, domain string) (int64, error) {
	var n int64
	err := o.onOpen(ctx, runID, "retry", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) (err error) {
		if why := tooLateToRetry(run); why != "" {
			return refuse("retry", why, snap)
		}
		if n, err = tx.Retry(ctx, o.Actor, run.ID, class, domain); err == nil && n == 0 && domain != "" {
			return refuse("retry", domain+" is neither parked, waiting nor set aside in this run", snap)
		}
		return err
	})
	return n, err
}

// RetryNow makes one parked or waiting shop due now, even if the platform asked
// for a pause: the worker that takes it calls at once.
func (o Operator) RetryNow(ctx context.Context, runID int64, domain string) error {
	return o.onOpen(ctx, runID, "retry", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		if why := tooLateToRetry(run); why != "" {
			return refuse("retry", why, snap)
		}
		if _, err := tx.Retry(ctx, o.Actor, run.ID, "", domain); err != nil {
			return err
		}
		waits, err := tx.IgnoreCooldown(ctx, o.Actor, run.ID, domain)
		if err == nil && !waits {
			return refuse("retry", domain+" is neither parked nor waiting in this run", snap)
		}
		return err
	})
}

// tooLateToRetry says why no worker would take a shop that is made due in the
// run's phase; "" while one would.
func tooLateToRetry(run store.Run) string {
	switch run.Phase {
	case rotation.PhaseRevoked, rotation.PhaseWebhooksSingle:
		return "the exchange of this run is over, and no shop is called any more: one that has no working token wants the app installed again"
	case rotation.PhaseScrubbed:
		return "the legacy credentials are removed, and no shop is tried any more: one that has no working token wants the app installed again"
	}
	return ""
}
