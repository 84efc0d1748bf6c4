package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
)

var readCurrent = sql(`select id, bound_key, access_token, former_fingerprints from rotator.shops
	where id = any($1) and bound_key is not null and rotated_at is not null and access_token is not null`)

// pushCurrent writes the current token of each shop into its row, if the row
// holds one that a run replaced. behind counts rows that hold one still, because
// they are locked.
func (t *Tx) pushCurrent(ctx context.Context, b *boundTable, shops []int64) (written, behind int, err error) {
	type current struct {
		key    string
		token  secret.String
		former []string
	}
	all, err := collect(ctx, t.tx, "read current tokens", func(row pgx.CollectableRow) (c current, err error) {
		var id int64
		var sealed []byte
		if err := row.Scan(&id, &c.key, &sealed, &c.former); err != nil {
			return c, err
		}
		// One that does not open is told of by the run that meets it.
		c.token, _ = t.keys.Open(sealed, accessTokenAt(id))
		return c, nil
	}, readCurrent, shops)
	if err != nil {
		return 0, 0, err
	}
	all = slices.DeleteFunc(all, func(c current) bool { return c.token.IsZero() })
	keys := make([]string, len(all))
	for i, c := range all {
		keys[i] = c.key
	}
	found, locked, err := t.lockBound(ctx, b, keys)
	if err != nil {
		return 0, 0, err
	}
	var writes []boundWrite
	for _, c := range all {
		row, ok := found[c.key]
		switch {
		case locked[c.key]:
			behind++
		case !ok, row.value.IsZero(), row.value.Equal(c.token):
		case slices.Contains(c.former, t.keys.Fingerprint(row.value)):
			writes = append(writes, boundWrite{row, c.token})
		}
	}
	return len(writes), behind, t.writeBound(ctx, b, writes)
}

// adoptTokens swaps tokens that no proof stands behind, and writes them into
// their shops' rows as far as these can be written now: the next reading of the
// table restores the others.
func (t *Tx) adoptTokens(ctx context.Context, group []*Outcome) (unswapped map[key]bool, behind int, err error) {
	t.writesBound = true
	defer func() { t.writesBound = false }()
	if unswapped, err = t.swapTokens(ctx, group); err != nil {
		return nil, 0, err
	}
	ids := make([]int64, len(group))
	for i, o := range group {
		ids[i] = o.Claim.ShopID
	}
	bound, err := boundShops(ctx, t.tx, ids)
	if err != nil || len(bound) == 0 {
		return unswapped, 0, err
	}
	byApp := map[int64][]int64{}
	for _, shop := range bound {
		byApp[shop.appID] = append(byApp[shop.appID], shop.id)
	}
	for appID, ids := range byApp {
		n, err := t.pushAdopted(ctx, appID, ids)
		if err != nil {
			return nil, 0, err
		}
		behind += n
	}
	return unswapped, behind, nil
}

func (t *Tx) pushAdopted(ctx context.Context, appID int64, ids []int64) (behind int, err error) {
	// A savepoint: a table that cannot be written must not stop a cancel.
	err = pgx.BeginFunc(ctx, t.tx, func(tx pgx.Tx) error {
		inner := &Tx{tx: tx, keys: t.keys}
		b, err := inner.boundTable(ctx, appID)
		if err != nil {
			return err
		}
		if err := inner.waitShortly(ctx); err != nil {
			return err
		}
		_, behind, err = inner.pushCurrent(ctx, b, ids)
		return err
	})
	var fault *BoundFault
	switch {
	case errors.As(err, &fault):
		behind = len(ids)
	case err != nil && !errors.Is(err, ErrNotBound):
		return 0, fmt.Errorf("write adopted tokens into the bound table: %w", err)
	}
	// What comes after waits as long as it must.
	if _, err := t.tx.Exec(ctx, boundImpatient); err != nil {
		return 0, fmt.Errorf("wait as before: %w", err)
	}
	return behind, nil
}

var boundImpatient = sql(`select set_config('lock_timeout', (select reset_val from pg_settings where name = 'lock_timeout'), true),
	set_config('statement_timeout', (select reset_val from pg_settings where name = 'statement_timeout'), true)`)
