package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// LiveWithin is how recent a worker's heartbeat must be for it to count as
// alive; after it, others take over its batches.
const LiveWithin = 15 * time.Second

var (
	readWindow = sql(`select id, fingerprint, accepted_at, expires_at, refused_at from rotator.refresh_tokens
		where run_id = $1 order by id desc limit 1`)
	readSecretPair = sql(`select coalesce(o.fingerprint <> n.fingerprint, false), coalesce(o.version, 0), coalesce(n.version, 0), coalesce(n.state = 'revoked', false), coalesce(n.activated_at > r.held_at, false), a.name
		from rotator.runs r join rotator.apps a on a.id = r.app_id
		left join rotator.secrets o on o.id = r.old_secret_id left join rotator.secrets n on n.id = r.new_secret_id where r.id = $1`)
	readWaves = sql(`select w.number, w.name, w.first_position, w.last_position, w.released_at is not null, w.settled_at is not null, w.accepted_at is not null,
			(select count(*) from rotator.batches b where b.run_id = w.run_id and b.wave = w.number and b.settled_at is null)
		from rotator.waves w where w.run_id = $1 order by w.number`)
	// A credential that was refused holds the whole run by itself. Shops that
	// met it count as not tried: the operator may have replaced it since.
	countRange = sql(`select state, coalesce(class, ''), count(*), count(*) filter (where state in ('retrying', 'parked') and ` + countsAsFailed + `),
			count(*) filter (where state = 'retrying' and (class is null or class in ('ours', 'window'))),
			count(*) filter (where state in ('skipped', 'parked') and class is not null),
			count(*) filter (where state = 'exchanged' and class is null and next_attempt_at is not null and detail like '` + rowLocked + `%')
		from rotator.items where run_id = $1 and position between $2 and $3 group by state, class`)
	countWorkers = sql(`select count(*), coalesce(sum(cap), 0),
			count(*) filter (where throttled_by = '` + rotation.ThrottledByDatabase + `' and inflight = 0 and shops_per_s = 0)
		from rotator.workers where stopped_at is null and heartbeat_at > now() - $1::interval`)
	// A connection of ours that must not write says so itself: that is no word of the server's.
	refusesWrites = sql(`select pg_is_in_recovery() or exists (select from pg_settings
		where name = 'default_transaction_read_only' and setting = 'on' and source not in ('client', 'session'))`)
	noShops = sql(`select not exists (select from rotator.shops where app_id = $1)`)
	// As long as the old secret is needed, too: after a revoke nothing is left to choose.
	anyEarlierToken = sql(`select exists (select from rotator.secrets o where o.id = $2 and o.state = 'retiring')
		and exists (select from rotator.shops where app_id = $1 and secret_id = $3 and rotated_at is not null)`)
	readSnapNow = sql(`select now()`)
	readLater   = sql(`select coalesce(max(l.id), 0) from rotator.runs r join rotator.runs l on l.app_id = r.app_id and l.kind = r.kind and l.id > r.id where r.id = $1`)
)

const countsAsFailed = `(class in ('platform', 'network', 'bad_answer')
	or (state = 'parked' and class in ('ours', 'window')) or new_token is not null or (state = 'retrying' and class = 'unauthorized'))`

// Detail says how much a snapshot counts.
type Detail int

const (
	// Uncounted counts no shop: what is decided from the run's own row, its window
	// and its verdict. Counts and what rests on them are zero, whatever the run has.
	Uncounted Detail = iota
	// Gated is Counted if the gate of the run's phase speaks of shops, else
	// Uncounted.
	Gated
	// Engine counts the items of a wave only once its batches are settled, and
	// calls them pending until then: what a decision needs, cheap enough for
	// every tick over a million items.
	Engine
	// Items counts every item, and nothing else that has to look at every shop:
	// how fast a run is.
	Items
	// Counted counts everything: what a person is shown, and what a gate needs.
	Counted
)

// Snapshot reads all that a decision about the run needs, at one moment.
func (s *Store) Snapshot(ctx context.Context, runID int64, detail Detail) (rotation.Snapshot, Run, error) {
	var snap rotation.Snapshot
	var r Run
	options := pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly}
	err := pgx.BeginTxFunc(ctx, s.pool, options, func(tx pgx.Tx) error {
		t := &Tx{tx: tx, keys: s.keys}
		var err error
		snap, r, err = t.snapshot(ctx, runID, detail)
		return err
	})
	return snap, r, err
}

