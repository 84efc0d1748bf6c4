package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

// DerivedCheck is a shop whose derived token is to be looked at before the
// cutover.
type DerivedCheck struct {
	RunID, Position int64
	Domain          string
	// Attempt fences the result, as of any outcome.
	Attempt int
	Tries   int
	Token   secret.String
	// Broken says why the sealed token does not open, "" if it does.
	Broken string
}

// DerivedChecked is what the look saw. State is exchanged when the token stays in the
// run: Alive then tells that it works; without it and with a Delay, of which Asked is
// the platform's wish, the shop is asked again. A shop that is parked or skipped keeps
// its derived token for the time after the cutover; Refused tells that it was parked
// for that.
type DerivedChecked struct {
	Of      DerivedCheck
	State   rotation.ItemState
	Class   rotation.Class
	Detail  string
	Alive   bool
	Refused bool
	Delay   time.Duration
	Asked   time.Duration
}

var (
	// $2 shops or fewer are looked at: -1 for all, 0 for none.
	planDerivedChecks = sql(`update rotator.runs set check_stride = case when $2::bigint < 0 then 1 when $2 > 0 then
			greatest(1, (select count(*) from rotator.items where run_id = $1 and state = 'exchanged') / $2) end
		where id = $1`)
	// A coarse stride may meet no derived token at all: then every one is due.
	refineDerivedChecks = sql(`update rotator.runs r set check_stride = 1 where id = $1 and check_stride is not null and not exists
		(select from rotator.items where run_id = $1 and position % r.check_stride = 0 and state = 'exchanged')`)
	nextDerivedChecks = sql(`select i.run_id, i.position, s.domain, i.attempt, i.tries, i.new_token
		from rotator.items i join rotator.shops s on s.id = i.shop_id join rotator.runs r on r.id = i.run_id
		where i.run_id = $1 and i.position > $2 and i.position % r.check_stride = 0 and i.state = 'exchanged'
			and i.checked_at is null and i.next_attempt_at is null and (not $4::boolean or ` + computed + `)
		order by i.position limit $3`)
	// A look raises no attempt, so that two workers may look at once when one was
	// silent: what gave no clear answer does not undo what did.
	writeDerivedChecks = sql(`update rotator.items i set state = x.state, class = nullif(x.class, ''), detail = coalesce(nullif(x.detail, ''), i.detail),
			checked_at = case when x.alive or x.refused then now() else i.checked_at end,
			new_alive = case when x.alive or x.refused then x.alive else i.new_alive end,
			next_attempt_at = case when x.delay_ms >= 0 then now() + x.delay_ms * interval '1 millisecond' end,
			quiet_until = case when x.asked_ms > 0 then now() + x.asked_ms * interval '1 millisecond' else i.quiet_until end
		from unnest($2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::bool[], $8::bool[], $9::bigint[], $10::bigint[])
			as x (position, attempt, state, class, detail, alive, refused, delay_ms, asked_ms)
		where i.run_id = $1 and i.position = x.position and i.attempt = x.attempt and i.state = 'exchanged'
			and (i.checked_at is null or i.next_attempt_at is not null or x.alive or x.refused or x.state = 'skipped')
			and exists (select from rotator.runs r where r.id = $1 and r.phase in ('deriving', 'derived', 'checked'))`)
	// A cancel clears what was derived: only what was looked at says that it was.
	countDerivedChecks = sql(`select count(*) filter (where i.state <> 'exchanged' and r.cancelled_at is null or (i.checked_at is not null and i.next_attempt_at is null)), count(*),
			count(*) filter (where i.new_alive), count(*) filter (where not i.new_alive)
		from rotator.items i join rotator.runs r on r.id = i.run_id
		where i.run_id = $1 and i.position % r.check_stride = 0 and i.exchanged_at is not null`)
	anyDerivedAlive = sql(`select exists (select from rotator.items i join rotator.runs r on r.id = i.run_id where i.run_id = $1
		and case when r.phase = 'cutover' then i.state = 'proven' else i.new_alive end)`)
	anyComputedAlive = sql(`select exists (select from rotator.items i join rotator.shops s on s.id = i.shop_id
		where i.run_id = $1 and i.new_alive and ` + computed + `)`)
)

