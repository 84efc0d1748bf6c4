package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

// Underived is a shop whose OAuth token is to be derived, as it was read.
type Underived struct {
	RunID, Position, ShopID int64
	Domain                  string
	// Attempt and Generation are what the derivation is fenced by, the latter
	// when its token becomes the shop's. Claimed is the attempt of the claim that
	// derives it, Attempt itself when a whole batch is derived.
	Attempt    int
	Claimed    int
	Tries      int
	Generation int64
	// Legacy is the stored credential; Password tells that it is the legacy
	// password and not the token.
	Legacy   secret.String
	Password bool
	// Fingerprint is the legacy credential's.
	Fingerprint string
	// Excluded is why an operator excluded the shop, "" if not.
	Excluded string
	// OAuth tells that the shop has an access token by now.
	OAuth bool
	// Derived tells that the legacy token is a token that was derived before,
	// or one that was the shop's access token.
	Derived bool
	// Broken says why the sealed credential does not open, "" if it does.
	Broken string
}

// Derivation is what deriving came to: Token, or a State (skipped, parked or
// retrying) with Class, Detail and, for retrying, Delay.
type Derivation struct {
	Of     Underived
	Token  secret.String
	State  rotation.ItemState
	Class  rotation.Class
	Detail string
	Delay  time.Duration
}

const underivedColumns = `select i.run_id, i.position, i.shop_id, s.domain, i.attempt, i.tries, s.token_generation, s.legacy_token,
		coalesce(s.legacy_kind = 'password', false), coalesce(s.legacy_token_fingerprint, ''), coalesce(s.excluded_reason, ''), s.access_token is not null,
		coalesce(s.legacy_kind = 'token' and (s.legacy_token_fingerprint = s.access_token_fingerprint
			or (s.legacy_token_fingerprint = s.derived_fingerprint and s.derived_fingerprint is distinct from s.derived_from)
			or s.legacy_token_fingerprint = any(s.former_fingerprints)), false)
	from rotator.items i join rotator.shops s on s.id = i.shop_id`

var (
	readUnderived = sql(underivedColumns + ` where i.run_id = $1 and i.position between $2 and $3
		and i.state = 'pending' and i.next_attempt_at is null order by i.position`)
	readUnderivedClaim = sql(underivedColumns + ` where i.run_id = $1 and i.position = $2 and
		(i.attempt = $3 and i.state = 'claimed' or $4 and i.attempt = $3 - 1 and i.state = 'pending')`)
	// Both locks keep out until commit what would make the write wrong: a hold, a
	// cancel or the cutover of the run, and another worker's taking of the batch.
	lockWorkingRun  = sql(`select from rotator.runs where id = $1 and held is null and closed_at is null and cancelled_at is null for share`)
	lockDerivingRun = sql(`select from rotator.runs where id = $1 and held is null and closed_at is null and cancelled_at is null
		and phase in ('deriving', 'derived', 'checked') for share`)
	lockLease = sql(`select from rotator.batches where run_id = $1 and number = $2 and fence = $3 and settled_at is null for no key update`)
	// After the cutover a shop that is worked by itself goes on to be proven: it
	// keeps its lease.
	writeDerived = sql(`update rotator.items i set state = 'exchanged', attempt = x.claimed, new_token = x.token, exchanged_at = now(), generation = x.generation,
			class = null, detail = nullif(x.detail, ''), acted = false, checked_at = null, new_alive = null,
			next_attempt_at = case when r.phase = 'cutover' then i.next_attempt_at end
		from unnest($2::bigint[], $3::int[], $4::bytea[], $5::bigint[], $6::text[], $7::int[]) as x (position, attempt, token, generation, detail, claimed), rotator.runs r
		where r.id = $1 and i.run_id = $1 and i.position = x.position and i.attempt = x.attempt and i.state in ('pending', 'claimed')
		returning i.shop_id`)
	markDerived = sql(`update rotator.shops s set derived_fingerprint = x.derived, derived_from = x.legacy, derived_at = now(), derived_run = $4
		from unnest($1::bigint[], $2::text[], $3::text[]) as x (shop_id, derived, legacy) where s.id = x.shop_id`)
	writeUnderivable = sql(`update rotator.items i set state = x.state, class = nullif(x.class, ''), detail = x.detail,
			next_attempt_at = case when x.state = 'retrying' then now() + x.delay_ms * interval '1 millisecond' end
		from unnest($2::bigint[], $3::int[], $4::text[], $5::text[], $6::text[], $7::bigint[]) as x (position, attempt, state, class, detail, delay_ms)
		where i.run_id = $1 and i.position = x.position and i.attempt = x.attempt and i.state in ('pending', 'claimed')
		returning i.shop_id`)
	settleDerived = sql(`update rotator.batches b set settled_at = now() where b.run_id = $1 and b.number = $2 and b.fence = $3
		and not exists (select from rotator.items i where i.run_id = b.run_id and i.position between b.first_position and b.last_position
			and i.state in ('pending', 'claimed', 'unknown') and i.next_attempt_at is null)`)
)

