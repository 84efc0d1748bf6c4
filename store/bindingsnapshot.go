package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

const (
	// readAgain is how often a bound table is read while a proven run waits for
	// the revoke, though readShare times as seldom as it takes; restoreAgain,
	// while rows of it hold a replaced token.
	readAgain    = time.Minute
	readShare    = 20
	restoreAgain = 5 * time.Second
)

var (
	readBoundState = sql(`select b.table_schema || '.' || b.table_name, b.left_out, b.behind, b.synced_at,
			coalesce(b.synced_at >= r.created_at, false), coalesce(now() - b.synced_at, interval '1 year'), b.read_ms * interval '1 millisecond'
		from rotator.runs r join rotator.bindings b on b.app_id = r.app_id where r.id = $1`)
	provenSince = sql(`select exists (select from rotator.items where run_id = $1 and proven_at >= $2)`)
)

// fillBound tells whether the app's own table is to be read. The counts must be
// filled.
func (t *Tx) fillBound(ctx context.Context, r Run, s *rotation.Snapshot) error {
	var at *time.Time
	var sinceStart bool
	var age, took time.Duration
	err := t.tx.QueryRow(ctx, readBoundState, r.ID).Scan(&s.Bound.Table, &s.Bound.LeftOut, &s.Bound.Behind, &at, &sinceStart, &age, &took)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look at the bound table's state: %w", err)
	}
	b := &s.Bound
	if at != nil {
		b.ReadAt = at.UTC()
	}
	if b.Read = sinceStart; !sinceStart {
		b.Due = r.WalkDoneAt == nil || r.Phase.Before(rotation.PhaseRevoked) || r.migrates()
		return nil
	}
	ending, open := r.Phase == rotation.PhaseExchanging || r.Phase == rotation.PhaseProven, s.Counts.Open()
	waits := r.Phase == rotation.PhaseProven
	if r.migrates() {
		ending, waits = r.WalkDoneAt != nil, true
		if r.Phase != rotation.PhaseCutover {
			open -= s.Counts.Exchanged
		}
	}
	if !ending || open > 0 {
		return nil
	}
	var proven bool
	if err := t.tx.QueryRow(ctx, provenSince, r.ID, *at).Scan(&proven); err != nil {
		return fmt.Errorf("look for proofs since the bound table was read: %w", err)
	}
	b.Read = !proven
	b.Due = proven || b.Behind > 0 && age > max(restoreAgain, readShare*took) || waits && age > max(readAgain, readShare*took)
	return nil
}

// migrates reports whether the run is a token migration that still takes shops in.
func (r Run) migrates() bool {
	return r.isMigration() && r.Phase != rotation.PhaseScrubbed && r.Phase != rotation.PhaseClosed
}
