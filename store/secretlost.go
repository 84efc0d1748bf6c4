package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
)

var (
	// It was used, and is dead at the platform.
	loseSecret = sql(`update rotator.secrets set state = 'revoked', revoked_at = now(), value = null where id = $1 and state = 'active'`)
	// Without a run that could go on with it, and with another one that lives.
	lostSecret = sql(`select n.id, o.id, o.version from rotator.secrets n join rotator.secrets o on o.app_id = n.app_id and o.state = 'retiring'
		where n.app_id = $1 and n.version = $2 and n.state = 'active'
			and not exists (select from rotator.runs r where r.app_id = n.app_id and r.closed_at is null and r.cancelled_at is null)
		order by o.version desc limit 1 for update of n, o`)
	// Of several runs between the two the first replaced a token that was not of the lost
	// secret.
	formerTokens = sql(`select i.position, i.shop_id, s.token_generation, i.old_token, i.run_id
		from rotator.shops s join rotator.runs r on r.app_id = s.app_id join rotator.items i on i.run_id = r.id and i.shop_id = s.id
		where s.app_id = $1 and s.secret_id = $2 and r.new_secret_id = $2 and r.old_secret_id = $3 and r.cancelled_at is not null
			and i.old_token is not null and s.id > $4 order by s.id, r.id limit $5`)
)

// LoseSecret gives up the version that is in use, because it has leaked or died at
// the platform, and goes back to the one before, which lives; with back to the tokens,
// too, that runs replaced by its. The other ones count as dead, and the next run
// exchanges all. It tells which version is in use then, and how many shops have their
// former token again. ErrConflict when it is not active, when no other lives, or when
// a run is open.
func (s *Store) LoseSecret(ctx context.Context, actor string, app App, version int, back bool) (active, taken int, err error) {
	err = againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			if _, err := tx.tx.Exec(ctx, lockApp, app.ID); err != nil {
				return fmt.Errorf("lock the app: %w", err)
			}
			var lost, before int64
			err := tx.tx.QueryRow(ctx, lostSecret, app.ID, version).Scan(&lost, &before, &active)
			if errors.Is(err, pgx.ErrNoRows) {
				return fmt.Errorf("give up secret version %d: %w", version, ErrConflict)
			}
			if err != nil {
				return fmt.Errorf("look for secret version %d: %w", version, err)
			}
			// In this order: an app has one active secret at most.
			if err := tx.exactlyOne(ctx, "mark the lost secret as revoked", loseSecret, lost); err != nil {
				return err
			}
			if err := tx.exactlyOne(ctx, "go back to the secret before", unswitchOld, before); err != nil {
				return err
			}
			if taken = 0; back {
				if taken, err = tx.takeBack(ctx, app.ID, lost, before); err != nil {
					return err
				}
			}
			return tx.Log(ctx, actor, "secret.lost", 0, map[string]any{"app": app.Name, "version": version, "active": active, "shops": taken})
		})
	})
	return active, taken, err
}

// takeBackPage former tokens are unsealed and sealed again at a time.
const takeBackPage = 2000

// takeBack makes the tokens current again that cancelled runs replaced by ones of a
// secret that is lost: whatever else becomes of them, those are dead. The app is told
// as of any swap, and its own table gets them.
func (t *Tx) takeBack(ctx context.Context, appID, lost, before int64) (taken int, err error) {
	for after := int64(0); ; {
		page, err := collect(ctx, t.tx, "read former tokens", func(row pgx.CollectableRow) (*Outcome, error) {
			o := &Outcome{SecretID: before}
			var sealed []byte
			if err := row.Scan(&o.Claim.Position, &o.Claim.ShopID, &o.Claim.Generation, &sealed, &o.Claim.RunID); err != nil {
				return o, err
			}
			// One that does not open is of no use to anybody.
			if token, err := t.keys.Open(sealed, oldTokenAt(o.Claim.RunID, o.Claim.Position)); err == nil {
				o.New = token
			}
			return o, nil
		}, formerTokens, appID, lost, before, after, takeBackPage)
		if err != nil || len(page) == 0 {
			return taken, err
		}
		var group []*Outcome
		for _, o := range page {
			if o.Claim.ShopID != after && !o.New.IsZero() {
				group = append(group, o)
			}
			after = o.Claim.ShopID
		}
		if err := t.adoptTokens(ctx, group); err != nil {
			return taken, fmt.Errorf("take former tokens back: %w", err)
		}
		taken += len(group)
	}
}
