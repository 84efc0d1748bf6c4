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
	// Replace takes a value that was entered before although the one in use lasts
	// longer: that one was entered wrongly.
	Replace bool
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
		if why := worse(snap, rt); why != "" && !opt.Replace {
			return refuse("arm", why, snap)
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
func (o Operator) LifeOf(ctx context.Context, runID int64, token secret.String, opt ArmOptions) (time.Duration, error) {
	life, conflict := o.Store.RefreshTokenLife(ctx, runID, token, rotation.WindowLength-opt.Age)
	if conflict != nil && !errors.Is(conflict, store.ErrConflict) {
		return 0, conflict
	}
	rt, err := o.Store.FindRefreshToken(ctx, runID, token)
	if err != nil {
		return 0, err
	}
	err = o.look(ctx, runID, store.Uncounted, func(snap rotation.Snapshot, _ store.Run) error {
		if conflict != nil {
			return refuseConflict("arm", conflict, snap)
		}
		rt.ExpiresAt = snap.Now.Add(life)
		if why := worse(snap, rt); why != "" && !opt.Replace {
			return refuse("arm", why, snap)
		}
		return nil
	})
	return life, err
}

// worse says why a value that was entered before must not take the place of the one in
// use by mistake: it ends sooner, and the other's value would be shredded. "" if it may.
func worse(s rotation.Snapshot, rt store.RefreshToken) string {
	left := s.Window.Left(s.Now)
	if rt.Before == nil || rt.Fingerprint == s.Window.Fingerprint || left == 0 || !rt.ExpiresAt.Before(s.Window.ExpiresAt.Add(-time.Second)) {
		return ""
	}
	lasts := func(at time.Time) string {
		return fmt.Sprintf("lasts until %s (%s)", at.UTC().Format(time.RFC3339), at.Sub(s.Now).Round(time.Second))
	}
	return fmt.Sprintf("this refresh token was first entered %s and %s; the one in use (fingerprint %s) %s, and the platform has not refused it: there is nothing to do. If that one was entered wrongly, give --replace",
		rt.Before, lasts(rt.ExpiresAt), s.Window.Fingerprint, lasts(s.Window.ExpiresAt))
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
