package store

import (
	"context"
	"fmt"
	"slices"
)

// boundTable is a binding that was looked up in the catalogue just now.
type boundTable struct {
	Binding
	// keyType is the key's type as SQL has it.
	keyType string
	// bytes has the columns that are of type bytea.
	bytes map[string]bool
	// notNull has those that may not be null: they are emptied to ''.
	notNull map[string]bool
}

// The catalogue's own tables, unlike to_regclass, need no right on the schema.
var readBoundColumns = sql(`select a.attname::text, format_type(a.atttypid, a.atttypmod),
		coalesce(nullif(y.typbasetype, 0), y.oid) = 'bytea'::regtype, a.attnotnull
	from pg_namespace n join pg_class c on c.relnamespace = n.oid join pg_attribute a on a.attrelid = c.oid
	join pg_type y on y.oid = a.atttypid
	where n.nspname = $1 and c.relname = $2 and a.attnum > 0 and not a.attisdropped`)

// boundTable looks the app's bound table up. ErrNotBound if there is none; a
// *BoundFault if it lost what it was bound by.
func (t *Tx) boundTable(ctx context.Context, appID int64) (*boundTable, error) {
	b, err := binding(ctx, t.tx, appID)
	if err != nil {
		return nil, err
	}
	return t.lookUp(ctx, b)
}

func (t *Tx) lookUp(ctx context.Context, b Binding) (*boundTable, error) {
	table := &boundTable{Binding: b, bytes: map[string]bool{}, notNull: map[string]bool{}}
	rows, err := t.tx.Query(ctx, readBoundColumns, b.Schema, b.Table)
	if err != nil {
		return nil, fmt.Errorf("look up the bound table: %w", err)
	}
	defer rows.Close()
	var have []string
	for rows.Next() {
		var name, kind string
		var bytea, notNull bool
		if err := rows.Scan(&name, &kind, &bytea, &notNull); err != nil {
			return nil, fmt.Errorf("look up the bound table: %w", err)
		}
		have = append(have, name)
		table.bytes[name], table.notNull[name] = bytea, notNull
		if name == b.Key {
			table.keyType = kind
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("look up the bound table: %w", err)
	}
	if len(have) == 0 {
		return nil, b.gone()
	}
	var missing []string
	for _, name := range append([]string{b.Key, b.Domain}, b.tokenColumns()...) {
		if !slices.Contains(have, name) {
			missing = append(missing, name)
		}
	}
	if missing != nil {
		return nil, b.lacks(missing)
	}
	return table, nil
}

// The statements below are built, not registered: their names are the app's.

func (b *boundTable) from() string { return quote(b.Schema, b.Table) + " t" }

func (b *boundTable) key() string { return "t." + quote(b.Key) }

// keys turns the text of keys, the statement's parameter n, into the key's type.
func (b *boundTable) keys(n int) string { return fmt.Sprintf("$%d::text[]::%s[]", n, b.keyType) }

// value reads a token column as text: bytea as base64, an unbound one as null.
func (b *boundTable) value(column string) string {
	switch {
	case column == "":
		return "null::text"
	case b.bytes[column]:
		return "encode(t." + quote(column) + ", 'base64')"
	}
	return "t." + quote(column) + "::text"
}

// parameter is what a token column is set to, from a text expression.
func (b *boundTable) parameter(column, text string) string {
	if b.bytes[column] {
		return "decode(" + text + ", 'base64')"
	}
	return text
}

// condition is the operator's, as one more term. The line's end keeps a comment
// in it from swallowing what follows.
func (b *boundTable) condition(before string) string {
	if b.Where == "" {
		return ""
	}
	return " " + before + " (" + b.Where + "\n)"
}

// selectAll reads every bound row in the order of keys.
func (b *boundTable) selectAll() string {
	return fmt.Sprintf("select %s::text, t.%s::text, %s, %s, %s from %s%s order by %s",
		b.key(), quote(b.Domain), b.value(b.Access), b.value(b.Legacy), b.value(b.OAuth), b.from(), b.condition("where"), b.key())
}

// selectLocked reads two columns of rows by key ($1) and locks those that nobody
// else holds.
func (b *boundTable) selectLocked(one, other string) string {
	return fmt.Sprintf("select %s::text, %s, %s from %s where %s = any(%s)%s for no key update skip locked",
		b.key(), b.value(one), b.value(other), b.from(), b.key(), b.keys(1), b.condition("and"))
}

// countFilled counts rows that have something in a column.
func (b *boundTable) countFilled(column string) string {
	return fmt.Sprintf("select count(*) from %s where t.%s <> ''%s", b.from(), quote(column), b.condition("and"))
}

// selectThere tells which of the keys ($1) have a row.
func (b *boundTable) selectThere() string {
	return fmt.Sprintf("select %s::text from %s where %s = any(%s)%s", b.key(), b.from(), b.key(), b.keys(1), b.condition("and"))
}

// updateColumn writes tokens ($2) by key ($1) and returns what is there then.
func (b *boundTable) updateColumn(column string) string {
	return fmt.Sprintf("update %s set %s = %s from unnest(%s, $2::text[]) as x (k, v) where %s = x.k returning %s::text, %s",
		b.from(), quote(column), b.parameter(column, "x.v"), b.keys(1), b.key(), b.key(), b.value(column))
}

// clearColumn empties a token column by key ($1).
func (b *boundTable) clearColumn(column string) string {
	nothing := "null"
	if b.notNull[column] {
		nothing = "''"
	}
	return fmt.Sprintf("update %s set %s = %s where %s = any(%s) returning %s::text", b.from(), quote(column), nothing, b.key(), b.keys(1), b.key())
}