// ReadUnderived returns what is still to be derived in the leased batch.
func (s *Store) ReadUnderived(ctx context.Context, l Lease) ([]Underived, error) {
	return s.underived(ctx, readUnderived, l.RunID, l.First, l.Last)
}

// ReadUnderivedClaim returns what a claimed shop is derived from. ErrNotFound
// when the claim was superseded.
func (s *Store) ReadUnderivedClaim(ctx context.Context, c Claim) (Underived, error) {
	all, err := s.underived(ctx, readUnderivedClaim, c.RunID, c.Position, c.Attempt, c.withBatch())
	if err != nil {
		return Underived{}, err
	}
	if len(all) == 0 {
		return Underived{}, fmt.Errorf("item %d at attempt %d: %w", c.Position, c.Attempt, ErrNotFound)
	}
	all[0].Claimed = c.Attempt
	return all[0], nil
}

func (s *Store) underived(ctx context.Context, statement string, args ...any) ([]Underived, error) {
	return collect(ctx, s.pool, "read legacy tokens", func(row pgx.CollectableRow) (Underived, error) {
		var u Underived
		var sealed []byte
		err := row.Scan(&u.RunID, &u.Position, &u.ShopID, &u.Domain, &u.Attempt, &u.Tries, &u.Generation, &sealed,
			&u.Password, &u.Fingerprint, &u.Excluded, &u.OAuth, &u.Derived)
		u.Claimed = u.Attempt
		if err != nil || sealed == nil {
			return u, err
		}
		u.Legacy, u.Broken = s.opened("its stored legacy credential", sealed, legacyTokenAt(u.ShopID))
		return u, nil
	}, statement, args...)
}

// WriteDerived commits what deriving the leased batch came to, and settles the
// batch unless an item of it is still open. A shop that is bound to a row of the
// app's own table is derived together with its row, or set aside with the reason.
// ErrConflict when the lease was superseded or the run does not derive, a
// *BoundFault when the app's table cannot be written: nothing is written then.
func (s *Store) WriteDerived(ctx context.Context, l Lease, group []Derivation) error {
	return byRow(group, func(group []Derivation) error {
		return againIfDeadlocked(func() error {
			return s.InTx(ctx, func(tx *Tx) error {
				if err := tx.exactlyOne(ctx, fmt.Sprintf("find run %d deriving", l.RunID), lockDerivingRun, l.RunID); err != nil {
					return err
				}
				if err := tx.exactlyOne(ctx, fmt.Sprintf("hold batch %d", l.Number), lockLease, l.RunID, l.Number, l.Fence); err != nil {
					return err
				}
				if _, err := tx.storeDerived(ctx, l.RunID, group); err != nil {
					return err
				}
				if _, err := tx.tx.Exec(ctx, settleDerived, l.RunID, l.Number, l.Fence); err != nil {
					return fmt.Errorf("settle batch %d: %w", l.Number, err)
				}
				return nil
			})
		})
	})
}

// WriteDerivedClaim commits what deriving one claimed shop came to. stored tells
// that its token is; it is not when the claim was superseded or the shop was set
// aside. Errors are those of WriteDerived.
func (s *Store) WriteDerivedClaim(ctx context.Context, d Derivation) (stored bool, err error) {
	err = byRow([]Derivation{d}, func(group []Derivation) error {
		return againIfDeadlocked(func() error {
			return s.InTx(ctx, func(tx *Tx) error {
				if err := tx.lockWorkingRun(ctx, d.Of.RunID); err != nil {
					return err
				}
				shops, err := tx.storeDerived(ctx, d.Of.RunID, group)
				stored = len(shops) == 1
				return err
			})
		})
	})
	return stored, err
}

