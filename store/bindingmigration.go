package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// What a token migration does to an app's own table: the derived token goes into
// the OAuth column and leaves it again at a cancel; the legacy column is emptied
// or dropped at the scrub. Legacy values come in with ImportBound and SyncBound.
// Each of these waits for the table no longer than a moment; a table that cannot
// be written is a *BoundFault, and the transaction is void then.

// DerivedToken is what was derived for a shop.
type DerivedToken struct {
	ShopID int64
	Token  secret.String
}

// RowFate is what became of a shop's row.
type RowFate int

const (
	// RowDone: the row is as wanted, written now or before.
	RowDone RowFate = iota
	// RowNone: the shop has no row in a bound table. There is nothing to do.
	RowNone
	// RowGone: the row left since the table was read.
	RowGone
	// RowLocked: another transaction holds the row. Try again.
	RowLocked
	// RowTaken: the column holds another token, which was left alone: of an
	// install, or one that was put there by hand.
	RowTaken
	// RowBroken: the column's value does not open.
	RowBroken
)

// String names the fate for a person.
func (f RowFate) String() string {
	return [...]string{
		"written", "has no row in the bound table", "its row left the bound table", "its row is locked by another transaction",
		"its row has an OAuth token already", "the OAuth token in its row does not open",
	}[f]
}

// WriteDerived puts derived tokens into the OAuth column of the shops' rows,
// where it is null or empty. It returns the fate of each shop's row.
func (t *Tx) WriteDerived(ctx context.Context, b Binding, tokens []DerivedToken) (map[int64]RowFate, error) {
	var writes []boundWrite
	table, fates, err := t.derived(ctx, b, tokens, func(row boundRow, token secret.String) {
		writes = append(writes, boundWrite{row, token})
	}, func(value, token secret.String) (done, act bool) { return value.Equal(token), value.IsZero() })
	if err != nil {
		return nil, err
	}
	return fates, t.writeBound(ctx, table, writes)
}

// ClearDerived takes derived tokens out of the OAuth column again, where it
// still holds them.
func (t *Tx) ClearDerived(ctx context.Context, b Binding, tokens []DerivedToken) (map[int64]RowFate, error) {
	var keys []string
	table, fates, err := t.derived(ctx, b, tokens, func(row boundRow, _ secret.String) {
		keys = append(keys, row.key)
	}, func(value, token secret.String) (done, act bool) { return value.IsZero(), value.Equal(token) })
	if err != nil || keys == nil {
		return fates, err
	}
	cleared, err := t.boundKeys(ctx, table, table.clearColumn(b.OAuth), keys)
	if err != nil {
		return nil, fmt.Errorf("clear derived tokens: %w", err)
	}
	if len(cleared) != len(keys) {
		return nil, &BoundFault{Table: b.Name(), Row: true, Why: "did not give a token up: a trigger or rule of it drops the update"}
	}
	return fates, nil
}

// derived locks the rows of the tokens' shops, and acts on those that judge says
// are neither done nor another's.
func (t *Tx) derived(ctx context.Context, b Binding, tokens []DerivedToken, act func(boundRow, secret.String), judge func(value, token secret.String) (done, act bool)) (*boundTable, map[int64]RowFate, error) {
	if b.OAuth == "" {
		return nil, nil, &BoundFault{Table: b.Name(), Why: "is bound without a column for OAuth tokens: bind it again with --oauth-token"}
	}
	table, err := t.lookUp(ctx, b)
	if err != nil {
		return nil, nil, err
	}
	ids := make([]int64, len(tokens))
	for i, d := range tokens {
		ids[i] = d.ShopID
	}
	shops, err := boundShops(ctx, t.tx, ids)
	if err != nil {
		return nil, nil, err
	}
	var keys []string
	for _, d := range tokens {
		if shop, ok := shops[d.ShopID]; ok {
			keys = append(keys, shop.key)
		}
	}
	if err := t.waitShortly(ctx); err != nil {
		return nil, nil, err
	}
	rows, locked, err := t.lockColumn(ctx, table, b.OAuth, keys)
	if err != nil {
		return nil, nil, err
	}
	fates := make(map[int64]RowFate, len(tokens))
	for _, d := range tokens {
		shop, bound := shops[d.ShopID]
		row, there := rows[shop.key]
		done, due := judge(row.value, d.Token)
		switch {
		case !bound:
			fates[d.ShopID] = RowNone
		case locked[shop.key]:
			fates[d.ShopID] = RowLocked
		case !there:
			fates[d.ShopID] = RowGone
		case row.broken != "":
			fates[d.ShopID] = RowBroken
		case done:
			fates[d.ShopID] = RowDone
		case due:
			fates[d.ShopID] = RowDone
			act(row, d.Token)
		default:
			fates[d.ShopID] = RowTaken
		}
	}
	return table, fates, nil
}