func (t *Tx) snapshot(ctx context.Context, runID int64, detail Detail) (rotation.Snapshot, Run, error) {
	var s rotation.Snapshot
	r, err := t.run(ctx, runID)
	if err != nil {
		return s, r, err
	}
	if detail == Gated {
		if detail = Uncounted; rotation.GateCounts(r.Phase) {
			detail = Counted
		}
	}
	s = rotation.Snapshot{
		RunID: r.ID, Kind: r.Kind, Mode: r.Mode, Phase: r.Phase, PhaseAt: r.PhaseAt.UTC(), Held: r.Held, HeldWhy: r.HeldWhy, Cancelled: r.CancelledAt != nil,
		WalkDone: r.WalkDoneAt != nil, WavePolicy: r.Settings.Waves, Grace: time.Duration(r.Settings.GraceSeconds) * time.Second,
	}
	if err := t.tx.QueryRow(ctx, readSnapNow).Scan(&s.Now); err != nil {
		return s, r, fmt.Errorf("ask the database's clock: %w", err)
	}
	s.Now = s.Now.UTC()
	for _, fill := range []func(context.Context, Run, *rotation.Snapshot) error{t.fillFacts, t.fillWindow, t.fillHealth} {
		if err := fill(ctx, r, &s); err != nil {
			return s, r, err
		}
	}
	if detail == Uncounted {
		if err := t.fillNeeds(ctx, r, &s); err != nil {
			return s, r, err
		}
		return s, r, t.fillForecast(ctx, r, &s)
	}
	if err := t.fillWaves(ctx, r, &s, detail); err != nil {
		return s, r, err
	}
	if err := t.fillDeliveries(ctx, r, &s, detail); err != nil {
		return s, r, err
	}
	if err := t.fillBound(ctx, r, &s); err != nil {
		return s, r, err
	}
	if r.isMigration() {
		return s, r, t.fillMigration(ctx, r, &s, detail)
	}
	if err := t.fillSweep(ctx, r, &s, detail); err != nil {
		return s, r, err
	}
	if detail == Counted && s.Counts.Proven+s.Counts.Exchanged == 0 {
		if err := t.tx.QueryRow(ctx, anyEarlierToken, r.AppID, r.OldSecretID, r.NewSecretID).Scan(&s.EarlierTokens); err != nil {
			return s, r, fmt.Errorf("look for tokens that earlier runs left: %w", err)
		}
	}
	if err := t.fillNeeds(ctx, r, &s); err != nil {
		return s, r, err
	}
	if err := t.fillDown(ctx, r, &s, detail); err != nil {
		return s, r, err
	}
	return s, r, t.fillForecast(ctx, r, &s)
}

func (t *Tx) fillFacts(ctx context.Context, r Run, s *rotation.Snapshot) error {
	var err error
	if s.Attested, err = attestations(ctx, t.tx, r.ID); err != nil {
		return err
	}
	if err := t.tx.QueryRow(ctx, readSecretPair, r.ID).Scan(&s.SecretsDiffer, &s.OldSecret, &s.NewSecret, &s.NewSecretGone, &s.SecretReplaced, &s.App); err != nil {
		return fmt.Errorf("compare the secrets: %w", err)
	}
	if err := t.tx.QueryRow(ctx, countWorkers, LiveWithin).Scan(&s.Workers, &s.Reach, &s.Unwriting); err != nil {
		return fmt.Errorf("count workers: %w", err)
	}
	if s.Workers == 0 {
		if err := t.tx.QueryRow(ctx, refusesWrites).Scan(&s.ReadOnly); err != nil {
			return fmt.Errorf("ask whether the database takes writes: %w", err)
		}
	}
	if s.Cancelled {
		if err := t.tx.QueryRow(ctx, readLater, r.ID).Scan(&s.LaterRun); err != nil {
			return fmt.Errorf("look for a later run: %w", err)
		}
	}
	var certificate []byte
	if err := t.tx.QueryRow(ctx, readCertify, r.ID).Scan(&certificate); err != nil {
		return fmt.Errorf("look for the certificate: %w", err)
	}
	s.Certificate = certificate != nil
	if r.Phase == rotation.PhaseRevoked || r.Phase == rotation.PhaseWebhooksSingle {
		if s.Revocation, err = revocation(ctx, t.tx, r.ID); err != nil {
			return err
		}
		if s.AliveShops, err = t.aliveShops(ctx, r.ID, s.Revocation); err != nil {
			return err
		}
	}
	if !r.isMigration() && r.Phase.Before(rotation.PhaseArmed) && r.LastPosition == 0 {
		if err := t.tx.QueryRow(ctx, noShops, r.AppID).Scan(&s.NoShops); err != nil {
			return fmt.Errorf("look for shops: %w", err)
		}
	}
	if r.Phase == rotation.PhasePrepared {
		s.KeyringOpens = t.opensSecrets(ctx, r)
	}
	return nil
}

// opensSecrets tries the keyring on both secrets; any failure means no.
func (t *Tx) opensSecrets(ctx context.Context, r Run) bool {
	for _, id := range []int64{r.OldSecretID, r.NewSecretID} {
		var appID int64
		var version int
		var sealed []byte
		if err := t.tx.QueryRow(ctx, readSecretValue, id).Scan(&appID, &version, &sealed); err != nil {
			return false
		}
		if _, err := t.keys.Open(sealed, secretAt(appID, version)); err != nil {
			return false
		}
	}
	return true
}