// computed tells of a shop that its derived token is not a password, which is
// right under any version of the secret.
const computed = `s.derived_fingerprint is distinct from s.derived_from`

// planDerivedChecks chooses the shops whose derived tokens are looked at.
func (t *Tx) planDerivedChecks(ctx context.Context, r Run) error {
	for _, plan := range []struct {
		statement string
		args      []any
	}{{planDerivedChecks, []any{r.ID, r.Settings.CheckSample}}, {refineDerivedChecks, []any{r.ID}}} {
		if _, err := t.tx.Exec(ctx, plan.statement, plan.args...); err != nil {
			return fmt.Errorf("plan the check of derived tokens: %w", err)
		}
	}
	return nil
}

// NextDerivedChecks returns up to n shops that the check has not looked at yet,
// from after a position on; with onlyComputed none whose token is a password.
func (s *Store) NextDerivedChecks(ctx context.Context, runID, after int64, n int, onlyComputed bool) ([]DerivedCheck, error) {
	return collect(ctx, s.pool, "read derived tokens to check", func(row pgx.CollectableRow) (DerivedCheck, error) {
		var c DerivedCheck
		var sealed []byte
		if err := row.Scan(&c.RunID, &c.Position, &c.Domain, &c.Attempt, &c.Tries, &sealed); err != nil {
			return c, err
		}
		c.Token, c.Broken = s.opened("its derived token", sealed, newTokenAt(c.RunID, c.Position))
		return c, nil
	}, nextDerivedChecks, runID, after, n, onlyComputed)
}

// WriteDerivedChecks commits what the check saw of a run's shops. What was
// claimed or derived again since, or is past the cutover, is left alone.
func (s *Store) WriteDerivedChecks(ctx context.Context, runID int64, group []DerivedChecked) error {
	var positions, delays, asked []int64
	var attempts []int32
	var states, classes, details []string
	var alive, refused []bool
	for _, c := range group {
		positions, attempts = append(positions, c.Of.Position), append(attempts, int32(c.Of.Attempt))
		states, classes, details = append(states, string(c.State)), append(classes, string(c.Class)), append(details, c.Detail)
		alive, refused = append(alive, c.Alive), append(refused, c.Refused)
		delay := int64(-1)
		if c.State == rotation.ItemExchanged && !c.Alive {
			delay = c.Delay.Milliseconds()
		}
		delays, asked = append(delays, delay), append(asked, c.Asked.Milliseconds())
	}
	return againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			// The cutover begins before this or after it, not between.
			if err := tx.lockOpenRun(ctx, runID); err != nil {
				return err
			}
			if _, err := tx.tx.Exec(ctx, writeDerivedChecks, runID, positions, attempts, states, classes, details, alive, refused, delays, asked); err != nil {
				return fmt.Errorf("write checks of derived tokens: %w", err)
			}
			return nil
		})
	})
}

// AnyDerivedAlive reports whether the platform accepted a derived token of the
// run: after the cutover, since then.
func (s *Store) AnyDerivedAlive(ctx context.Context, runID int64) (bool, error) {
	var alive bool
	if err := s.pool.QueryRow(ctx, anyDerivedAlive, runID).Scan(&alive); err != nil {
		return false, fmt.Errorf("look for a derived token that works: %w", err)
	}
	return alive, nil
}

// AnyComputedAlive reports whether the check saw a derived token accepted that
// is not a password: only these tell that the secret is the right version.
func (s *Store) AnyComputedAlive(ctx context.Context, runID int64) (bool, error) {
	var alive bool
	if err := s.pool.QueryRow(ctx, anyComputedAlive, runID).Scan(&alive); err != nil {
		return false, fmt.Errorf("look for a computed token that works: %w", err)
	}
	return alive, nil
}
