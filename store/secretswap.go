package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// UnswappableError tells why two versions cannot change places.
type UnswappableError struct{ Why string }

// Error implements error.
func (e *UnswappableError) Error() string { return e.Why }

var (
	openRunOf = sql(`select coalesce(max(id), 0) from rotator.runs where app_id = $1 and closed_at is null and cancelled_at is null`)
	// What was closed has shown that the platform knows the secret as what it is
	// said to be: as a rotation's new one, or as what legacy tokens derive from.
	provenBy = sql(`select coalesce(max(id), 0) from rotator.runs where app_id = $1 and closed_at is not null
		and $2 in (new_secret_id, case when kind = 'token_migration' then old_secret_id end)`)
	// The former one first: active before pending, retiring before active.
	readLiving = sql(`select id, version, state from rotator.secrets where app_id = $1 and state in ('pending', 'active', 'retiring')
		order by state <> 'retiring', state = 'pending', version for update`)
	// What the latter was, the former becomes, and the other way round; in between
	// there may be two that are retiring, but never two that are active.
	stepAside     = sql(`update rotator.secrets set state = 'retiring', retiring_at = now() where id = $1`)
	becomePending = sql(`update rotator.secrets set state = 'pending', activated_at = null, retiring_at = null where id = $1`)
	becomeActive  = sql(`update rotator.secrets set state = 'active', activated_at = coalesce(activated_at, now()), retiring_at = null where id = $1`)
	// What was imported as made with the secret in use is of the one that was; what a
	// run made stays labelled with what made it.
	relabelTokens = sql(`update rotator.shops set secret_id = $3 where app_id = $1 and secret_id = $2 and rotated_at is null`)
)

// SwapSecrets lets the app's two living versions change places: they were entered as
// each other. A value keeps its version, so that what is minted with it, also by an
// attempt of a cancelled run that has not ended yet, stays labelled with what minted
// it. old is the version that is the one in use until now. *UnswappableError while a run
// is open, when there are not two, when old is that already, or when a run has proven
// the other.
func (s *Store) SwapSecrets(ctx context.Context, actor string, app App, old int) error {
	return againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			if _, err := tx.tx.Exec(ctx, lockApp, app.ID); err != nil {
				return fmt.Errorf("lock the app: %w", err)
			}
			var open int64
			if err := tx.tx.QueryRow(ctx, openRunOf, app.ID).Scan(&open); err != nil {
				return fmt.Errorf("look for an open run: %w", err)
			}
			if open > 0 {
				return &UnswappableError{fmt.Sprintf("run %d is open", open)}
			}
			return tx.swapSecrets(ctx, actor, app, old)
		})
	})
}

type livingSecret struct {
	ID      int64
	Version int
	State   SecretState
}

func (t *Tx) swapSecrets(ctx context.Context, actor string, app App, old int) error {
	living, err := collect(ctx, t.tx, "read living secrets", pgx.RowToStructByPos[livingSecret], readLiving, app.ID)
	if err != nil {
		return err
	}
	if len(living) != 2 {
		return &UnswappableError{fmt.Sprintf("%d versions are pending, active or retiring, not two", len(living))}
	}
	former, latter := living[0], living[1]
	switch old {
	case former.Version:
		return &UnswappableError{fmt.Sprintf("version %d is the old one already", old)}
	case latter.Version:
	default:
		return &UnswappableError{fmt.Sprintf("version %d is neither pending nor active nor retiring", old)}
	}
	var proven int64
	if err := t.tx.QueryRow(ctx, provenBy, app.ID, former.ID).Scan(&proven); err != nil {
		return fmt.Errorf("look for runs with the former secret: %w", err)
	}
	if proven > 0 {
		return &UnswappableError{fmt.Sprintf("run %d has proven that version %d is what it is said to be", proven, former.Version)}
	}
	steps := []struct {
		statement string
		id        int64
	}{{stepAside, former.ID}, {becomeActive, latter.ID}, {becomePending, former.ID}}
	if former.State == SecretRetiring {
		steps[0].id, steps[1].id, steps[2].statement, steps[2].id = latter.ID, former.ID, stepAside, latter.ID
	}
	for _, step := range steps {
		if err := t.exactlyOne(ctx, "let secrets change places", step.statement, step.id); err != nil {
			return err
		}
	}
	tag, err := t.tx.Exec(ctx, relabelTokens, app.ID, former.ID, latter.ID)
	if err != nil {
		return fmt.Errorf("note which secret minted the tokens: %w", err)
	}
	return t.Log(ctx, actor, "secret.swapped", 0, map[string]any{"app": app.Name, "versions": []int{former.Version, latter.Version}, "shops": tag.RowsAffected()})
}
