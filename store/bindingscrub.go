package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// What the scrub does to an app's own table: the legacy column is emptied with
// the legacy credentials here, and dropped if somebody asks for it.

var scrubRows = sql(`select s.id, s.bound_key, s.legacy_token_fingerprint
	from rotator.items i join rotator.shops s on s.id = i.shop_id where ` + scrubbed + ` and s.bound_key is not null
	order by s.id for no key update of s`)

// emptyRows empties the legacy column in the rows of the shops whose legacy
// credential is scrubbed from a page of the run. kept are those whose row is
// locked, or has another value than the one that was derived from: theirs stays.
func (t *Tx) emptyRows(ctx context.Context, runID, first, last int64) (kept []int64, err error) {
	kept = []int64{}
	b, err := runBinding(ctx, t.tx, runID)
	if errors.Is(err, ErrNotBound) || b.Legacy == "" && err == nil {
		return kept, nil
	}
	if err != nil {
		return nil, err
	}
	table, err := t.lookUp(ctx, b)
	if err != nil {
		return nil, err
	}
	rows, err := t.tx.Query(ctx, scrubRows, runID, first, last)
	if err != nil {
		return nil, fmt.Errorf("look for rows to scrub: %w", err)
	}
	shops := map[string]int64{}
	prints := map[string]string{}
	var keys []string
	var id int64
	var key, print string
	if _, err := pgx.ForEachRow(rows, []any{&id, &key, &print}, func() error {
		shops[key], prints[key], keys = id, print, append(keys, key)
		return nil
	}); err != nil {
		return nil, fmt.Errorf("look for rows to scrub: %w", err)
	}
	if err := t.waitShortly(ctx); err != nil {
		return nil, err
	}
	found, locked, err := t.lockColumn(ctx, table, b.Legacy, keys)
	if err != nil {
		return nil, err
	}
	var empty []string
	for _, key := range keys {
		row, there := found[key]
		switch {
		case locked[key], row.broken != "", !row.value.IsZero() && t.keys.Fingerprint(row.value) != prints[key]:
			kept = append(kept, shops[key])
		case there && !row.value.IsZero():
			empty = append(empty, key)
		}
	}
	return kept, t.emptyColumn(ctx, table, b.Legacy, empty)
}

// emptyColumn empties a column of rows that this transaction has locked.
func (t *Tx) emptyColumn(ctx context.Context, table *boundTable, column string, keys []string) error {
	if len(keys) == 0 {
		return nil
	}
	emptied, err := t.boundKeys(ctx, table, table.clearColumn(column), keys)
	if err != nil {
		return fmt.Errorf("empty column %s: %w", column, err)
	}
	if len(emptied) != len(keys) {
		return &BoundFault{Table: table.Name(), Row: true, Why: "did not give up what is in column " + column + ": a trigger or rule of it drops the update"}
	}
	return t.hearDeferred(ctx, table)
}

// DropLegacyStatement is what DropLegacy runs, to be shown first.
func (b Binding) DropLegacyStatement() string {
	return fmt.Sprintf("alter table %s drop column %s", quote(b.Schema, b.Table), quote(b.Legacy))
}

// MayDropLegacy says why the connected role cannot drop the legacy column, "" if
// it can.
func (s *Store) MayDropLegacy(ctx context.Context, b Binding) (why string, err error) {
	rows, err := s.pool.Query(ctx, readBoundClass, b.Schema, b.Table)
	if err != nil {
		return "", fmt.Errorf("look up the table: %w", err)
	}
	class, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[boundClass])
	if err != nil {
		return "", one(err, "table %s", b.Name())
	}
	if class.Owns {
		return "", nil
	}
	return fmt.Sprintf("role %s does not own table %s and cannot drop a column of it: leave --drop-column away, and let its owner run afterwards: %s",
		class.Role, b.Name(), b.DropLegacyStatement()), nil
}

var forgetLegacy = sql(`update rotator.bindings set legacy_token_column = null where app_id = $1`)

// DropLegacy drops the legacy column, of all rows, and takes it out of the
// binding. It cannot be undone. A bound row that still has a legacy token, a role
// that does not own the table, and others' locks on it are a *BoundFault; for
// these it waits a second, as CreateColumn does.
func (t *Tx) DropLegacy(ctx context.Context, actor string, app App, b Binding) error {
	table, err := t.lookUp(ctx, b)
	if err != nil {
		return err
	}
	if _, err := t.tx.Exec(ctx, forgetLegacy, app.ID); err != nil {
		return fmt.Errorf("forget the legacy column: %w", err)
	}
	if err := t.waitShortly(ctx); err != nil {
		return err
	}
	// Nobody writes a legacy token between the count and the drop.
	if _, err := t.tx.Exec(ctx, "lock table "+quote(b.Schema, b.Table)+" in access exclusive mode"); err != nil {
		return b.unaltered(err, b.DropLegacyStatement())
	}
	var left int64
	if err := t.tx.QueryRow(ctx, table.countFilled(b.Legacy)).Scan(&left); err != nil {
		return fmt.Errorf("count legacy tokens: %w", b.fault(err))
	}
	if left > 0 {
		return &BoundFault{Table: b.Name(), Why: fmt.Sprintf("has %s with a legacy token that the run has not settled: `rotator shop import --bound --dry-run` lists bad rows", rotation.Plural(int(left), "row"))}
	}
	return t.alterBound(ctx, actor, app, b, b.DropLegacyStatement())
}
