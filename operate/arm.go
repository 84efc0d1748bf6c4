package operate

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// ArmOptions say how a run is armed.
type ArmOptions struct {
	// Age is how long ago the refresh token was made.
	Age time.Duration
	// AcceptWindows lets the exchange begin although one token is not enough.
	AcceptWindows bool
	// Measured is what a plan found, for the gate to judge by; nil if none was
	// made.
	Measured *rotation.Measured
}

// Arm is ArmWith without a plan.
func (o Operator) Arm(ctx context.Context, runID int64, token secret.String, age time.Duration, acceptWindows bool) (store.RefreshToken, error) {
	return o.ArmWith(ctx, runID, token, ArmOptions{Age: age, AcceptWindows: acceptWindows})
}

// ArmWith stores a refresh token, and lets the exchange begin, or continue if
// its window had ended or was too short.
func (o Operator) ArmWith(ctx context.Context, runID int64, token secret.String, opt ArmOptions) (store.RefreshToken, error) {
	var rt store.RefreshToken
	err := o.inRun(ctx, runID, store.Uncounted, func(tx *store.Tx, snap rotation.Snapshot, run store.Run) error {
		life := rotation.WindowLength - opt.Age
		if err := mayArm(snap, run, life); err != nil {
			return err
		}
		var err error
		if rt, err = tx.Arm(ctx, o.Actor, run.ID, token, life); err != nil {
			if errors.Is(err, store.ErrConflict) {
				return refuseConflict("arm", err, snap)
			}
			return err
		}
		if opt.AcceptWindows && !run.Settings.AcceptWindows {
			run.Settings.AcceptWindows = true
			if err := tx.SaveSettings(ctx, o.Actor, run); err != nil {
				return err
			}
		}
		if opt.Measured != nil {
			if err := tx.SavePreflight(ctx, run.ID, *opt.Measured); err != nil {
				return err
			}
		}
		switch {
		case run.Phase == rotation.PhaseOAuthSwitched:
			return tx.EnterPhase(ctx, o.Actor, run, rotation.PhaseArmed, rotation.Gate(snap))
		case windowIsWhy(snap), rotation.VerdictIsWhy(snap):
			return tx.Resume(ctx, o.Actor, run)
		}
		return nil
	})
	return rt, err
}

// MayArm refuses what ArmWith would refuse whatever the token: nobody needs to
// have it at hand before.
func (o Operator) MayArm(ctx context.Context, runID int64, age time.Duration) error {
	return o.look(ctx, runID, store.Uncounted, func(snap rotation.Snapshot, run store.Run) error {
		return mayArm(snap, run, rotation.WindowLength-age)
	})
}

// LifeOf is how much of its hour a refresh token has left that is said to be of
// that age: less if it was entered before. Refused is what ArmWith would refuse.
func (o Operator) LifeOf(ctx context.Context, runID int64, token secret.String, age time.Duration) (time.Duration, error) {
	life, err := o.Store.RefreshTokenLife(ctx, runID, token, rotation.WindowLength-age)
	if errors.Is(err, store.ErrConflict) {
		snap, _, snapErr := o.Store.Snapshot(ctx, runID, store.Counted)
		if snapErr != nil {
			return 0, snapErr
		}
		return 0, refuseConflict("arm", err, snap)
	}
	return life, err
}

func mayArm(snap rotation.Snapshot, run store.Run, life time.Duration) error {
	const what = "arm"
	switch {
	case !run.Open():
		return refuse(what, "the run is over", snap)
	case life <= 0:
		return refuse(what, "its hour is over already", snap)
	case run.Phase == rotation.PhaseOAuthSwitched:
		if gate := rotation.Gate(snap); !rotation.GateMet(gate) {
			return gateRefusal(what, snap, gate)
		}
	case run.Phase != rotation.PhaseArmed && run.Phase != rotation.PhaseExchanging:
		return refuse(what, fmt.Sprintf("the run is in phase %s", run.Phase), snap)
	}
	return nil
}

// windowIsWhy reports whether the run is held for want of a refresh token.
func windowIsWhy(s rotation.Snapshot) bool {
	return s.Held == rotation.HeldWindowExpired || s.Held == rotation.HeldWaiting && s.Window.Refused
}
