package store

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopdomain"
	"github.com/haravan-rotator/rotator/internal/shopfile"
)

// boundRaw is a row of a bound table as it is selected.
type boundRaw struct {
	Key, Domain, Access, Legacy, OAuth *string
}

// Why a row of the bound table is not among the staged ones, or its token not.
const (
	leftBad   = "bad"   // the row has a problem; its shop keeps it
	leftEmpty = "empty" // the row has no token
	leftStale = "stale" // the row is staged, its token is one that a run replaced
)

var (
	makeLeft = `create temporary table import_left (key text, domain text, why text) on commit drop`
	// The lock is others' ALTER TABLE or LOCK TABLE.
	boundPatient    = sql(`select set_config('lock_timeout', $1, true), set_config('statement_timeout', $2, true)`)
	readBoundPrints = sql(`select domain, coalesce(access_token_fingerprint, ''), coalesce(legacy_token_fingerprint, ''),
		case when rotated_at is not null then former_fingerprints else '{}' end, ` + notInUse + `
		from rotator.shops s where app_id = $1 and domain = any($2)`)
	fetchBound = fmt.Sprintf("fetch forward %d from bound_rows", importChunk)
)

// stageBound reads the whole table, as of one moment, into import_rows and
// import_left, in memory that does not grow with it.
func (t *Tx) stageBound(ctx context.Context, app App, b *boundTable, reading *BoundReading) error {
	if _, err := t.tx.Exec(ctx, makeLeft); err != nil {
		return fmt.Errorf("prepare the reading: %w", err)
	}
	if err := t.wait(ctx, boundPatience, 0); err != nil {
		return err
	}
	if _, err := t.tx.Exec(ctx, "declare bound_rows no scroll cursor for "+b.selectAll()); err != nil {
		return fmt.Errorf("read the bound table: %w", b.fault(err))
	}
	var problems shopfile.Problems
	for {
		rows, err := t.tx.Query(ctx, fetchBound)
		if err != nil {
			return fmt.Errorf("read the bound table: %w", b.fault(err))
		}
		page, err := pgx.CollectRows(rows, pgx.RowToStructByPos[boundRaw])
		if err != nil {
			return fmt.Errorf("read the bound table: %w", b.fault(err))
		}
		if len(page) == 0 {
			reading.Problems = append(reading.Problems, problems.Kept()...)
			return nil
		}
		if err := t.stageBoundPage(ctx, app, b, page, reading, &problems); err != nil {
			return err
		}
	}
}

func (t *Tx) stageBoundPage(ctx context.Context, app App, b *boundTable, page []boundRaw, reading *BoundReading, problems *shopfile.Problems) error {
	var good []shopfile.Row
	var left [][]any
	for _, raw := range page {
		row, err := b.check(t.keys, raw)
		var bad *shopfile.BadRow
		switch {
		case errors.As(err, &bad):
			reading.Bad++
			problems.Add(bad.Problems...)
			if domain, err := shopdomain.Parse(text(raw.Domain)); err == nil {
				left = append(left, []any{raw.Key, domain, leftBad})
			}
		case err != nil:
			return err
		case row.AccessToken.IsZero() && row.LegacyToken.IsZero():
			reading.WithoutToken++
			left = append(left, []any{raw.Key, row.Domain, leftEmpty})
		default:
			reading.Rows++
			row.Line = reading.Rows
			good = append(good, row)
		}
	}
	stale, err := t.onlyChanges(ctx, app.ID, good)
	if err != nil {
		return err
	}
	reading.Stale += len(stale)
	for _, row := range stale {
		left = append(left, []any{row.Key, row.Domain, leftStale})
	}
	if err := t.copyChunk(ctx, app.ID, good); err != nil {
		return err
	}
	if _, err := t.tx.CopyFrom(ctx, pgx.Identifier{"import_left"}, []string{"key", "domain", "why"}, pgx.CopyFromRows(left)); err != nil {
		return fmt.Errorf("note the rows that are left out: %w", err)
	}
	return nil
}