func (t *Tx) lockWorkingRun(ctx context.Context, runID int64) error {
	return t.exactlyOne(ctx, fmt.Sprintf("find run %d at work", runID), lockWorkingRun, runID)
}

// storeDerived writes derived tokens beside what the shops use, and into their
// rows of the app's own table, and sets the others aside. It returns the shops
// whose token is stored.
func (t *Tx) storeDerived(ctx context.Context, runID int64, group []Derivation) (shops []int64, err error) {
	var derived, aside []Derivation
	for _, d := range group {
		if d.Token.IsZero() {
			aside = append(aside, d)
		} else {
			derived = append(derived, d)
		}
	}
	rows, err := t.lockDerived(ctx, runID, derived)
	if err != nil {
		return nil, err
	}
	derived, unfit := rows.part(derived)
	if shops, err = t.storeTokens(ctx, runID, derived); err != nil {
		return nil, err
	}
	if err := t.writeDerivedRows(ctx, rows, shops); err != nil {
		return nil, err
	}
	set, err := t.setAside(ctx, runID, append(aside, unfit...))
	if err != nil {
		return nil, err
	}
	return shops, t.settleUnfit(ctx, rows, unfit, set)
}

// setAside writes why shops are not derived and returns those of them whose item
// it changed.
func (t *Tx) setAside(ctx context.Context, runID int64, aside []Derivation) (map[int64]bool, error) {
	set := map[int64]bool{}
	if len(aside) == 0 {
		return set, nil
	}
	var positions, delays []int64
	var attempts []int32
	var states, classes, details []string
	for _, d := range aside {
		positions, attempts = append(positions, d.Of.Position), append(attempts, int32(d.Of.Attempt))
		states, classes, details = append(states, string(d.State)), append(classes, string(d.Class)), append(details, d.Detail)
		delays = append(delays, d.Delay.Milliseconds())
	}
	rows, err := t.tx.Query(ctx, writeUnderivable, runID, positions, attempts, states, classes, details, delays)
	if err != nil {
		return nil, fmt.Errorf("set shops aside: %w", err)
	}
	var id int64
	if _, err := pgx.ForEachRow(rows, []any{&id}, func() error { set[id] = true; return nil }); err != nil {
		return nil, fmt.Errorf("set shops aside: %w", err)
	}
	return set, nil
}

// storeTokens returns the shops whose item it changed.
func (t *Tx) storeTokens(ctx context.Context, runID int64, group []Derivation) ([]int64, error) {
	if len(group) == 0 {
		return nil, nil
	}
	n := len(group)
	positions, attempts, generations := make([]int64, n), make([]int32, n), make([]int64, n)
	tokens, details, claimed := make([][]byte, n), make([]string, n), make([]int32, n)
	byShop := make(map[int64]Derivation, n)
	for i, d := range group {
		sealed, err := t.keys.Seal(d.Token, newTokenAt(runID, d.Of.Position))
		if err != nil {
			return nil, fmt.Errorf("seal the derived token of %s: %w", d.Of.Domain, err)
		}
		positions[i], attempts[i], generations[i] = d.Of.Position, int32(d.Of.Attempt), d.Of.Generation
		tokens[i], details[i], claimed[i] = sealed, d.Detail, int32(d.Of.Claimed)
		byShop[d.Of.ShopID] = d
	}
	shops, err := collect(ctx, t.tx, "write derived tokens", pgx.RowTo[int64], writeDerived, runID, positions, attempts, tokens, generations, details, claimed)
	if err != nil {
		return nil, err
	}
	derived, legacy := make([]string, len(shops)), make([]string, len(shops))
	for i, id := range shops {
		derived[i], legacy[i] = t.keys.Fingerprint(byShop[id].Token), byShop[id].Of.Fingerprint
	}
	if _, err := t.tx.Exec(ctx, markDerived, shops, derived, legacy, runID); err != nil {
		return nil, fmt.Errorf("mark derived shops: %w", err)
	}
	return shops, nil
}