// EmptyLegacy empties the legacy column of up to n bound rows after a key, nil
// for the first, and returns the last key, nil when no row is left after it.
// Rows that are locked are passed over: CountLegacy tells whether any has a
// value still. A column that may not be null is a *BoundFault.
func (t *Tx) EmptyLegacy(ctx context.Context, b Binding, after *string, n int) (last *string, err error) {
	table, err := t.legacyTable(ctx, b)
	if err != nil {
		return nil, err
	}
	if err := t.waitShortly(ctx); err != nil {
		return nil, err
	}
	rows, err := t.tx.Query(ctx, table.selectFilled(b.Legacy, n), after)
	if err != nil {
		return nil, fmt.Errorf("lock legacy tokens: %w", b.fault(err))
	}
	keys, err := collectText(rows)
	if err != nil {
		return nil, fmt.Errorf("lock legacy tokens: %w", b.fault(err))
	}
	if len(keys) == 0 {
		return nil, nil
	}
	if _, err := t.boundKeys(ctx, table, table.clearColumn(b.Legacy), keys); err != nil {
		return nil, fmt.Errorf("empty legacy tokens: %w", err)
	}
	return &keys[len(keys)-1], nil
}

// CountLegacy counts the bound rows that have a legacy token.
func (t *Tx) CountLegacy(ctx context.Context, b Binding) (n int64, err error) {
	table, err := t.legacyTable(ctx, b)
	if err != nil {
		return 0, err
	}
	if err := t.tx.QueryRow(ctx, table.countFilled(b.Legacy)).Scan(&n); err != nil {
		return 0, fmt.Errorf("count legacy tokens: %w", b.fault(err))
	}
	return n, nil
}

func (t *Tx) legacyTable(ctx context.Context, b Binding) (*boundTable, error) {
	if b.Legacy == "" {
		return nil, &BoundFault{Table: b.Name(), Why: "is bound without a column for legacy tokens: bind it again with --legacy-token"}
	}
	return t.lookUp(ctx, b)
}

// DropLegacyStatement is what DropLegacy runs, to be shown first.
func (b Binding) DropLegacyStatement() string {
	return fmt.Sprintf("alter table %s drop column %s", quote(b.Schema, b.Table), quote(b.Legacy))
}

var forgetLegacy = sql(`update rotator.bindings set legacy_token_column = null where app_id = $1`)

// DropLegacy drops the legacy column, of all rows, and takes it out of the
// binding. It cannot be undone. Like CreateColumn it waits for others a second.
func (t *Tx) DropLegacy(ctx context.Context, actor string, app App, b Binding) error {
	if _, err := t.legacyTable(ctx, b); err != nil {
		return err
	}
	if _, err := t.tx.Exec(ctx, forgetLegacy, app.ID); err != nil {
		return fmt.Errorf("forget the legacy column: %w", err)
	}
	return t.alterBound(ctx, actor, app, b, b.DropLegacyStatement())
}
