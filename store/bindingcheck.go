package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

// BoundCheck is what the catalogue says of a binding.
type BoundCheck struct {
	// Rows is how many rows the binding has; 0 if they could not be counted.
	Rows int64 `json:"rows"`
	// Problems keep the table from being bound; Warnings do not.
	Problems []string `json:"problems"`
	Warnings []string `json:"warnings"`
	// Grants give the connected role the rights that it needs and no other, for
	// the table's owner to run. Empty if it has them.
	Grants []string `json:"grants"`
	// CreateColumn is the statement that adds the OAuth column, if it is missing.
	CreateColumn string `json:"create_column,omitempty"`
}

func (c *BoundCheck) problem(format string, args ...any) {
	c.Problems = append(c.Problems, fmt.Sprintf(format, args...))
}

func (c *BoundCheck) warn(format string, args ...any) {
	c.Warnings = append(c.Warnings, fmt.Sprintf(format, args...))
}

// boundClass is a table's row in the catalogue.
type boundClass struct {
	ID                    uint32
	Kind, Persistence     string
	Security, Usage, Owns bool
	Role                  string
	Triggers              []string
}

// boundColumn is a column's row in the catalogue.
type boundColumn struct {
	Name, Type, Base     string
	Length               int
	NotNull, Unique      bool
	Generated            bool
	MaySelect, MayUpdate bool
}

var (
	readBoundClass = sql(`select c.oid, c.relkind::text, c.relpersistence::text, c.relrowsecurity and row_security_active(c.oid),
			has_schema_privilege(n.oid, 'usage'), pg_has_role(c.relowner, 'usage'), current_user::text,
			array(select g.tgname::text from pg_trigger g where g.tgrelid = c.oid and not g.tgisinternal and g.tgenabled in ('O', 'A') and g.tgtype & 16 <> 0 order by 1)
		from pg_namespace n join pg_class c on c.relnamespace = n.oid where n.nspname = $1 and c.relname = $2`)
	checkBoundColumns = sql(`select a.attname::text, format_type(a.atttypid, a.atttypmod), coalesce(b.typname, y.typname)::text,
			case when coalesce(b.oid, y.oid) in ('varchar'::regtype, 'bpchar'::regtype) and a.atttypmod > 4 then a.atttypmod - 4 else 0 end,
			a.attnotnull, exists (select from pg_index i where i.indrelid = a.attrelid and i.indisunique and i.indisvalid
				and i.indpred is null and i.indexprs is null and i.indnkeyatts = 1 and i.indkey[0] = a.attnum),
			a.attgenerated <> '', has_column_privilege(a.attrelid, a.attnum, 'select'), has_column_privilege(a.attrelid, a.attnum, 'update')
		from pg_attribute a join pg_type y on y.oid = a.atttypid left join pg_type b on b.oid = y.typbasetype
		where a.attrelid = $1 and a.attnum > 0 and not a.attisdropped order by a.attnum`)
)

// CheckBinding holds a binding against the catalogue and tells every problem at
// once. It writes nothing. With create a missing OAuth column is no problem.
func (s *Store) CheckBinding(ctx context.Context, b Binding, create bool) (BoundCheck, error) {
	check := BoundCheck{Problems: []string{}, Warnings: []string{}, Grants: []string{}}
	b.checkNames(&check)
	err := pgx.BeginTxFunc(ctx, s.pool, pgx.TxOptions{AccessMode: pgx.ReadOnly}, func(tx pgx.Tx) error {
		t := &Tx{tx: tx, keys: s.keys}
		return t.checkBinding(ctx, b, create, &check)
	})
	return check, err
}

func (b Binding) checkNames(check *BoundCheck) {
	if slices.Contains([]string{"rotator", "pg_catalog", "information_schema"}, b.Schema) || strings.HasPrefix(b.Schema, "pg_") {
		check.problem("schema %s: not an app's; bind the table in which the app keeps its shops", b.Schema)
	}
	if b.Access == "" && b.OAuth == "" {
		check.problem("no column for access tokens is named: give --access-token, --oauth-token or both")
	}
	roles := map[string]string{}
	for _, c := range []struct{ flag, name string }{
		{"--key", b.Key}, {"--domain", b.Domain}, {"--access-token", b.Access}, {"--legacy-token", b.Legacy}, {"--oauth-token", b.OAuth},
	} {
		if other, ok := roles[c.name]; ok && c.name != "" {
			check.problem("%s %s: is the column of %s too; each needs one of its own", c.flag, c.name, other)
		}
		roles[c.name] = c.flag
	}
}

