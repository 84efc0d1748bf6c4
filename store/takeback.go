package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// takeBackPage former tokens are unsealed and sealed again at a time.
const takeBackPage = 2000

// Of several runs between the two the first replaced a token that was not of the lost
// secret.
var formerTokens = sql(`select i.position, i.shop_id, s.token_generation, i.old_token, i.run_id
	from rotator.shops s join rotator.runs r on r.app_id = s.app_id join rotator.items i on i.run_id = r.id and i.shop_id = s.id
	where s.app_id = $1 and s.secret_id = $2 and r.new_secret_id = $2 and r.old_secret_id = $3 and r.cancelled_at is not null
		and i.old_token is not null and s.id > $4 order by s.id, r.id limit $5`)

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
