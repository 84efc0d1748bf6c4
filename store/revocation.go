package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

// Check is one shop to look at after the revoke: its former token must be dead
// and its current one alive.
type Check struct {
	RunID, Position int64
	Domain          string
	// Old is zero when no run replaced a token of the old secret: the shop's was of the
	// new one.
	Old, Current secret.String
	// Broken tells that a sealed token does not open.
	Broken bool
	// ofNew tells that Current is of the run's new secret; nil if nobody knows.
	ofNew *bool
	// late is when a late token was last made for the shop: the fence of the look.
	late *time.Time
}

// Checked is what was seen.
type Checked struct {
	Check    Check
	OldDead  bool
	NewAlive bool
}

// sampled are the shops that the check looks at: a sample, and those whose token a
// later one may have killed since the run was proven (markLate).
const sampled = `(i.position % r.check_stride = 0 or i.late_exchange_at is not null)`

// ownOld tells that the item's old token is of the run's old secret.
const ownOld = `(i.old_token is not null and coalesce(i.old_secret_id = r.old_secret_id, true))`

var (
	planChecks = sql(`update rotator.runs set check_stride = case when $2::bigint < 0 then 1 else
			greatest(1, (select count(*) from rotator.items where run_id = $1 and state = 'proven') / greatest($2, 1)) end
		where id = $1`)
	// A coarse stride may meet no proven shop at all: then every one is due.
	refineChecks = sql(`update rotator.runs r set check_stride = 1 where id = $1 and not exists
		(select from rotator.items where run_id = $1 and position % r.check_stride = 0 and state = 'proven')`)
	// Where this run replaced no token of the old secret, one before it that was cancelled
	// may have: see formerOf.
	nextChecks = sql(`select i.run_id, i.position, i.shop_id, s.domain, case when ` + ownOld + ` then i.old_token else f.old_token end,
			coalesce(f.run_id, i.run_id), coalesce(f.position, i.position),
			s.access_token, s.secret_id = r.new_secret_id, i.late_exchange_at
		from rotator.items i join rotator.shops s on s.id = i.shop_id join rotator.runs r on r.id = i.run_id
		left join lateral (select x.run_id, x.position, x.old_token from rotator.runs c join rotator.items x on x.run_id = c.id and x.shop_id = s.id
			where not ` + ownOld + ` and c.app_id = r.app_id and c.kind = 'rotation' and c.cancelled_at is not null and x.old_token is not null
				and coalesce(x.old_generation, x.generation) + 1 = s.token_generation and coalesce(x.old_secret_id, c.old_secret_id) = r.old_secret_id limit 1) f on true
		where i.run_id = $1 and i.position > $2 and ` + sampled + ` and i.state = 'proven'
			and i.checked_at is null
		order by i.position limit $3`)
	// A look that began before a late token was made says nothing about what that left.
	writeChecks = sql(`update rotator.items i set checked_at = now(), old_dead = x.old_dead, new_alive = x.new_alive, old_known = x.old_known, new_known = coalesce(x.new_known, false)
		from unnest($1::bigint[], $2::bigint[], $3::bool[], $4::bool[], $5::timestamptz[], $6::bool[], $7::bool[]) as x (run_id, position, old_dead, new_alive, late, old_known, new_known)
		where i.run_id = x.run_id and i.position = x.position and i.late_exchange_at is not distinct from x.late`)
	// As long as an old token answers, what was seen of the others may be from before
	// another secret's revoke.
	forgetAlive = sql(`update rotator.items set checked_at = null, old_dead = null, new_alive = null
		where run_id = $1 and checked_at is not null and (not (old_dead and new_alive)
			or exists (select from rotator.items where run_id = $1 and state = 'proven' and checked_at is not null and not old_dead))`)
	countChecks = sql(`select ` + seen + `
		from rotator.items i join rotator.runs r on r.id = i.run_id
		where i.run_id = $1 and ` + sampled + ` and i.state = 'proven'`)
	readAlive = sql(`select s.domain from rotator.items i join rotator.runs r on r.id = i.run_id join rotator.shops s on s.id = i.shop_id
		where i.run_id = $1 and ` + sampled + ` and i.state = 'proven' and not i.old_dead order by i.position`)
	// What is exchanged has a token, by the table's rule.
	shredItems = sql(`update rotator.items set old_token = null, new_token = null, state = case when state = 'exchanged' then 'parked' else state end,
			detail = case when state = 'exchanged' then coalesce(detail, 'its new token was never proven') else detail end,
			next_attempt_at = case when state <> 'exchanged' then next_attempt_at end
		where run_id = $1 and position between $2 and $3 and (old_token is not null or new_token is not null)`)
	endedRuns = sql(`select ` + runColumns + ` from rotator.runs where app_id = $1 and cancelled_at is not null order by id`)
	// Groups that no keyring here opened, and those that came when their run was over,
	// of shops that the run which is closed has proven since (markLate).
	shredMinted   = sql(`delete from rotator.minted where run_id = $1`)
	anyUnshredded = sql(`select exists (select from rotator.items where run_id = $1 and (old_token is not null or new_token is not null))`)
)

func (t *Tx) planChecks(ctx context.Context, r Run) error {
	if _, err := t.tx.Exec(ctx, planChecks, r.ID, r.Settings.CheckSample); err != nil {
		return fmt.Errorf("plan the check after the revoke: %w", err)
	}
	if _, err := t.tx.Exec(ctx, refineChecks, r.ID); err != nil {
		return fmt.Errorf("plan the check after the revoke: %w", err)
	}
	return nil
}

