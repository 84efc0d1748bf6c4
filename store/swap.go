package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// The generation is the fence: whoever replaced the token since the claim, an
// install or an import, has raised it.
var swapTokens = sql(`update rotator.shops s set access_token = x.token, access_token_fingerprint = x.fingerprint,
		former_fingerprints = array_remove((s.access_token_fingerprint || s.former_fingerprints)[1:4], null),
		token_generation = s.token_generation + 1, secret_id = nullif(x.secret_id, 0), rotated_at = now(), rotated_run = x.run_id, updated_at = now()
	from (select ($1::bigint[])[k] as shop_id, ($2::bigint[])[k] as generation, token, fingerprint, ($5::bigint[])[k] as secret_id, ($6::bigint[])[k] as run_id
		from unnest($3::bytea[], $4::text[]) with ordinality as u (token, fingerprint, k)) x
	where s.id = x.shop_id and s.token_generation = x.generation
	returning s.id, s.bound_key is not null`)

// swapTokens makes each outcome's new token its shop's current one and returns
// the items whose shop's token was replaced by someone else meanwhile. Shops
// that are bound to an app's own table are refused (*boundMet) unless the caller
// said that it writes their rows in the same transaction (writesBound).
func (t *Tx) swapTokens(ctx context.Context, group []*Outcome) (unswapped map[key]bool, err error) {
	if len(group) == 0 {
		return nil, nil
	}
	shops, generations, secrets, runs := make([]int64, 0, len(group)), make([]int64, 0, len(group)), make([]int64, 0, len(group)), make([]int64, 0, len(group))
	tokens, fingerprints := make([][]byte, 0, len(group)), make([]string, 0, len(group))
	for _, o := range group {
		token, err := t.keys.Seal(o.New, accessTokenAt(o.Claim.ShopID))
		if err != nil {
			return nil, fmt.Errorf("seal the token of %s: %w", o.Claim.Domain, err)
		}
		shops, generations, secrets = append(shops, o.Claim.ShopID), append(generations, o.Claim.Generation), append(secrets, o.SecretID)
		runs = append(runs, o.Claim.RunID)
		tokens, fingerprints = append(tokens, token), append(fingerprints, t.keys.Fingerprint(o.New))
	}
	rows, err := t.tx.Query(ctx, swapTokens, shops, generations, tokens, fingerprints, secrets, runs)
	if err != nil {
		return nil, fmt.Errorf("swap tokens: %w", err)
	}
	swapped := make(map[int64]bool, len(group))
	var id int64
	var bound bool
	met := &boundMet{}
	_, err = pgx.ForEachRow(rows, []any{&id, &bound}, func() error {
		swapped[id] = true
		if bound {
			met.shops++
		}
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("swap tokens: %w", err)
	}
	if met.shops > 0 && !t.writesBound {
		return nil, met
	}
	if err := t.oweDeliveries(ctx, group, swapped); err != nil {
		return nil, err
	}
	for _, o := range group {
		if !swapped[o.Claim.ShopID] {
			if unswapped == nil {
				unswapped = map[key]bool{}
			}
			unswapped[o.Claim.key()] = true
		}
	}
	return unswapped, nil
}
