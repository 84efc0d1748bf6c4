package store

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
)

// shortToken is a length that no token of the platform is known to exceed; a
// sealed one is longer by the seal, and by base64.
const shortToken, shortSealed = 64, 160

func (b Binding) checkColumns(columns []boundColumn, class boundClass, create bool, check *BoundCheck) {
	find := func(flag, name string) (boundColumn, bool) {
		if name == "" {
			return boundColumn{}, false
		}
		i := slices.IndexFunc(columns, func(c boundColumn) bool { return c.Name == name })
		if i < 0 {
			check.problem("%s %s: table %s has no such column%s", flag, name, b.Name(), similar(columns, name))
			return boundColumn{}, false
		}
		return columns[i], true
	}
	if key, ok := find("--key", b.Key); ok {
		if !key.Unique {
			check.problem("--key %s: has no unique index of its own: without one a token could be written to two rows", b.Key)
		}
		if !key.NotNull {
			check.problem("--key %s: may be null: rows are found by it (alter column … set not null)", b.Key)
		}
	}
	if domain, ok := find("--domain", b.Domain); ok && domain.Base == "bytea" {
		check.problem("--domain %s: is of type %s; a domain is text", b.Domain, domain.Type)
	}
	for _, c := range []struct{ flag, name string }{{"--access-token", b.Access}, {"--legacy-token", b.Legacy}, {"--oauth-token", b.OAuth}} {
		if c.flag == "--oauth-token" && create && c.name != "" && !slices.ContainsFunc(columns, func(have boundColumn) bool { return have.Name == c.name }) {
			check.CreateColumn = b.CreateColumnStatement()
			if !class.Owns {
				check.problem("--create-column: role %s does not own table %s; let its owner run: %s", class.Role, b.Name(), check.CreateColumn)
			}
			continue
		}
		if column, ok := find(c.flag, c.name); ok {
			b.checkToken(c.flag, column, check)
		}
	}
}

func (b Binding) checkToken(flag string, c boundColumn, check *BoundCheck) {
	short := shortToken
	if b.Codec == CodecSealed {
		short = shortSealed
	}
	switch isText := slices.Contains([]string{"text", "varchar", "bpchar"}, c.Base); {
	case c.Generated:
		check.problem("%s %s: is generated from other columns: nothing can be written to it", flag, c.Name)
	case c.Base == "bytea" && b.Codec == CodecPlain:
		check.problem("%s %s: is of type bytea, which holds sealed tokens only: use a text column, or --codec sealed", flag, c.Name)
	case !isText && c.Base != "bytea":
		check.problem("%s %s: is of type %s; tokens are text, varchar or char%s", flag, c.Name, c.Type,
			map[Codec]string{CodecSealed: ", or bytea"}[b.Codec])
	case isText && c.Length > 0 && c.Length < short:
		check.warn("%s %s: holds %d characters; a token may have up to %d", flag, c.Name, c.Length, short)
	case c.NotNull && flag != "--access-token":
		check.warn("%s %s: may not be null, so it cannot be emptied", flag, c.Name)
	}
}

// similar names the columns that there are, those first that differ in case only.
func similar(columns []boundColumn, name string) string {
	const most = 20
	var names []string
	for _, c := range columns {
		if strings.EqualFold(c.Name, name) {
			return "; names are case-sensitive: " + c.Name
		}
		if names = append(names, c.Name); len(names) == most {
			names = append(names, "…")
			break
		}
	}
	return "; it has " + strings.Join(names, ", ")
}

// checkRights asks for select on what is read and update on tokens only.
func (b Binding) checkRights(columns []boundColumn, class boundClass, check *BoundCheck) {
	var read, write, noRead, noWrite []string
	for _, c := range columns {
		token := slices.Contains(b.tokenColumns(), c.Name)
		if c.Name != b.Key && c.Name != b.Domain && !token {
			continue
		}
		if read = append(read, quote(c.Name)); !c.MaySelect {
			noRead = append(noRead, c.Name)
		}
		if !token {
			continue
		}
		if write = append(write, quote(c.Name)); !c.MayUpdate {
			noWrite = append(noWrite, c.Name)
		}
	}
	if !class.Usage {
		check.problem("schema %s: role %s may not use it", b.Schema, class.Role)
	}
	if noRead != nil {
		check.problem("role %s may not select %s of %s", class.Role, strings.Join(noRead, ", "), b.Name())
	}
	if noWrite != nil {
		check.problem("role %s may not update %s of %s", class.Role, strings.Join(noWrite, ", "), b.Name())
	}
	if class.Usage && noRead == nil && noWrite == nil {
		return
	}
	table, role := quote(b.Schema, b.Table), quote(class.Role)
	check.Grants = []string{"grant usage on schema " + quote(b.Schema) + " to " + role}
	for _, g := range []struct {
		right   string
		columns []string
	}{{"select", read}, {"update", write}} {
		if g.columns != nil {
			check.Grants = append(check.Grants, fmt.Sprintf("grant %s (%s) on %s to %s", g.right, strings.Join(g.columns, ", "), table, role))
		}
	}
}

// CreateColumnStatement adds the OAuth column: nullable and without a default,
// so that no row is rewritten (Haravan, Legacy to OAuth, step 1).
func (b Binding) CreateColumnStatement() string {
	return fmt.Sprintf("alter table %s add column if not exists %s text", quote(b.Schema, b.Table), quote(b.OAuth))
}

// CreateColumn runs CreateColumnStatement. It waits for other transactions on
// the table no longer than a second, because others queue up behind it; the
// error is a *BoundFault then, and the same can be asked again.
func (s *Store) CreateColumn(ctx context.Context, actor string, app App, b Binding) error {
	return s.InTx(ctx, func(tx *Tx) error {
		return tx.alterBound(ctx, actor, app, b, b.CreateColumnStatement())
	})
}

// alterBound runs one statement that changes the bound table's definition.
func (t *Tx) alterBound(ctx context.Context, actor string, app App, b Binding, statement string) error {
	if err := t.waitShortly(ctx); err != nil {
		return err
	}
	if _, err := t.tx.Exec(ctx, statement); err != nil {
		return b.unaltered(err, statement)
	}
	if _, err := t.tx.Exec(ctx, boundImpatient); err != nil {
		return fmt.Errorf("wait as before: %w", err)
	}
	return t.Log(ctx, actor, "app.table.altered", 0, map[string]any{"app": app.Name, "table": b.Name(), "statement": statement})
}

// unaltered tells why a statement that changes the table's definition failed.
func (b Binding) unaltered(err error, statement string) error {
	var pg *pgconn.PgError
	if errors.As(err, &pg) && pg.Code == "42501" {
		return &BoundFault{Table: b.Name(), Why: "may not be altered by this role (" + pg.Message + "): let its owner run: " + statement}
	}
	return fmt.Errorf("%s: %w", statement, b.fault(err))
}
