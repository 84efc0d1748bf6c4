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
		and not ` + ofLostSecret + `
	order by i.run_id, i.position`)

// adoptLeft makes tokens current that a cancelled run's attempts stored and did
// not come to prove: a platform may have killed the old one with the exchange.
// The next run proves them where they are.
func (t *Tx) adoptLeft(ctx context.Context, appID int64) error {
	if err := t.settleMinted(ctx, mintedLeft, appID); err != nil {
		return err
	}
	if err := t.adopt(ctx, leftTokens, appID); err != nil {
		return err
	}
	if _, err := t.tx.Exec(ctx, emptyLost, appID); err != nil {
		return fmt.Errorf("empty tokens of a lost secret: %w", err)
	}
	return nil
}

// adopt swaps the unproven tokens that a statement finds, fenced like any swap, keeps
// those that they replace, which may live on, and empties them. Its columns are
// position, shop, generation, token, run, the secret that minted the token and when
// that was stored.
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
	chosen := lastOfEach(found)
	if err := t.readReplaced(ctx, chosen); err != nil {
		return err
	}
	unswapped, _, err := t.adoptTokens(ctx, chosen)
	if err != nil {
		return err
	}
	chosen = slices.DeleteFunc(chosen, func(o *Outcome) bool { return unswapped[o.Claim.key()] || o.Old.IsZero() })
	for _, o := range chosen {
		if err := t.keepReplaced(ctx, o); err != nil {
			return err
		}
	}
	if err := t.carryFormer(ctx, chosen); err != nil {
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

// readReplaced reads the tokens that a group is about to replace.
func (t *Tx) readReplaced(ctx context.Context, group []*Outcome) error {
	of := make(map[int64]*Outcome, len(group))
	ids := make([]int64, len(group))
	for i, o := range group {
		of[o.Claim.ShopID], ids[i] = o, o.Claim.ShopID
	}
	rows, err := t.tx.Query(ctx, readReplaced, ids)
	if err != nil {
		return fmt.Errorf("read tokens that are replaced: %w", err)
	}
	var id, secretID int64
	var sealed []byte
	_, err = pgx.ForEachRow(rows, []any{&id, &sealed, &secretID}, func() error {
		// One that does not open is of no use to anybody.
		if token, err := t.keys.Open(sealed, accessTokenAt(id)); err == nil {
			of[id].Old, of[id].OldSecretID = token, secretID
		}
		return nil
	})
	if err != nil {
		return fmt.Errorf("read tokens that are replaced: %w", err)
	}
	return nil
}

func (t *Tx) keepReplaced(ctx context.Context, o *Outcome) error {
	sealed, err := t.keys.Seal(o.Old, oldTokenAt(o.Claim.RunID, o.Claim.Position))
	if err == nil {
		_, err = t.tx.Exec(ctx, keepReplaced, o.Claim.RunID, o.Claim.Position, sealed, o.OldSecretID, o.Claim.Generation)
	}
	if err != nil {
		return fmt.Errorf("keep a token that was replaced: %w", err)
	}
	return nil
}

var (
	readReplaced = sql(`select id, access_token, coalesce(secret_id, 0) from rotator.shops where id = any($1) and access_token is not null`)
	keepReplaced = sql(`update rotator.items i set old_token = case when ` + keepsOld + ` then i.old_token else $3 end,
			old_secret_id = case when ` + keepsOld + ` then i.old_secret_id else nullif($4::bigint, 0) end, old_generation = $5
		where run_id = $1 and position = $2`)
	// What leftTokens leaves out.
	emptyLost = sql(`update rotator.items i set ` + emptied + `, detail = coalesce(i.detail, 'its new token was of a secret that is lost')
		from rotator.runs r where r.id = i.run_id and r.app_id = $1 and r.kind = 'rotation' and r.cancelled_at is not null and i.new_token is not null
			and ` + ofLostSecret)
)

// ofLostSecret is an item's new token whose secret made tokens and is dead.
const ofLostSecret = `exists (select from rotator.secrets x where x.id = coalesce(i.new_token_secret_id, r.new_secret_id) and x.state = 'revoked' and x.activated_at is not null)`

// emptied leaves an item of a run that is over without its new token: what is exchanged
// has one, by the table's rule.
const emptied = `new_token = null, state = case when i.state = 'exchanged' then 'parked' else i.state end, next_attempt_at = null`

var emptyToken = sql(`update rotator.items i set ` + emptied + `, detail = coalesce(detail, 'its new token was adopted unproven') where run_id = $1 and position = $2`)
