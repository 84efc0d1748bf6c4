package operate

import (
	"context"
	"errors"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Waive accepts one shop as it is, by name and with a reason.
func (o Operator) Waive(ctx context.Context, runID int64, domain, reason string) error {
	return o.onOpen(ctx, runID, "waive", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		err := tx.Waive(ctx, o.Actor, run.ID, domain, reason)
		if errors.Is(err, store.ErrConflict) {
			return refuseConflict("waive", err, snap)
		}
		return err
	})
}
