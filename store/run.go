package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// Run is one operator-started pass over the fleet.
type Run struct {
	ID          int64
	AppID       int64
	Kind        rotation.Kind
	Mode        rotation.Mode
	Phase       rotation.Phase
	PhaseAt     time.Time
	Held        rotation.Held
	HeldWhy     string
	HeldAt      *time.Time
	OldSecretID int64
	NewSecretID int64
	Settings    RunSettings
	WalkCursor  int64
	WalkDoneAt  *time.Time
	// LastPosition is the highest position that an item of the run has.
	LastPosition int64
	CreatedAt    time.Time
	ClosedAt     *time.Time
	CancelledAt  *time.Time
}

// Open reports whether the run is neither closed nor cancelled.
func (r Run) Open() bool { return r.ClosedAt == nil && r.CancelledAt == nil }

// Course is the order of the run's phases.
func (r Run) Course() rotation.Course { return rotation.CourseOf(r.Kind, r.Mode) }

// RunSettings is fixed when the run starts, so that a resume under other
// settings is impossible; only what tune changes may move.
type RunSettings struct {
	Waves     rotation.WavePolicy `json:"waves"`
	BatchSize int64               `json:"batch_size"`
	// InFlight caps the calls in flight of all workers together.
	InFlight int `json:"inflight"`
	Pacing
	// Wire is the pinned wire variant, as package haravan encodes it.
	Wire json.RawMessage `json:"wire,omitempty"`
	// WireProbe tells that Wire is where the search for the variant begins, and
	// that none is pinned yet.
	WireProbe bool `json:"wire_probe,omitempty"`
	// CanaryShops are the domains of a canary that was named, in its order.
	CanaryShops []string `json:"canary_shops,omitempty"`
	// HealthURL is polled while the run exchanges; "" for none.
	HealthURL string `json:"health_url,omitempty"`
	// CheckSample is how many shops are looked at after the revoke, -1 for all.
	CheckSample int `json:"check_sample"`
	// GraceSeconds is the grace for old-signed webhooks after the revoke.
	GraceSeconds int `json:"webhook_grace_seconds"`
	// AcceptWindows lets the exchange begin although one window is not enough.
	AcceptWindows bool `json:"accept_windows,omitempty"`
	// RequireDelivery keeps the run from proven until the app has acknowledged
	// every new token.
	RequireDelivery bool `json:"require_delivery,omitempty"`
	// ByPriority takes shops in the order of their priority, highest first,
	// instead of that of their ids.
	ByPriority bool `json:"by_priority,omitempty"`
	// Outage is what a breach run was expected to cost when it was started.
	Outage *rotation.Outage `json:"outage,omitempty"`
}

// Defaults of a run.
const (
	DefaultBatchSize = 500
	// OrderedBatchSize is that of runs whose order matters to the shops: batches
	// are worked side by side, so the order is as fine as they are small.
	OrderedBatchSize = 100
	DefaultInFlight  = 256
)

const runColumns = `id, app_id, kind, mode, phase, phase_at, coalesce(held, ''), coalesce(held_why, ''), held_at,
	coalesce(old_secret_id, 0), coalesce(new_secret_id, 0), settings, walk_cursor, walk_done_at, last_position,
	created_at, closed_at, cancelled_at`

const (
	newestToken = `select from rotator.refresh_tokens where run_id = $1 and id = (select max(id) from rotator.refresh_tokens where run_id = $1)`
	usableToken = newestToken + ` and refused_at is null and expires_at > now()`
)

var (
	insertRun = sql(`insert into rotator.runs (app_id, kind, mode, phase, old_secret_id, new_secret_id, settings)
		values ($1, $2, $3, $4, nullif($5::bigint, 0), nullif($6::bigint, 0), $7) returning ` + runColumns)
	secretsInOrder = sql(`select exists (select from rotator.secrets o, rotator.secrets n where o.id = $1 and n.id = $2
		and (o.state, n.state) in (('active', 'pending'), ('retiring', 'active')))`)
	anyRunOpen   = sql(`select exists (select from rotator.runs where app_id = $1 and closed_at is null and cancelled_at is null)`)
	readRun      = sql(`select ` + runColumns + ` from rotator.runs where id = $1`)
	lockOpenRun  = sql(`select from rotator.runs where id = $1 and closed_at is null and cancelled_at is null for no key update`)
	stayInPhase  = sql(`select from rotator.runs where id = $1 and phase = $2 and closed_at is null and cancelled_at is null for share`)
	readOpenRuns = sql(`select ` + runColumns + ` from rotator.runs where closed_at is null and cancelled_at is null order by id`)
	readAppRuns  = sql(`select ` + runColumns + ` from rotator.runs where app_id = $1 order by id desc`)
	enterPhase   = sql(`update rotator.runs set phase = $3, phase_at = now(), closed_at = case when $3 = 'closed' then now() end
		where id = $1 and phase = $2 and closed_at is null and cancelled_at is null`)
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
	cancelRun    = sql(`update rotator.runs set cancelled_at = now() where id = $1 and closed_at is null and cancelled_at is null`)
	certifyRun   = sql(`update rotator.runs set certificate = $2 where id = $1 and certificate is null and phase = $3 and phase_at = $4 and cancelled_at is null`)
	uncertifyRun = sql(`update rotator.runs set certificate = null where id = $1`)
	saveRunSet   = sql(`update rotator.runs set settings = $2 where id = $1 and closed_at is null and cancelled_at is null`)
	readCertify  = sql(`select certificate from rotator.runs where id = $1`)
)

