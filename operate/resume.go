package operate

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Pause holds the run; calls in flight finish.
func (o Operator) Pause(ctx context.Context, runID int64, why string) error {
	return o.onOpen(ctx, runID, "pause", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		held, err := tx.Hold(ctx, o.Actor, run.ID, rotation.HeldPaused, why)
		if err == nil && !held {
			return refuse("pause", fmt.Sprintf("the run is held already (%s)", run.Held), snap)
		}
		return err
	})
}

// Resume lets a held run go on. A run without a window needs arm instead.
func (o Operator) Resume(ctx context.Context, runID int64) error {
	return o.ResumeWith(ctx, runID, ResumeOptions{})
}

// ResumeOptions change what the run may go on with.
type ResumeOptions struct {
	// AcceptWindows lets it take more than one refresh token.
	AcceptWindows bool
	// IgnoreHealth stops the polls of the app's health URL for this run.
	IgnoreHealth bool
}

// ResumeWith is Resume with options.
func (o Operator) ResumeWith(ctx context.Context, runID int64, opt ResumeOptions) error {
	return o.onOpen(ctx, runID, "resume", func(tx *store.Tx, run store.Run, snap rotation.Snapshot) error {
		switch {
		case run.Held == rotation.HeldNot:
			return refuse("resume", "the run is not held", snap)
		case windowIsWhy(snap) && snap.Window.Left(snap.Now) == 0 && !snap.NoneNeedsToken:
			return refuse("resume", "it needs another refresh token", snap)
		}
		before := run.Settings
		run.Settings.AcceptWindows = before.AcceptWindows || opt.AcceptWindows
		if opt.IgnoreHealth {
			run.Settings.HealthURL = ""
		}
		if run.Settings.AcceptWindows != before.AcceptWindows || run.Settings.HealthURL != before.HealthURL {
			if err := tx.SaveSettings(ctx, o.Actor, run); err != nil {
				return err
			}
		}
		return tx.Resume(ctx, o.Actor, run)
	})
}
