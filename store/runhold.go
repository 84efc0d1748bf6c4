package store

import (
	"context"
	"fmt"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

const (
	newestToken = `select from rotator.refresh_tokens where run_id = $1 and id = (select max(id) from rotator.refresh_tokens where run_id = $1)`
	usableToken = newestToken + ` and refused_at is null and expires_at > now()`
)

var (
	holdRun = sql(`update rotator.runs set held = $2, held_why = $3, held_at = now()
		where id = $1 and held is null and closed_at is null and cancelled_at is null`)
	resumeRun = sql(`update rotator.runs set held = null, held_why = null, held_at = null
		where id = $1 and held = $2 and held_at = $3 and closed_at is null and cancelled_at is null`)
	windowOpen   = sql(`select exists (` + usableToken + `)`)
	resumedSince = sql(`select exists (select from rotator.journal where run_id = $1 and event = 'run.resumed' and at > now() - $2::interval)`)
	// It was held for want of a refresh token, and there is none.
	goesWithout = sql(`select $2 = 'window_expired' and not exists (` + usableToken + `)
		or $2 = 'waiting_for_operator' and exists (` + newestToken + ` and refused_at is not null)`)
	// What an app that was unwell held says nothing about the wave.
	acceptWaves = sql(`update rotator.waves set accepted_at = now() where run_id = $1 and released_at is not null and settled_at is null
		and not exists (select from rotator.health_polls where run_id = $1 and failures >= $2)`)
)

// Hold stops the run's calls. It reports false, and changes nothing, when the
// run is held already: the first reason stands. Nor does it hold a run for the end
// of a window that an operator has just continued.
func (t *Tx) Hold(ctx context.Context, actor string, runID int64, held rotation.Held, why string) (bool, error) {
	if held == rotation.HeldWindowExpired {
		// Whoever arms holds the run's row: what it stored is seen after that.
		if err := t.lockRun(ctx, runID); err != nil {
			return false, err
		}
		var open bool
		if err := t.tx.QueryRow(ctx, windowOpen, runID).Scan(&open); err != nil || open {
			return false, err
		}
	}
	tag, err := t.tx.Exec(ctx, holdRun, runID, held, why)
	if err != nil {
		return false, fmt.Errorf("hold run %d: %w", runID, err)
	}
	if tag.RowsAffected() == 0 {
		return false, nil
	}
	return true, t.Log(ctx, actor, "run.held", runID, map[string]any{"held": held, "why": why})
}

// HoldFor is Hold for what a worker met that long ago, and could not say before: it
// does nothing, too, if somebody has resumed the run since.
func (t *Tx) HoldFor(ctx context.Context, actor string, runID int64, held rotation.Held, why string, ago time.Duration) (bool, error) {
	if err := t.lockRun(ctx, runID); err != nil {
		return false, err
	}
	var resumed bool
	if err := t.tx.QueryRow(ctx, resumedSince, runID, ago).Scan(&resumed); err != nil {
		return false, fmt.Errorf("look whether run %d was resumed: %w", runID, err)
	}
	if resumed {
		return false, nil
	}
	return t.Hold(ctx, actor, runID, held, why)
}

// Resume ends the hold that r was read with. The caller grants its batches anew.
// ErrConflict when it has ended, or another has begun.
func (t *Tx) Resume(ctx context.Context, actor string, r Run) error {
	if err := t.exactlyOne(ctx, "resume the run", resumeRun, r.ID, r.Held, r.HeldAt); err != nil {
		return err
	}
	if r.Held == rotation.HeldBreakerOpen {
		if _, err := t.tx.Exec(ctx, acceptWaves, r.ID, rotation.UnhealthyAfter); err != nil {
			return fmt.Errorf("accept the waves so far: %w", err)
		}
	}
	if r.Held != rotation.HeldPaused {
		var without bool
		if err := t.tx.QueryRow(ctx, goesWithout, r.ID, r.Held).Scan(&without); err != nil {
			return fmt.Errorf("look for a refresh token: %w", err)
		}
		if _, err := t.tx.Exec(ctx, forgiveItems, r.ID, !without); err != nil {
			return fmt.Errorf("make failed shops due: %w", err)
		}
	}
	if _, err := t.tx.Exec(ctx, forgivePolls, r.ID); err != nil {
		return fmt.Errorf("forget what the health URL answered: %w", err)
	}
	if err := t.dropUnfit(ctx, r.ID); err != nil {
		return err
	}
	return t.Log(ctx, actor, "run.resumed", r.ID, map[string]any{"was": r.Held, "why": r.HeldWhy})
}