// NewRun is what a run starts with.
type NewRun struct {
	App                      App
	Kind                     rotation.Kind
	Mode                     rotation.Mode
	OldSecretID, NewSecretID int64
	Settings                 RunSettings
}

// StartRun is Tx.StartRun in a transaction of its own, again if PostgreSQL
// sacrificed it.
func (s *Store) StartRun(ctx context.Context, actor string, n NewRun) (run Run, err error) {
	err = againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) (err error) {
			run, err = tx.StartRun(ctx, actor, n)
			return err
		})
	})
	return run, err
}

// StartRun opens a run in its first phase. ErrRunOpen if the app has one,
// ErrConflict if a rotation's secrets are not where they were chosen any more.
func (t *Tx) StartRun(ctx context.Context, actor string, n NewRun) (Run, error) {
	settings, err := json.Marshal(n.Settings)
	if err != nil {
		return Run{}, fmt.Errorf("encode the run's settings: %w", err)
	}
	// Nobody lets the secrets change places, or gives one up, meanwhile.
	if _, err := t.tx.Exec(ctx, lockApp, n.App.ID); err != nil {
		return Run{}, fmt.Errorf("lock the app: %w", err)
	}
	// The table's own rule decides, but a refusal by it would use up a number.
	var open bool
	if err := t.tx.QueryRow(ctx, anyRunOpen, n.App.ID).Scan(&open); err != nil {
		return Run{}, fmt.Errorf("look for an open run: %w", err)
	}
	if open {
		return Run{}, fmt.Errorf("start a run of app %s: %w", n.App.Name, ErrRunOpen)
	}
	var inOrder bool
	if err := t.tx.QueryRow(ctx, secretsInOrder, n.OldSecretID, n.NewSecretID).Scan(&inOrder); err != nil {
		return Run{}, fmt.Errorf("look at the secrets: %w", err)
	}
	if n.Kind == rotation.KindRotation && !inOrder {
		return Run{}, fmt.Errorf("start a run of app %s: its secrets have changed: %w", n.App.Name, ErrConflict)
	}
	// An attempt that was under way at a cancel may have stored a token since.
	if err := t.adoptLeft(ctx, n.App.ID); err != nil {
		return Run{}, err
	}
	rows, err := t.tx.Query(ctx, insertRun, n.App.ID, n.Kind, n.Mode, rotation.CourseOf(n.Kind, n.Mode).First(), n.OldSecretID, n.NewSecretID, settings)
	var r Run
	if err == nil {
		r, err = pgx.CollectExactlyOneRow(rows, scanRun)
	}
	if violates(err, "runs_one_open") {
		return r, fmt.Errorf("start a run of app %s: %w", n.App.Name, ErrRunOpen)
	}
	if err != nil {
		return r, fmt.Errorf("start a run: %w", err)
	}
	if err := t.placeCanary(ctx, &r); err != nil {
		return r, err
	}
	return r, t.Log(ctx, actor, "run.started", r.ID, map[string]any{
		"app": n.App.Name, "kind": n.Kind, "mode": n.Mode, "settings": n.Settings,
	})
}

// Run returns the run with that id.
func (s *Store) Run(ctx context.Context, id int64) (Run, error) { return readRunFrom(ctx, s.pool, id) }

func (t *Tx) run(ctx context.Context, id int64) (Run, error) { return readRunFrom(ctx, t.tx, id) }

func readRunFrom(ctx context.Context, q querier, id int64) (Run, error) {
	rows, err := q.Query(ctx, readRun, id)
	if err != nil {
		return Run{}, fmt.Errorf("read run %d: %w", id, err)
	}
	r, err := pgx.CollectExactlyOneRow(rows, scanRun)
	return r, one(err, "run %d", id)
}

