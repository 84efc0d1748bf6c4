package operate

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Confirm records that a human step is done and enters its phase. confirmed is
// the app's name, typed by the operator, where the step cannot be undone;
// progress is told how far a long step is.
func (o Operator) Confirm(ctx context.Context, runID int64, phase rotation.Phase, note, confirmed string, progress func(done, total int64)) error {
	switch phase {
	case rotation.PhaseChecked:
		if err := haravan.CheckVectors(); err != nil {
			return err
		}
	case rotation.PhaseScrubbed:
		return o.ConfirmScrubbed(ctx, runID, note, confirmed, false, progress)
	case rotation.PhaseClosed:
		if err := o.shredFirst(ctx, runID, confirmed, progress); err != nil {
			return err
		}
	}
	return o.inRun(ctx, runID, store.Gated, func(tx *store.Tx, snap rotation.Snapshot, run store.Run) error {
		if phase == run.Phase && run.Open() {
			return o.again(ctx, tx, run, phase, note, confirmed, snap)
		}
		if err := mayConfirm(snap, run, phase, confirmed); err != nil {
			return err
		}
		if err := tx.Attest(ctx, run.ID, phase, o.Actor, note); err != nil {
			return err
		}
		return tx.EnterPhase(ctx, o.Actor, run, phase, rotation.Gate(snap))
	})
}

// mayConfirm refuses a step that is not the next one or whose gate is not met.
func mayConfirm(snap rotation.Snapshot, run store.Run, phase rotation.Phase, confirmed string) error {
	what := "confirm " + string(phase)
	t, ok := snap.Course().Forward(run.Phase)
	switch {
	case !run.Open():
		return refuse(what, "the run is over", snap)
	case !ok || t.To != phase || t.Driver != rotation.DriverHuman:
		return refuse(what, fmt.Sprintf("the run is in phase %s", run.Phase), snap)
	case phase == rotation.PhaseArmed:
		return refuse(what, "a refresh token arms the run", snap)
	case run.Held != rotation.HeldNot:
		return refuse(what, fmt.Sprintf("the run is held (%s): %s", run.Held, run.HeldWhy), snap)
	case t.Irreversible && confirmed != snap.App:
		return refuse(what, fmt.Sprintf("it cannot be undone: repeat the app's name with --confirm %s", snap.App), snap)
	}
	if gate := rotation.Gate(snap); !rotation.GateMet(gate) {
		return gateRefusal(what, snap, gate)
	}
	return nil
}

// shredFirst empties old tokens before a run is closed: in many short
// transactions, and only if the close would be allowed.
func (o Operator) shredFirst(ctx context.Context, runID int64, confirmed string, progress func(done, total int64)) error {
	var run store.Run
	err := o.look(ctx, runID, store.Gated, func(snap rotation.Snapshot, r store.Run) error {
		if run = r; run.Phase == rotation.PhaseClosed {
			return nil
		}
		return mayConfirm(snap, run, rotation.PhaseClosed, confirmed)
	})
	if err != nil || run.Phase == rotation.PhaseClosed {
		return err
	}
	return o.Store.ShredTokens(ctx, run, progress)
}

// again handles a step that was confirmed before: only the revoke means
// something twice, since it can take a while to bite.
func (o Operator) again(ctx context.Context, tx *store.Tx, run store.Run, phase rotation.Phase, note, confirmed string, snap rotation.Snapshot) error {
	if phase != rotation.PhaseRevoked {
		return nil
	}
	if confirmed != snap.App {
		return refuse("confirm revoked", fmt.Sprintf("repeat the app's name with --confirm %s", snap.App), snap)
	}
	if err := tx.AttestAgain(ctx, run.ID, phase, o.Actor, note); err != nil {
		return err
	}
	return tx.Recheck(ctx, run.ID)
}
