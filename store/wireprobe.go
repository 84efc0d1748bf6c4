package store

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/google/uuid"
)

var (
	// One worker looks for the variant at a time; the probe of one that is gone
	// is free.
	takeProbe = sql(`update rotator.runs r set probe_by = $2 where id = $1 and (settings->>'wire_probe')::boolean
		and (probe_by is null or probe_by = $2 or not exists
			(select from rotator.workers k where k.id = r.probe_by and k.stopped_at is null and k.heartbeat_at > now() - $3::interval))`)
	leaveProbe = sql(`update rotator.runs set probe_by = null where id = $1 and probe_by = $2`)
)

// TakeProbe makes worker the only one that may exchange while the run's wire
// variant is unknown. It reports false when another has it or it is known by now.
func (s *Store) TakeProbe(ctx context.Context, runID int64, worker uuid.UUID) (bool, error) {
	tag, err := s.pool.Exec(ctx, takeProbe, runID, worker, LiveWithin)
	if err != nil {
		return false, fmt.Errorf("take the wire probe of run %d: %w", runID, err)
	}
	return tag.RowsAffected() == 1, nil
}

// LeaveProbe lets another worker look for the variant.
func (s *Store) LeaveProbe(ctx context.Context, runID int64, worker uuid.UUID) error {
	if _, err := s.pool.Exec(ctx, leaveProbe, runID, worker); err != nil {
		return fmt.Errorf("leave the wire probe of run %d: %w", runID, err)
	}
	return nil
}

// PinWire fixes the wire variant that the platform was found to take, for every
// worker and the rest of the run. How it was found is journaled. A run that has
// one pinned keeps it.
func (s *Store) PinWire(ctx context.Context, runID int64, wire json.RawMessage, found any) error {
	// The other shops wait for it: nothing is counted under the lock.
	return s.InTx(ctx, func(tx *Tx) error {
		if err := tx.lockRun(ctx, runID); err != nil {
			return err
		}
		r, err := tx.run(ctx, runID)
		if err != nil {
			return err
		}
		if !r.Settings.WireProbe || !r.Open() {
			return nil
		}
		r.Settings.WireProbe, r.Settings.Wire = false, wire
		if err := tx.SaveSettings(ctx, ActorEngine, r); err != nil {
			return err
		}
		return tx.Log(ctx, ActorEngine, "run.wire_pinned", runID, found)
	})
}
