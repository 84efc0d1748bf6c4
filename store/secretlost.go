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
	formerTokens = sql(`select i.position, i.shop_id, s.token_generation, i.old_token, i.run_id ` + formerOf + ` and s.id > $4 order by s.id limit $5`)
	countLost    = sql(`select count(*) from rotator.shops where app_id = $1 and secret_id = $2 and access_token is not null and excluded_at is null`)
)

// formerOf are the tokens of the secret $3 that runs replaced by those that the app's
// shops have now, of the secret $2: an install since would have raised the generation.
const formerOf = `from rotator.shops s join rotator.runs r on r.app_id = s.app_id and r.kind = 'rotation'
	join rotator.items i on i.run_id = r.id and i.shop_id = s.id
	where s.app_id = $1 and s.secret_id = $2 and i.old_token is not null and coalesce(i.old_generation, i.generation) + 1 = s.token_generation
		and coalesce(i.old_secret_id, r.old_secret_id) = $3`

// Where a token is replaced that a cancelled run gave the shop, what that run replaced
// stays the former one.
var carryFormer = sql(`update rotator.items x set old_generation = u.generation
	from unnest($1::bigint[], $2::bigint[], $3::bigint[]) as u (run_id, shop_id, generation), rotator.runs r, rotator.runs c
	where r.id = u.run_id and c.app_id = r.app_id and c.kind = 'rotation' and c.cancelled_at is not null
		and x.run_id = c.id and x.shop_id = u.shop_id and x.old_token is not null and coalesce(x.old_generation, x.generation) + 1 = u.generation`)

func (t *Tx) carryFormer(ctx context.Context, group []*Outcome) error {
	var runs, shops, generations []int64
	for _, o := range group {
		if o.OldSecretID != 0 {
			runs, shops, generations = append(runs, o.Claim.RunID), append(shops, o.Claim.ShopID), append(generations, o.Claim.Generation)
		}
	}
	if len(runs) == 0 {
		return nil
	}
	if _, err := t.tx.Exec(ctx, carryFormer, runs, shops, generations); err != nil {
		return fmt.Errorf("keep what an earlier run replaced: %w", err)
	}
	return nil
}

// Lost is what came of giving a secret up.
type Lost struct {
	// Active is the version that is in use then.
	Active int
	// TakenBack counts the shops that have their former token again; Behind those of
	// them whose row in the app's own table could not be written, Left the other ones,
	// whose token is of the version that was given up.
	TakenBack, Behind, Left int
}

// LoseSecret gives up the version that is in use, because it has leaked or died at
// the platform, and goes back to the one before, which lives; with back to the tokens,
// too, that runs replaced by its. The other ones count as dead, and the next run
// exchanges all. ErrConflict when it is not active, when no other lives, or when a run
// is open.
func (s *Store) LoseSecret(ctx context.Context, actor string, app App, version int, back bool) (l Lost, err error) {
	err = againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			if _, err := tx.tx.Exec(ctx, lockApp, app.ID); err != nil {
				return fmt.Errorf("lock the app: %w", err)
			}
			l = Lost{}
			var lost, before int64
			err := tx.tx.QueryRow(ctx, lostSecret, app.ID, version).Scan(&lost, &before, &l.Active)
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
			if back {
				if err := tx.takeBack(ctx, app.ID, lost, before, &l); err != nil {
					return err
				}
			}
			if err := tx.tx.QueryRow(ctx, countLost, app.ID, lost).Scan(&l.Left); err != nil {
				return fmt.Errorf("count tokens of the lost secret: %w", err)
			}
			return tx.Log(ctx, actor, "secret.lost", 0, map[string]any{"app": app.Name, "version": version, "active": l.Active, "shops": l.TakenBack, "left": l.Left})
		})
	})
	return l, err
}

// takeBackPage former tokens are unsealed and sealed again at a time.
const takeBackPage = 2000

// takeBack makes the tokens current again that runs replaced by ones of a secret that
// is lost: whatever else becomes of them, those are dead. The app is told as of any
// swap, and its own table gets them.
func (t *Tx) takeBack(ctx context.Context, appID, lost, before int64, l *Lost) error {
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
			return err
		}
		var group []*Outcome
		for _, o := range page {
			if o.Claim.ShopID != after && !o.New.IsZero() {
				group = append(group, o)
			}
			after = o.Claim.ShopID
		}
		unswapped, behind, err := t.adoptTokens(ctx, group)
		if err != nil {
			return fmt.Errorf("take former tokens back: %w", err)
		}
		l.TakenBack += len(group) - len(unswapped)
		l.Behind += behind
	}
}