// onlyChanges takes out of the rows the tokens that are stored as they are, so
// that they are not sealed again, those that a token migration has put there and
// that are not in use yet, and those that a run has replaced, whose rows it
// returns.
func (t *Tx) onlyChanges(ctx context.Context, appID int64, chunk []shopfile.Row) (stale []shopfile.Row, err error) {
	domains := make([]string, len(chunk))
	for i, row := range chunk {
		domains[i] = row.Domain
	}
	rows, err := t.tx.Query(ctx, readBoundPrints, appID, domains)
	if err != nil {
		return nil, fmt.Errorf("compare with the stored shops: %w", err)
	}
	type prints struct {
		access, legacy, derived string
		former                  []string
	}
	stored := make(map[string]prints, len(chunk))
	var domain string
	var p prints
	_, err = pgx.ForEachRow(rows, []any{&domain, &p.access, &p.legacy, &p.former, &p.derived}, func() error {
		stored[domain] = p
		p.former = nil
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("compare with the stored shops: %w", err)
	}
	for i := range chunk {
		row := &chunk[i]
		p, ok := stored[row.Domain]
		if !ok {
			continue
		}
		switch access := t.keys.Fingerprint(row.AccessToken); {
		case access == p.access, access == p.derived:
			row.AccessToken = secret.String{}
		case slices.Contains(p.former, access):
			stale = append(stale, *row)
			row.AccessToken = secret.String{}
		}
		if t.keys.Fingerprint(row.LegacyToken) == p.legacy {
			row.LegacyToken = secret.String{}
		}
	}
	return stale, nil
}

// check makes a list's row of a table's. The current token is the OAuth
// column's, where that has one, else the access column's. A row without any
// token is good, without one.
func (b *boundTable) check(keys *secret.Keyring, raw boundRaw) (shopfile.Row, error) {
	key, column := text(raw.Key), b.current(raw.OAuth)
	if key == "" { // a stored shop of no row has it, too
		domain, _ := shopdomain.Parse(text(raw.Domain)) // a bad one is told once there is a key
		return shopfile.Row{}, &shopfile.BadRow{Problems: []shopfile.Problem{{Key: "''", Domain: domain, Column: b.Key, Message: "is empty: a row is found by it"}}}
	}
	value := raw.Access
	if column == b.OAuth {
		value = raw.OAuth
	}
	access, err := b.decode(keys, column, key, value)
	if err != nil {
		return shopfile.Row{}, b.unreadable(key, column, err)
	}
	legacy, err := b.decode(keys, b.Legacy, key, raw.Legacy)
	if err != nil {
		return shopfile.Row{}, b.unreadable(key, b.Legacy, err)
	}
	if access.IsZero() && legacy.IsZero() {
		domain, err := shopdomain.Parse(text(raw.Domain))
		if err != nil {
			return shopfile.Row{}, &shopfile.BadRow{Problems: []shopfile.Problem{{Key: key, Column: b.Domain, Message: err.Error()}}}
		}
		return shopfile.Row{Key: key, Domain: domain}, nil
	}
	row, err := shopfile.Cells{Key: key, Domain: text(raw.Domain), AccessToken: access.Reveal(), LegacyToken: legacy.Reveal()}.Row()
	var bad *shopfile.BadRow
	if errors.As(err, &bad) {
		for i, p := range bad.Problems {
			bad.Problems[i].Column = map[string]string{"domain": b.Domain, "access_token": column, "legacy_token": b.Legacy}[p.Column]
		}
	}
	return row, err
}

// current is the column that a row's token is read from and written to.
func (b Binding) current(oauth *string) string {
	if b.Access == "" || b.OAuth != "" && text(oauth) != "" {
		return b.OAuth
	}
	return b.Access
}

func (b Binding) unreadable(key, column string, err error) error {
	return &shopfile.BadRow{Problems: []shopfile.Problem{{Key: key, Column: column, Message: "does not open: " + err.Error()}}}
}

// text is a value that may be null.
func text(s *string) string {
	if s == nil {
		return ""
	}
	return *s
}