// InRun runs fn in a transaction that holds the run's row, with a snapshot taken
// under that lock: what fn decides on is still so when it commits. fn runs again
// if PostgreSQL sacrificed the transaction: it changes nothing but that.
func (s *Store) InRun(ctx context.Context, runID int64, fn func(*Tx, rotation.Snapshot, Run) error) error {
	return s.InRunAt(ctx, runID, Counted, fn)
}

// InRunAt is InRun with a snapshot that counts less.
func (s *Store) InRunAt(ctx context.Context, runID int64, detail Detail, fn func(*Tx, rotation.Snapshot, Run) error) error {
	return againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			if err := tx.lockRun(ctx, runID); err != nil {
				return err
			}
			snap, run, err := tx.snapshot(ctx, runID, detail)
			if err != nil {
				return err
			}
			return fn(tx, snap, run)
		})
	})
}

// lockRun makes others that lock or change the run wait until commit.
func (t *Tx) lockRun(ctx context.Context, id int64) error {
	if _, err := t.tx.Exec(ctx, lockRun, id); err != nil {
		return fmt.Errorf("lock run %d: %w", id, err)
	}
	return nil
}

// lockOpenRun makes others that lock or change the run wait until commit.
// ErrConflict when it is not open.
func (t *Tx) lockOpenRun(ctx context.Context, id int64) error {
	return t.exactlyOne(ctx, fmt.Sprintf("find run %d open", id), lockOpenRun, id)
}

// StayInPhase keeps the run in the phase it was read in until commit. ErrConflict when
// it has left that.
func (t *Tx) StayInPhase(ctx context.Context, r Run) error {
	return t.exactlyOne(ctx, fmt.Sprintf("keep run %d in phase %s", r.ID, r.Phase), stayInPhase, r.ID, r.Phase)
}

// OpenRuns lists the runs that are neither closed nor cancelled.
func (s *Store) OpenRuns(ctx context.Context) ([]Run, error) { return s.runs(ctx, readOpenRuns) }

// Runs lists an app's runs, newest first.
func (s *Store) Runs(ctx context.Context, appID int64) ([]Run, error) {
	return s.runs(ctx, readAppRuns, appID)
}

func (s *Store) runs(ctx context.Context, statement string, args ...any) ([]Run, error) {
	return collect(ctx, s.pool, "read runs", scanRun, statement, args...)
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

// Certify writes the certificate of proof, once. ErrConflict when the run has one, was
// cancelled, or has left the phase since r was read: what was proven then may not be all.
func (t *Tx) Certify(ctx context.Context, actor string, r Run, certificate any) error {
	text, err := json.Marshal(certificate)
	if err != nil {
		return fmt.Errorf("encode the certificate: %w", err)
	}
	if err := t.exactlyOne(ctx, "write the certificate", certifyRun, r.ID, text, r.Phase, r.PhaseAt); err != nil {
		return err
	}
	return t.Log(ctx, actor, "run.certified", r.ID, json.RawMessage(text))
}

// dropCertificate voids a certificate when its run goes back to exchanging or is
// cancelled, which gives the old secret back its uses; the journal keeps the text.
func (t *Tx) dropCertificate(ctx context.Context, r Run) error {
	if _, err := t.tx.Exec(ctx, uncertifyRun, r.ID); err != nil {
		return fmt.Errorf("void the certificate: %w", err)
	}
	return nil
}

// Certificate returns the run's certificate, nil before it is written.
func (s *Store) Certificate(ctx context.Context, runID int64) (json.RawMessage, error) {
	var text []byte
	if err := s.pool.QueryRow(ctx, readCertify, runID).Scan(&text); err != nil {
		return nil, one(err, "run %d", runID)
	}
	return text, nil
}

// SaveSettings changes what may move while a run is open, and journals it.
func (t *Tx) SaveSettings(ctx context.Context, actor string, r Run) error {
	settings, err := json.Marshal(r.Settings)
	if err != nil {
		return fmt.Errorf("encode the run's settings: %w", err)
	}
	if err := t.exactlyOne(ctx, "save the run's settings", saveRunSet, r.ID, settings); err != nil {
		return err
	}
	return t.Log(ctx, actor, "run.tuned", r.ID, r.Settings)
}

func scanRun(row pgx.CollectableRow) (Run, error) {
	var r Run
	var settings []byte
	err := row.Scan(&r.ID, &r.AppID, &r.Kind, &r.Mode, &r.Phase, &r.PhaseAt, &r.Held, &r.HeldWhy, &r.HeldAt,
		&r.OldSecretID, &r.NewSecretID, &settings, &r.WalkCursor, &r.WalkDoneAt, &r.LastPosition,
		&r.CreatedAt, &r.ClosedAt, &r.CancelledAt)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(settings, &r.Settings); err != nil {
		return r, errors.Join(fmt.Errorf("settings of run %d cannot be read", r.ID), err)
	}
	return r, nil
}
