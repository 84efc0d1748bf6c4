package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

var readSecretVersion = sql(`select coalesce((select version from rotator.secrets where id = $1), 0)`)

// fillMigration counts what only a token migration has. Its counts look at every
// shop, so the engine asks only when nothing else is open.
func (t *Tx) fillMigration(ctx context.Context, r Run, s *rotation.Snapshot, detail Detail) error {
	m := &s.Migration
	if err := t.tx.QueryRow(ctx, readSecretVersion, r.OldSecretID).Scan(&m.SecretVersion); err != nil {
		return fmt.Errorf("read the version that is derived from: %w", err)
	}
	open := s.Counts.Open() - s.Counts.Exchanged
	if r.Phase == rotation.PhaseCutover {
		open = s.Counts.Open()
	}
	if detail != Counted && open > 0 || r.WalkDoneAt == nil {
		return nil
	}
	if r.Phase != rotation.PhaseScrubbed && r.Phase != rotation.PhaseClosed {
		if err := t.tx.QueryRow(ctx, lateLegacy, r.ID, r.AppID).Scan(&s.LateInstalls); err != nil {
			return fmt.Errorf("count late legacy shops: %w", err)
		}
	}
	if detail == Counted || r.Phase == rotation.PhaseDerived {
		if err := t.tx.QueryRow(ctx, countDerivedChecks, r.ID).Scan(&m.CheckDone, &m.CheckPlanned, &m.CheckAlive, &m.CheckDead); err != nil {
			return fmt.Errorf("count checks of derived tokens: %w", err)
		}
	}
	if detail == Counted {
		if err := t.tx.QueryRow(ctx, countLegacyLeft, r.ID).Scan(&m.LegacyLeft, &m.LegacyOnly); err != nil {
			return fmt.Errorf("count legacy credentials: %w", err)
		}
		m.Counted = true
	}
	return nil
}
