package store

import (
	"context"
	"fmt"
	"slices"

	"github.com/haravan-rotator/rotator/rotation"
)

// fates sorts proofs by what their rows in the bound table say.
type fates struct {
	// write: the row holds the token that is replaced, or one that a run had
	// replaced before. there: it holds the new one already, or there is no row
	// to write since the shop was unbound.
	write, there []Outcome
	// gone: the row left, or has no token any more.
	gone   []Outcome
	isGone map[key]bool
	table  string
	// changed: the app has another token, of an install. lost: the shop's token
	// was replaced here.
	changed, lost []Outcome
	// aside: the row is locked, or its value does not open.
	aside []Outcome
	// rows by shop.
	rows map[int64]boundRow
}

// fates locks the rows of a group. b is nil when the app has no binding.
func (t *Tx) fates(ctx context.Context, b *boundTable, group []Outcome, replaced map[key]bool) (*fates, error) {
	f := &fates{isGone: map[key]bool{}, rows: map[int64]boundRow{}}
	ids := make([]int64, len(group))
	for i, o := range group {
		ids[i] = o.Claim.ShopID
	}
	shops, err := boundShops(ctx, t.tx, ids)
	if err != nil {
		return nil, err
	}
	if b == nil {
		b, shops = &boundTable{}, nil
	}
	f.table = b.Name()
	var keys []string
	for _, shop := range shops {
		keys = append(keys, shop.key)
	}
	slices.Sort(keys)
	found, locked, err := t.lockBound(ctx, b, keys)
	if err != nil {
		return nil, err
	}
	for _, o := range group {
		shop, bound := shops[o.Claim.ShopID]
		row, there := found[shop.key]
		if o.Old.IsZero() && row.value.IsZero() && b.OAuth != "" {
			row.column = b.OAuth // a derived token that is not there yet
		}
		f.rows[o.Claim.ShopID] = row
		switch {
		case replaced[o.Claim.key()]:
			f.lost = append(f.lost, o)
		case !bound:
			f.there = append(f.there, o)
		case locked[shop.key]:
			f.aside = append(f.aside, waiting(o, "", rowLocked+f.table))
		case row.broken != "":
			f.aside = append(f.aside, Outcome{Claim: o.Claim, State: rotation.ItemParked, Class: rotation.ClassOurs, Detail: row.broken, Latency: o.Latency})
		case !there, row.value.IsZero() && !o.Old.IsZero():
			f.gone = append(f.gone, o)
			f.isGone[o.Claim.key()] = true
		case row.value.Equal(o.New):
			f.there = append(f.there, o)
		case row.value.Equal(o.Old), slices.Contains(shop.former, t.keys.Fingerprint(row.value)):
			f.write = append(f.write, o)
		default:
			f.changed = append(f.changed, o)
		}
	}
	return f, nil
}

var (
	leaveItems = sql(`update rotator.items i set state = 'skipped', class = null, detail = 'excluded: ' || x.reason
		from unnest($1::bigint[], $2::bigint[], $3::text[]) as x (run_id, position, reason)
		where i.run_id = x.run_id and i.position = x.position`)
	leaveRows = sql(`update rotator.shops s set bound_key = null, unbound_at = now(), updated_at = now(),
			excluded_at = coalesce(excluded_at, now()), excluded_reason = coalesce(excluded_reason, x.reason)
		from unnest($1::bigint[], $2::text[]) as x (id, reason) where s.id = x.id`)
	// Nobody says which secret minted it: it is exchanged like any other.
	takeOverTokens = sql(`update rotator.shops s set access_token = x.token, access_token_fingerprint = x.fingerprint,
			former_fingerprints = case when s.access_token_fingerprint is null then s.former_fingerprints
				else (s.access_token_fingerprint || s.former_fingerprints)[1:4] end,
			token_generation = s.token_generation + 1, secret_id = null, rotated_at = null, rotated_run = null, updated_at = now()
		from unnest($1::bigint[], $2::bigint[], $3::bytea[], $4::text[]) as x (id, generation, token, fingerprint)
		where s.id = x.id and s.token_generation = x.generation`)
)

// leaveBound excludes shops whose row is gone. The token that was minted for
// them is kept, and the item is skipped: nobody is left to use it.
func (t *Tx) leaveBound(ctx context.Context, f *fates, written map[key]bool) error {
	var runs, positions, ids []int64
	var reasons []string
	for _, o := range f.gone {
		if !written[o.Claim.key()] {
			continue
		}
		reason := rowGone + f.table
		if f.rows[o.Claim.ShopID].key != "" {
			reason = rowEmpty + f.table
		}
		runs, positions = append(runs, o.Claim.RunID), append(positions, o.Claim.Position)
		ids, reasons = append(ids, o.Claim.ShopID), append(reasons, reason)
	}
	if ids == nil {
		return nil
	}
	if _, err := t.tx.Exec(ctx, leaveItems, runs, positions, reasons); err != nil {
		return fmt.Errorf("skip shops whose row is gone: %w", err)
	}
	if _, err := t.tx.Exec(ctx, leaveRows, ids, reasons); err != nil {
		return fmt.Errorf("exclude shops whose row is gone: %w", err)
	}
	return nil
}

// takeOver makes the tokens that the app installed meanwhile the shops' own, so
// that the next attempt replaces these.
func (t *Tx) takeOver(ctx context.Context, f *fates) error {
	if len(f.changed) == 0 {
		return nil
	}
	var ids, generations []int64
	var tokens [][]byte
	var prints []string
	for _, o := range f.changed {
		v := f.rows[o.Claim.ShopID].value
		sealed, err := t.keys.Seal(v, accessTokenAt(o.Claim.ShopID))
		if err != nil {
			return fmt.Errorf("seal the token of %s: %w", o.Claim.Domain, err)
		}
		ids, generations = append(ids, o.Claim.ShopID), append(generations, o.Claim.Generation)
		tokens, prints = append(tokens, sealed), append(prints, t.keys.Fingerprint(v))
	}
	if _, err := t.tx.Exec(ctx, takeOverTokens, ids, generations, tokens, prints); err != nil {
		return fmt.Errorf("take over tokens of the bound table: %w", err)
	}
	return nil
}
