package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// WorkerInfo is one worker process, as its heartbeat tells.
type WorkerInfo struct {
	ID          uuid.UUID  `json:"id"`
	Host        string     `json:"host"`
	PID         int        `json:"pid"`
	Version     string     `json:"version"`
	StartedAt   time.Time  `json:"started_at"`
	HeartbeatAt time.Time  `json:"heartbeat_at"`
	StoppedAt   *time.Time `json:"stopped_at,omitempty"`
	// InFlight is the number of calls under way, Limit the most it allows now.
	InFlight    int     `json:"inflight"`
	Limit       int     `json:"limit"`
	ShopsPerS   float64 `json:"shops_per_s"`
	ThrottledBy string  `json:"throttled_by"`
	// Cap is the most calls that it makes at once.
	Cap int `json:"cap"`
}

var (
	insertWorker = sql(`insert into rotator.workers (id, host, pid, version, cap) values ($1, $2, $3, $4, $5) returning clock_timestamp()`)
	beatWorker   = sql(`update rotator.workers set heartbeat_at = now(), inflight = $2, "limit" = $3, shops_per_s = $4, throttled_by = $5
		where id = $1 and stopped_at is null returning clock_timestamp()`)
	stopWorker  = sql(`update rotator.workers set stopped_at = now(), inflight = 0, shops_per_s = 0 where id = $1`)
	liveWorkers = sql(`select id, host, pid, version, started_at, heartbeat_at, stopped_at, inflight, "limit", shops_per_s, throttled_by, cap
		from rotator.workers where stopped_at is null and heartbeat_at > now() - $1::interval order by started_at`)
	forgetWorkers = sql(`delete from rotator.workers k where k.heartbeat_at < now() - interval '7 days'
		and not exists (select from rotator.batches b where b.worker_id = k.id)`)
	// One statement a tick tells a worker all that it may do.
	readControls = sql(`select r.id, r.app_id, r.kind, r.mode, r.phase, coalesce(r.held, ''), r.settings, coalesce(r.old_secret_id, 0), coalesce(r.new_secret_id, 0),
			r.walk_done_at is not null, coalesce(t.id, 0), t.refused_at is not null,
			coalesce(extract(epoch from t.expires_at - clock_timestamp()), 0)::float8,
			(select count(*) from rotator.workers k where k.stopped_at is null and k.heartbeat_at > now() - $1::interval), nullif(r.excluded, '{}'),
			a.client_id, coalesce(a.settings->>'api_url', '')
		from rotator.runs r join rotator.apps a on a.id = r.app_id left join lateral
			(select id, refused_at, expires_at from rotator.refresh_tokens where run_id = r.id order by id desc limit 1) t on true
		where r.closed_at is null and r.cancelled_at is null order by r.id`)
)

// Control is what a worker must know about an open run before each call.
type Control struct {
	RunID, AppID             int64
	Kind                     rotation.Kind
	Mode                     rotation.Mode
	Phase                    rotation.Phase
	Held                     rotation.Held
	Settings                 RunSettings
	OldSecretID, NewSecretID int64
	WalkDone                 bool
	// RefreshTokenID is 0 when the run was never armed.
	RefreshTokenID int64
	Refused        bool
	// WindowLeft is counted by the database's clock, an hour at most; negative when it
	// is over.
	WindowLeft time.Duration
	// Workers is the number of live workers that share the run's cap.
	Workers int
	// Excluded are ids of shops that were excluded since the run was opened.
	Excluded []int64
	// ClientID and APIURL are the app's settings of now, with which calls are made.
	ClientID, APIURL string
}

// StartWorker makes the process known, and tells the database's time.
func (s *Store) StartWorker(ctx context.Context, w WorkerInfo) (now time.Time, err error) {
	if _, err := s.pool.Exec(ctx, forgetWorkers); err != nil {
		return now, fmt.Errorf("forget workers long gone: %w", err)
	}
	if err := s.pool.QueryRow(ctx, insertWorker, w.ID, w.Host, w.PID, w.Version, w.Cap).Scan(&now); err != nil {
		return now, fmt.Errorf("register the worker: %w", err)
	}
	return now, nil
}

// Beat is the worker's sign of life, and tells the database's time. ErrConflict when
// it was marked as stopped.
func (s *Store) Beat(ctx context.Context, w WorkerInfo) (now time.Time, err error) {
	err = s.pool.QueryRow(ctx, beatWorker, w.ID, w.InFlight, w.Limit, w.ShopsPerS, w.ThrottledBy).Scan(&now)
	if errors.Is(err, pgx.ErrNoRows) {
		err = ErrConflict
	}
	if err != nil {
		return now, fmt.Errorf("send the heartbeat: %w", err)
	}
	return now, nil
}

// StopWorker tells the others that this one is gone, so that they need not wait
// for its lease.
func (s *Store) StopWorker(ctx context.Context, id uuid.UUID) error {
	if _, err := s.pool.Exec(ctx, stopWorker, id); err != nil {
		return fmt.Errorf("sign the worker off: %w", err)
	}
	return nil
}

// Workers lists the live ones.
func (s *Store) Workers(ctx context.Context) ([]WorkerInfo, error) {
	return collect(ctx, s.pool, "read workers", pgx.RowToStructByPos[WorkerInfo], liveWorkers, LiveWithin)
}

// Controls reads the open runs' controls.
func (s *Store) Controls(ctx context.Context) ([]Control, error) {
	return collect(ctx, s.pool, "read the runs' controls", func(row pgx.CollectableRow) (Control, error) {
		var c Control
		var settings []byte
		var left float64
		err := row.Scan(&c.RunID, &c.AppID, &c.Kind, &c.Mode, &c.Phase, &c.Held, &settings, &c.OldSecretID, &c.NewSecretID,
			&c.WalkDone, &c.RefreshTokenID, &c.Refused, &left, &c.Workers, &c.Excluded, &c.ClientID, &c.APIURL)
		if err != nil {
			return c, err
		}
		c.WindowLeft = min(time.Duration(left*float64(time.Second)), rotation.WindowLength)
		return c, json.Unmarshal(settings, &c.Settings)
	}, readControls, LiveWithin)
}
