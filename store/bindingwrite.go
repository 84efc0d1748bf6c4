package store

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// boundRow is a row of the bound table that this transaction has locked.
type boundRow struct {
	key string
	// column is where value was read from, and where a new one goes.
	column string
	value  secret.String
	// broken says why the value does not open, "" if it does.
	broken string
}

// boundShop is what a shop knows of its row.
type boundShop struct {
	id, appID int64
	key       string
	// former are the fingerprints of tokens that runs replaced.
	former []string
	// derived is the fingerprint of the token that the app's open token migration
	// derived and that is not in use yet, "" for none.
	derived string
}

// notInUse is the fingerprint of a token that an open migration derived and that
// its shop (s) does not use yet. Its row has it already: it is no install's.
const notInUse = `coalesce((select s.derived_fingerprint from rotator.runs r where r.app_id = s.app_id and r.kind = 'token_migration'
	and r.closed_at is null and r.cancelled_at is null and coalesce(s.derived_run = r.id, s.derived_at >= r.created_at) and s.access_token is null), '')`

var readBoundShops = sql(`select id, app_id, bound_key, case when rotated_at is not null then former_fingerprints else '{}' end, ` + notInUse + `
	from rotator.shops s where id = any($1) and bound_key is not null`)

func boundShops(ctx context.Context, q querier, ids []int64) (map[int64]boundShop, error) {
	found := map[int64]boundShop{}
	all, err := collect(ctx, q, "look for bound shops", func(row pgx.CollectableRow) (s boundShop, err error) {
		err = row.Scan(&s.id, &s.appID, &s.key, &s.former, &s.derived)
		return s, err
	}, readBoundShops, ids)
	if err != nil {
		return nil, err
	}
	for _, s := range all {
		found[s.id] = s
	}
	return found, nil
}

// waitShortly bounds, until the transaction ends, how long its statements wait
// for the bound table.
func (t *Tx) waitShortly(ctx context.Context) error { return t.wait(ctx, boundLockWait, boundPatience) }

// wait bounds how long a statement waits for a lock, and how long it takes as a
// whole; 0 is for ever.
func (t *Tx) wait(ctx context.Context, lock, whole time.Duration) error {
	if _, err := t.tx.Exec(ctx, boundPatient, strconv.FormatInt(lock.Milliseconds(), 10), strconv.FormatInt(whole.Milliseconds(), 10)); err != nil {
		return fmt.Errorf("bound the waiting: %w", err)
	}
	return nil
}

// lockBound locks and reads the rows of keys with their current token. Rows that
// another transaction has locked are not waited for: they are in locked. A key
// in neither has no row.
func (t *Tx) lockBound(ctx context.Context, b *boundTable, keys []string) (rows map[string]boundRow, locked map[string]bool, err error) {
	return t.lockRows(ctx, b, b.selectLocked(b.Access, b.OAuth), keys, func(access, oauth *string) (string, *string) {
		if column := b.current(oauth); column == b.Access {
			return column, access
		}
		return b.OAuth, oauth
	})
}

// lockColumn is lockBound for one column, whether it is the current one or not.
func (t *Tx) lockColumn(ctx context.Context, b *boundTable, column string, keys []string) (rows map[string]boundRow, locked map[string]bool, err error) {
	return t.lockRows(ctx, b, b.selectLocked(column, ""), keys, func(value, _ *string) (string, *string) { return column, value })
}

