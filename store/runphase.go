package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

var (
	stayInPhase = sql(`select from rotator.runs where id = $1 and phase = $2 and closed_at is null and cancelled_at is null for share`)
	enterPhase  = sql(`update rotator.runs set phase = $3, phase_at = now(), closed_at = case when $3 = 'closed' then now() end
		where id = $1 and phase = $2 and closed_at is null and cancelled_at is null`)
)

// StayInPhase keeps the run in the phase it was read in until commit. ErrConflict when
// it has left that.
func (t *Tx) StayInPhase(ctx context.Context, r Run) error {
	return t.exactlyOne(ctx, fmt.Sprintf("keep run %d in phase %s", r.ID, r.Phase), stayInPhase, r.ID, r.Phase)
}

// EnterPhase moves the run from the phase it was seen in. ErrConflict when the
// run is elsewhere by now. What a phase change does to secrets and tokens
// happens in the same transaction.
func (t *Tx) EnterPhase(ctx context.Context, actor string, r Run, to rotation.Phase, evidence any) error {
	if err := t.exactlyOne(ctx, "enter phase "+string(to), enterPhase, r.ID, r.Phase, to); err != nil {
		return err
	}
	if err := t.onEnter(ctx, r, to); err != nil {
		return err
	}
	return t.Log(ctx, actor, "phase."+string(to), r.ID, map[string]any{"from": r.Phase, "evidence": evidence})
}

func (t *Tx) onEnter(ctx context.Context, r Run, to rotation.Phase) error {
	switch to {
	case rotation.PhaseContained:
		return t.containSecrets(ctx, r)
	case rotation.PhaseOAuthSwitched:
		if r.Mode == rotation.ModeBreach {
			return nil // they were at the revoke
		}
		return t.switchSecrets(ctx, r)
	case rotation.PhaseExchanging:
		return t.dropCertificate(ctx, r)
	case rotation.PhaseRevoked:
		if r.Mode == rotation.ModeBreach {
			return t.planChecks(ctx, r)
		}
		if err := t.exactlyOne(ctx, "mark the old secret as revoked", revokeSecret, r.OldSecretID); err != nil {
			return err
		}
		return t.planChecks(ctx, r)
	case rotation.PhaseDerived:
		return t.planDerivedChecks(ctx, r)
	case rotation.PhaseCutover:
		return t.beginCutover(ctx, r)
	case rotation.PhaseClosed:
		return t.shred(ctx, r)
	}
	return nil
}
