package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"
)

// One shop may have several, of runs that were cancelled one after the other. A token
// of a secret that is dead is worth less than the one that the shop has; one that was
// given up for another lives.
var leftTokens = sql(`select i.position, i.shop_id, i.generation, i.new_token, i.run_id, coalesce(i.new_token_secret_id, r.new_secret_id, 0), coalesce(i.exchanged_at, 'epoch')
	from rotator.items i join rotator.runs r on r.id = i.run_id
	where r.app_id = $1 and r.kind = 'rotation' and r.cancelled_at is not null and i.new_token is not null and i.class is distinct from 'wrong_shop'
		and not exists (select from rotator.secrets x where x.id = coalesce(i.new_token_secret_id, r.new_secret_id) and x.state = 'revoked' and x.activated_at is not null)
	order by i.run_id, i.position`)

// adoptLeft makes tokens current that a cancelled run's attempts stored and did
// not come to prove: a platform may have killed the old one with the exchange.
// The next run proves them where they are.
func (t *Tx) adoptLeft(ctx context.Context, appID int64) error {
	if err := t.settleMinted(ctx, mintedLeft, appID); err != nil {
		return err
	}
	return t.adopt(ctx, leftTokens, appID)
}

// adopt swaps the unproven tokens that a statement finds, fenced like any swap,
// and empties them. Its columns are position, shop, generation, token, run, the
// secret that minted the token and when that was stored.
func (t *Tx) adopt(ctx context.Context, statement string, args ...any) error {
	found, err := collect(ctx, t.tx, "read unproven tokens", func(row pgx.CollectableRow) (*Outcome, error) {
		o := &Outcome{}
		var sealed []byte
		if err := row.Scan(&o.Claim.Position, &o.Claim.ShopID, &o.Claim.Generation, &sealed, &o.Claim.RunID, &o.SecretID, &o.ExchangedAt); err != nil {
			return o, err
		}
		// One that does not open is of no use to anybody, and must not stop the
		// cancel, the waiver or the next run.
		if token, err := t.keys.Open(sealed, newTokenAt(o.Claim.RunID, o.Claim.Position)); err == nil {
			o.New = token
		}
		return o, nil
	}, statement, args...)
	if err != nil {
		return err
	}
	found = slices.DeleteFunc(found, func(o *Outcome) bool { return o.New.IsZero() })
	// A shop whose token was replaced meanwhile has a newer one: it keeps that.
	if err := t.adoptTokens(ctx, lastOfEach(found)); err != nil {
		return err
	}
	for _, o := range found {
		if _, err := t.tx.Exec(ctx, emptyToken, o.Claim.RunID, o.Claim.Position); err != nil {
			return fmt.Errorf("empty an adopted token: %w", err)
		}
	}
	return nil
}

// lastOfEach is one token for each shop: the one that was stored last, of those that
// replace the newest token of the shop that any of them does. The platform may have
// given up the others for it.
func lastOfEach(found []*Outcome) []*Outcome {
	last := map[int64]*Outcome{}
	for _, o := range found {
		l := last[o.Claim.ShopID]
		if l == nil || cmp.Or(cmp.Compare(o.Claim.Generation, l.Claim.Generation), o.ExchangedAt.Compare(l.ExchangedAt)) > 0 {
			last[o.Claim.ShopID] = o
		}
	}
	return slices.DeleteFunc(slices.Clone(found), func(o *Outcome) bool { return last[o.Claim.ShopID] != o })
}

var emptyToken = sql(`update rotator.items set new_token = null, state = case when state = 'exchanged' then 'parked' else state end,
	detail = coalesce(detail, 'its new token was adopted unproven'), next_attempt_at = null
	where run_id = $1 and position = $2`)
