package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

var cancelRun = sql(`update rotator.runs set cancelled_at = now() where id = $1 and closed_at is null and cancelled_at is null`)

// Cancel ends the run where it stands: tokens that were swapped stay, nothing
// is undone, the refresh token is shredded. Of a token migration before its
// cutover nothing stays.
func (t *Tx) Cancel(ctx context.Context, actor string, r Run) error {
	if err := t.exactlyOne(ctx, "cancel the run", cancelRun, r.ID); err != nil {
		return err
	}
	if r.isMigration() {
		if !r.Phase.Before(rotation.PhaseCutover) {
			return fmt.Errorf("cancel the run: it is past its cutover: %w", ErrConflict)
		}
		if err := t.clearDerived(ctx, r); err != nil {
			return err
		}
		return t.Log(ctx, actor, "run.cancelled", r.ID, map[string]any{"phase": r.Phase})
	}
	if err := t.shredRefreshTokens(ctx, r.ID); err != nil {
		return err
	}
	if err := t.adoptLeft(ctx, r.AppID); err != nil {
		return err
	}
	if err := t.unswitchSecrets(ctx, r); err != nil {
		return err
	}
	if err := t.dropCertificate(ctx, r); err != nil {
		return err
	}
	return t.Log(ctx, actor, "run.cancelled", r.ID, map[string]any{"phase": r.Phase})
}

// Unrevoke takes the old secret for living again, before a cancel: it was said to be
// revoked, and the new one was. ErrConflict when it is not revoked, or is shredded.
func (t *Tx) Unrevoke(ctx context.Context, actor string, r Run) error {
	if err := t.exactlyOne(ctx, "take the old secret for living", unrevokeSecret, r.OldSecretID); err != nil {
		return err
	}
	return t.Log(ctx, actor, "run.unrevoked", r.ID, nil)
}