// Recheck makes every shop that failed the check due for another look.
func (t *Tx) Recheck(ctx context.Context, runID int64) error {
	if _, err := t.tx.Exec(ctx, forgetAlive, runID); err != nil {
		return fmt.Errorf("look again after the revoke: %w", err)
	}
	return nil
}

// NextChecks returns up to n shops that the check has not looked at yet, from
// after a position on.
func (s *Store) NextChecks(ctx context.Context, runID, after int64, n int) ([]Check, error) {
	return collect(ctx, s.pool, "read shops to check", func(row pgx.CollectableRow) (Check, error) {
		var c Check
		var shopID, oldRun, oldPosition int64
		var old, current []byte
		if err := row.Scan(&c.RunID, &c.Position, &shopID, &c.Domain, &old, &oldRun, &oldPosition, &current, &c.ofNew, &c.late); err != nil {
			return c, err
		}
		var err error
		// A token that does not open is no answer; the shop can be waived.
		if old != nil {
			c.Old, err = s.keys.Open(old, oldTokenAt(oldRun, oldPosition))
			c.Broken = err != nil
		}
		if c.Current, err = s.keys.Open(current, accessTokenAt(shopID)); err != nil {
			c.Broken = true
		}
		return c, nil
	}, nextChecks, runID, after, n)
}

// WriteChecks commits what the check saw, which it sorts. A shop for which a late
// token was made since NextChecks named it stays to be looked at.
func (s *Store) WriteChecks(ctx context.Context, group []Checked) error {
	slices.SortFunc(group, func(a, b Checked) int { return cmp.Compare(a.Check.Position, b.Check.Position) })
	var runs, positions []int64
	var dead, alive, oldKnown []bool
	var newKnown []*bool
	var late []*time.Time
	for _, c := range group {
		runs, positions = append(runs, c.Check.RunID), append(positions, c.Check.Position)
		dead, alive, late = append(dead, c.OldDead), append(alive, c.NewAlive), append(late, c.Check.late)
		oldKnown = append(oldKnown, !c.Check.Old.IsZero() && !c.Check.Old.Equal(c.Check.Current))
		newKnown = append(newKnown, c.Check.ofNew)
	}
	err := againIfDeadlocked(func() error {
		_, err := s.pool.Exec(ctx, writeChecks, runs, positions, dead, alive, late, oldKnown, newKnown)
		return err
	})
	if err != nil {
		return fmt.Errorf("write checks: %w", err)
	}
	return nil
}

func revocation(ctx context.Context, q querier, runID int64) (rotation.Revocation, error) {
	r, err := scanSeen(q.QueryRow(ctx, countChecks, runID))
	if err != nil {
		return r, fmt.Errorf("count checks: %w", err)
	}
	return r, nil
}

// aliveShown old tokens that still answer are named by their shops.
const aliveShown = 5

// aliveShops names the shops whose former token answers, unless there are many.
func (t *Tx) aliveShops(ctx context.Context, runID int64, r rotation.Revocation) ([]string, error) {
	if r.OldAlive == 0 || r.OldAlive > aliveShown {
		return nil, nil
	}
	return collect(ctx, t.tx, "name shops whose old token answers", pgx.RowTo[string], readAlive, runID)
}

// shredPage keeps a shredding statement short, so that vacuum can follow it.
const shredPage = 20_000

// ShredTokens empties the items' old and unused tokens, page by page, of the run
// and of the app's cancelled ones. It may be stopped and run again. progress is
// told how many positions are done, of those of all these runs.
func (s *Store) ShredTokens(ctx context.Context, r Run, progress func(done, total int64)) error {
	ended, err := s.runs(ctx, endedRuns, r.AppID)
	if err != nil {
		return err
	}
	all := append(ended, r)
	var before, total int64
	for _, run := range all {
		total += run.LastPosition
	}
	for _, run := range all {
		if err := s.shredRun(ctx, run, func(done int64) { progress(before+done, total) }); err != nil {
			return err
		}
		before += run.LastPosition
	}
	return nil
}

func (s *Store) shredRun(ctx context.Context, r Run, progress func(done int64)) error {
	if _, err := s.pool.Exec(ctx, shredMinted, r.ID); err != nil {
		return fmt.Errorf("shred unused tokens: %w", err)
	}
	for first := int64(1); first <= r.LastPosition; first += shredPage {
		last := min(first+shredPage-1, r.LastPosition)
		if _, err := s.pool.Exec(ctx, shredItems, r.ID, first, last); err != nil {
			return fmt.Errorf("shred old tokens: %w", err)
		}
		progress(last)
	}
	return nil
}

// shred completes a run's end: nothing that is left may open anything.
func (t *Tx) shred(ctx context.Context, r Run) error {
	var left bool
	if err := t.tx.QueryRow(ctx, anyUnshredded, r.ID).Scan(&left); err != nil {
		return fmt.Errorf("look for old tokens: %w", err)
	}
	if left {
		return fmt.Errorf("close the run: old tokens are still stored: %w", ErrConflict)
	}
	if r.isMigration() {
		return nil // its secret lives on
	}
	if err := t.shredRefreshTokens(ctx, r.ID); err != nil {
		return err
	}
	return t.exactlyOne(ctx, "shred the old secret", shredSecret, r.OldSecretID)
}

// Now is the database's clock, for measuring skew.
func (s *Store) Now(ctx context.Context) (time.Time, error) {
	var now time.Time
	if err := s.pool.QueryRow(ctx, readNow).Scan(&now); err != nil {
		return now, fmt.Errorf("ask the database's clock: %w", err)
	}
	return now.UTC(), nil
}

var readNow = sql(`select clock_timestamp()`)