func (t *Tx) lockRows(ctx context.Context, b *boundTable, statement string, keys []string, choose func(one, other *string) (column string, value *string)) (rows map[string]boundRow, locked map[string]bool, err error) {
	rows, locked = map[string]boundRow{}, map[string]bool{}
	if len(keys) == 0 {
		return rows, locked, nil
	}
	got, err := t.tx.Query(ctx, statement, keys)
	if err != nil {
		return nil, nil, fmt.Errorf("lock rows: %w", b.fault(err))
	}
	var key string
	var one, other *string
	_, err = pgx.ForEachRow(got, []any{&key, &one, &other}, func() error {
		column, value := choose(one, other)
		r := boundRow{key: key, column: column}
		var err error
		if r.value, err = b.decode(t.keys, column, key, value); err != nil {
			r.broken = "its token in " + b.Name() + " does not open: " + err.Error()
		}
		rows[key] = r
		return nil
	})
	if err != nil {
		return nil, nil, fmt.Errorf("lock rows: %w", b.fault(err))
	}
	var missing []string
	for _, key := range keys {
		if _, ok := rows[key]; !ok {
			missing = append(missing, key)
		}
	}
	if missing == nil {
		return rows, locked, nil
	}
	there, err := t.boundKeys(ctx, b, b.selectThere(), missing)
	if err != nil {
		return nil, nil, fmt.Errorf("look for locked rows: %w", err)
	}
	for _, key := range there {
		locked[key] = true
	}
	return rows, locked, nil
}

// boundKeys runs a statement on the bound table that takes and returns keys.
func (t *Tx) boundKeys(ctx context.Context, b *boundTable, statement string, keys []string) ([]string, error) {
	rows, err := t.tx.Query(ctx, statement, keys)
	if err != nil {
		return nil, b.fault(err)
	}
	found, err := collectText(rows)
	if err != nil {
		return nil, b.fault(err)
	}
	return found, nil
}

func collectText(rows pgx.Rows) ([]string, error) { return pgx.CollectRows(rows, pgx.RowTo[string]) }

// boundWrite puts a token into a row that this transaction has locked.
type boundWrite struct {
	row   boundRow
	token secret.String
}

var checkDeferred = sql(`set constraints all immediate`)

// writeBound writes the tokens and makes sure that each is there: a trigger may
// drop or change what is written.
func (t *Tx) writeBound(ctx context.Context, b *boundTable, writes []boundWrite) error {
	byColumn := map[string][]boundWrite{}
	for _, w := range writes {
		byColumn[w.row.column] = append(byColumn[w.row.column], w)
	}
	for _, column := range slices.Sorted(maps.Keys(byColumn)) {
		if err := t.writeColumn(ctx, b, column, byColumn[column]); err != nil {
			return err
		}
	}
	if len(writes) == 0 {
		return nil
	}
	return t.hearDeferred(ctx, b)
}

// hearDeferred has the table's deferred constraints and triggers speak now: at the
// commit nobody could tell whose words they are, and they can hold a token.
func (t *Tx) hearDeferred(ctx context.Context, b *boundTable) error {
	if _, err := t.tx.Exec(ctx, checkDeferred); err != nil {
		return fmt.Errorf("write to the bound table: %w", b.fault(err))
	}
	return nil
}

func (t *Tx) writeColumn(ctx context.Context, b *boundTable, column string, writes []boundWrite) error {
	keys, texts := make([]string, len(writes)), make([]string, len(writes))
	for i, w := range writes {
		var err error
		keys[i] = w.row.key
		if texts[i], err = b.encode(t.keys, column, w.row.key, w.token); err != nil {
			return fmt.Errorf("seal a token for the bound table: %w", err)
		}
	}
	rows, err := t.tx.Query(ctx, b.updateColumn(column), keys, texts)
	if err != nil {
		return fmt.Errorf("write tokens: %w", b.fault(err))
	}
	written := make(map[string]*string, len(writes))
	var key string
	var value *string
	if _, err := pgx.ForEachRow(rows, []any{&key, &value}, func() error { written[key] = value; return nil }); err != nil {
		return fmt.Errorf("write tokens: %w", b.fault(err))
	}
	for _, w := range writes {
		value, ok := written[w.row.key]
		if !ok {
			return &BoundFault{Table: b.Name(), Row: true, Why: "did not take the token: a trigger or rule of it drops the update"}
		}
		if v, err := b.decode(t.keys, column, w.row.key, value); err != nil || !v.Equal(w.token) {
			return &BoundFault{Table: b.Name(), Row: true, Why: "did not take the token as it is: a trigger of it changes column " + column}
		}
	}
	return nil
}