func (t *Tx) checkBinding(ctx context.Context, b Binding, create bool, check *BoundCheck) error {
	rows, err := t.tx.Query(ctx, readBoundClass, b.Schema, b.Table)
	if err != nil {
		return fmt.Errorf("look up the table: %w", err)
	}
	class, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[boundClass])
	if errors.Is(err, pgx.ErrNoRows) {
		check.problem("table %s: does not exist in this database; names are case-sensitive", b.Name())
		return nil
	}
	if err != nil {
		return fmt.Errorf("look up the table: %w", err)
	}
	if why := class.unfit(); why != "" {
		check.problem("table %s: %s", b.Name(), why)
		return nil
	}
	columns, err := collect(ctx, t.tx, "look up the columns", pgx.RowToStructByPos[boundColumn], checkBoundColumns, class.ID)
	if err != nil {
		return err
	}
	b.checkColumns(columns, class, create, check)
	b.checkRights(columns, class, check)
	if class.Security {
		check.warn("row-level security is on: rows that its policies hide from role %s are not seen, and count as gone", class.Role)
	}
	if class.Persistence == "u" {
		check.warn("table %s is unlogged: it is empty after a crash of PostgreSQL", b.Name())
	}
	if len(class.Triggers) > 0 {
		check.warn("triggers run when a token is written (%s): one that refuses or changes it keeps the shop from being proven", strings.Join(class.Triggers, ", "))
	}
	if len(check.Problems) > 0 || check.CreateColumn != "" {
		return nil // the statements could not be prepared
	}
	return t.checkStatements(ctx, b, check)
}

// unfit says why a relation cannot be bound, "" if it can.
func (c boundClass) unfit() string {
	switch {
	case c.Kind == "v":
		return "is a view: tokens are written under row locks; bind the table under it"
	case c.Kind == "m":
		return "is a materialized view: nothing can be written to it; bind the table under it"
	case c.Kind == "f":
		return "is a foreign table: its rows cannot be written in one transaction with rotator's; deliver its tokens with `rotator shop export`"
	case c.Kind != "r" && c.Kind != "p":
		return "is not a table"
	case c.Persistence == "t":
		return "is a temporary table: no other connection sees it"
	}
	return ""
}

// checkStatements prepares what will be run, and runs the condition, where it
// can write nothing.
func (t *Tx) checkStatements(ctx context.Context, b Binding, check *BoundCheck) error {
	table, err := t.lookUp(ctx, b)
	if err != nil {
		return err
	}
	if err := t.wait(ctx, boundPatience, time.Minute); err != nil {
		return err
	}
	statements := []string{table.selectAll(), table.selectLocked(b.Access, b.OAuth), table.selectThere()}
	for _, column := range b.tokenColumns() {
		statements = append(statements, table.updateColumn(column))
	}
	for i, statement := range statements {
		parameters := 0
		err := pgx.BeginFunc(ctx, t.tx, func(tx pgx.Tx) error {
			d, err := tx.Conn().Prepare(ctx, "", statement)
			if err == nil {
				parameters = len(d.ParamOIDs)
			}
			return err
		})
		if i == 0 && parameters > 0 {
			check.problem("--where: has a parameter ($1): write the value itself")
			return nil
		}
		if err != nil {
			return check.refused(b, err)
		}
	}
	err = pgx.BeginFunc(ctx, t.tx, func(tx pgx.Tx) error {
		return tx.QueryRow(ctx, "select count(*) from "+table.from()+table.condition("where")).Scan(&check.Rows)
	})
	if err != nil {
		return check.refused(b, err)
	}
	return nil
}

// refused words what PostgreSQL has against a statement; an error that is none
// of the table's is returned.
func (c *BoundCheck) refused(b Binding, err error) error {
	var pg *pgconn.PgError
	if !errors.As(err, &pg) {
		return err
	}
	what := "table " + b.Name()
	if b.Where != "" {
		what = "--where " + b.Where
	}
	switch {
	case pg.Code == "25006":
		c.problem("%s: it writes (%s); a condition only reads", what, pg.Message)
	case pg.Code == "42501":
		c.problem("%s: %s; grant select on the columns that it names", what, pg.Message)
	default:
		c.problem("%s: PostgreSQL refuses it: %s", what, pg.Message)
	}
	return nil
}