func (t *Tx) fillWindow(ctx context.Context, r Run, s *rotation.Snapshot) error {
	rt, err := currentRefreshToken(ctx, t.tx, r.ID)
	if err != nil {
		return err
	}
	if rt.ID != 0 {
		s.Window = rotation.Window{ExpiresAt: rt.ExpiresAt.UTC(), Refused: rt.RefusedAt != nil, Fingerprint: rt.Fingerprint}
	}
	return nil
}

func currentRefreshToken(ctx context.Context, q querier, runID int64) (RefreshToken, error) {
	all, err := collect(ctx, q, "read the refresh token", pgx.RowToStructByPos[RefreshToken], readWindow, runID)
	if err != nil || len(all) == 0 {
		return RefreshToken{}, err
	}
	return all[0], nil
}

func (t *Tx) fillWaves(ctx context.Context, r Run, s *rotation.Snapshot, detail Detail) error {
	rows, err := t.tx.Query(ctx, readWaves, r.ID)
	if err != nil {
		return fmt.Errorf("read waves: %w", err)
	}
	var w rotation.WaveStatus
	var unsettled int
	_, err = pgx.ForEachRow(rows, []any{&w.Number, &w.Name, &w.First, &w.Last, &w.Released, &w.Settled, &w.Accepted, &unsettled}, func() error {
		w.Counts, w.FailedBy = rotation.Counts{}, nil
		if detail == Engine && unsettled > 0 {
			w.Counts.Add(rotation.ItemPending, int(w.Len()))
		}
		s.Waves = append(s.Waves, w)
		return nil
	})
	if err != nil {
		return fmt.Errorf("read waves: %w", err)
	}
	busy := slices.ContainsFunc(s.Waves, func(w rotation.WaveStatus) bool { return !w.Released || w.Counts.Pending > 0 })
	var held map[int]heldCounts
	if detail != Engine {
		if held, err = t.countHeld(ctx, r.ID); err != nil {
			return err
		}
	}
	for i := range s.Waves {
		w := &s.Waves[i]
		if detail == Engine && busy && w.Settled {
			w.Counts.Add(rotation.ItemProven, int(w.Len())) // not looked at while another wave works
		}
		if w.Counts.Total == 0 {
			if err := t.countItems(ctx, r.ID, w.Range, w); err != nil {
				return err
			}
			if err := t.exemplify(ctx, r, w); err != nil {
				return err
			}
		}
		held[w.Number].move(&w.Counts)
		addCounts(&s.Counts, w.Counts)
	}
	if len(s.Waves) > 0 || r.LastPosition == 0 {
		return nil
	}
	var all rotation.WaveStatus
	err = t.countItems(ctx, r.ID, rotation.Range{First: 1, Last: r.LastPosition}, &all)
	s.Counts = all.Counts
	return err
}

func (t *Tx) countItems(ctx context.Context, runID int64, in rotation.Range, w *rotation.WaveStatus) error {
	rows, err := t.tx.Query(ctx, countRange, runID, in.First, in.Last)
	if err != nil {
		return fmt.Errorf("count items: %w", err)
	}
	var state rotation.ItemState
	var class rotation.Class
	var n, failed, again, aside, waiting int
	_, err = pgx.ForEachRow(rows, []any{&state, &class, &n, &failed, &again, &aside, &waiting}, func() error {
		w.Counts.Add(state, n)
		if w.Failed += failed; failed > 0 {
			if w.FailedBy == nil {
				w.FailedBy = map[rotation.Class]int{}
			}
			w.FailedBy[class] += failed
		}
		w.Again += again
		w.Aside += aside
		w.Waiting += waiting
		return nil
	})
	if err != nil {
		return fmt.Errorf("count items: %w", err)
	}
	return nil
}

func addCounts(to *rotation.Counts, c rotation.Counts) {
	for state, n := range map[rotation.ItemState]int{
		rotation.ItemPending: c.Pending, rotation.ItemClaimed: c.Claimed, rotation.ItemExchanged: c.Exchanged,
		rotation.ItemProven: c.Proven, rotation.ItemRetrying: c.Retrying, rotation.ItemUnknown: c.Unknown,
		rotation.ItemParked: c.Parked, rotation.ItemSkipped: c.Skipped, rotation.ItemWaived: c.Waived,
	} {
		to.Add(state, n)
	}
}

// fillSweep counts what the end of the exchange must still take care of. These
// look at every shop, so the engine asks only when nothing else is open.
func (t *Tx) fillSweep(ctx context.Context, r Run, s *rotation.Snapshot, detail Detail) error {
	sweeping := r.Phase == rotation.PhaseExchanging || r.Phase == rotation.PhaseProven
	if !sweeping || detail == Items || (detail == Engine && s.Counts.Open() > 0) {
		return nil
	}
	if err := t.tx.QueryRow(ctx, leftToSweep, r.ID, r.NewSecretID, r.AppID).Scan(&s.LateInstalls, &s.LateExchanges, &s.OldVersionShops); err != nil {
		return fmt.Errorf("count what is left to sweep: %w", err)
	}
	return nil
}
