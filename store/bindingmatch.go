package store

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/shopfile"
)

// Why a shop is excluded whose row is not there any more; the table's name
// follows.
const (
	rowGone  = "its row left the bound table "
	rowEmpty = "its row has no token any more in the bound table "
	// And why a shop waits for its row.
	rowLocked = "its row is locked by another transaction in the bound table "
)

var (
	boundDuplicates = `select domain, array_agg(bound_key order by line) from import_rows
		group by domain having count(*) > 1 order by min(line) limit $1`
	// Of rows that name one shop, the one that it had stays, else the first.
	dropDuplicates = `delete from import_rows r using (
			select i.line, row_number() over (partition by i.shop_id order by (s.bound_key = i.bound_key) desc nulls last, i.line) as n
			from import_rows i left join rotator.shops s on s.id = i.shop_id) d
		where d.line = r.line and d.n > 1`
	analyzeRows = `analyze import_rows`
	movedShops  = `select s.domain, s.bound_key, r.bound_key from import_rows r join rotator.shops s on s.id = r.shop_id
		where s.bound_key <> r.bound_key order by r.line`
	renamedRows = `select r.bound_key, s.domain, r.domain from import_rows r join rotator.shops s on s.app_id = $1 and s.bound_key = r.bound_key
		where s.id <> r.shop_id order by r.line`
	leaveShops = `update rotator.shops s set bound_key = null, unbound_at = now(), updated_at = now(), excluded_at = coalesce(excluded_at, now()),
			excluded_reason = coalesce(excluded_reason, case when exists
				(select from import_left l where l.key = s.bound_key and l.domain = s.domain and l.why = 'empty') then $3 else $2 end)
		where s.app_id = $1 and s.bound_key is not null and not exists (select from import_rows r where r.shop_id = s.id)
			and not exists (select from import_left l where l.key = s.bound_key and l.domain = s.domain and l.why = 'bad')
		returning s.domain`
	// Two updates, because keys may change places.
	dropKeys = `update rotator.shops s set bound_key = null from import_rows r where r.shop_id = s.id and s.bound_key <> r.bound_key`
	setKeys  = `with seen as (
			select s.id, r.bound_key, s.unbound_at is not null as back,
				s.unbound_at is not null and (s.excluded_reason like $1 or s.excluded_reason like $2) as ours
			from import_rows r join rotator.shops s on s.id = r.shop_id
			where s.bound_key is distinct from r.bound_key or s.unbound_at is not null
		), done as (
			update rotator.shops s set bound_key = seen.bound_key, unbound_at = null, updated_at = now(),
				excluded_at = case when ours then null else s.excluded_at end,
				excluded_reason = case when ours then null else s.excluded_reason end
			from seen where s.id = seen.id
		)
		select count(*) filter (where back) from seen`
	staleShops = `select s.id from import_left l join rotator.shops s on s.app_id = $1 and s.domain = l.domain and s.bound_key = l.key
		where l.why = 'stale' order by s.id`
	countUnlisted = sql(`select count(*) from rotator.shops where app_id = $1 and bound_key is null and unbound_at is null`)
)

// dropDuplicateRows leaves one row for each shop and tells of the others.
func (t *Tx) dropDuplicateRows(ctx context.Context, reading *BoundReading) error {
	if _, err := t.tx.Exec(ctx, analyzeRows); err != nil {
		return fmt.Errorf("analyze the rows: %w", err)
	}
	if err := t.tx.QueryRow(ctx, countDuplicates).Scan(&reading.Duplicates); err != nil {
		return fmt.Errorf("look for duplicates: %w", err)
	}
	if reading.Duplicates == 0 {
		return nil
	}
	rows, err := t.tx.Query(ctx, boundDuplicates, maxFindings-min(maxFindings, len(reading.Problems)))
	if err != nil {
		return fmt.Errorf("look for duplicates: %w", err)
	}
	var domain string
	var keys []string
	_, err = pgx.ForEachRow(rows, []any{&domain, &keys}, func() error {
		reading.Problems = append(reading.Problems, shopfile.Problem{
			Key: keys[1], Domain: domain, Message: "is named more than once: rows " + strings.Join(keys[:min(10, len(keys))], ", "),
		})
		return nil
	})
	if err != nil {
		return fmt.Errorf("look for duplicates: %w", err)
	}
	if _, err := t.tx.Exec(ctx, dropDuplicates); err != nil {
		return fmt.Errorf("leave duplicates out: %w", err)
	}
	return nil
}

// unmatch takes shops from rows that are not theirs any more, and excludes those
// that have none.
func (t *Tx) unmatch(ctx context.Context, app App, b Binding, reading *BoundReading) error {
	var err error
	if reading.Moved, err = t.tell(ctx, reading, "shop %s moved from row %s to row %s", movedShops); err != nil {
		return err
	}
	if reading.Renamed, err = t.tell(ctx, reading, "row %s was shop %s and is shop %s now", renamedRows, app.ID); err != nil {
		return err
	}
	if reading.Left, err = t.tell(ctx, reading, "shop %s has no row with a token any more", leaveShops, app.ID, rowGone+b.Name(), rowEmpty+b.Name()); err != nil {
		return err
	}
	if _, err := t.tx.Exec(ctx, dropKeys); err != nil {
		return fmt.Errorf("take moved shops from their rows: %w", err)
	}
	return nil
}

// tell words each row of a statement, whose columns are text, and counts them.
func (t *Tx) tell(ctx context.Context, reading *BoundReading, format, statement string, args ...any) (n int, err error) {
	rows, err := t.tx.Query(ctx, statement, args...)
	if err != nil {
		return 0, fmt.Errorf("match the rows with the shops: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		n++
		if len(reading.Changes) >= maxFindings {
			continue
		}
		values, err := rows.Values()
		if err != nil {
			return n, fmt.Errorf("match the rows with the shops: %w", err)
		}
		reading.Changes = append(reading.Changes, fmt.Sprintf(format, values...))
	}
	if err := rows.Err(); err != nil {
		return n, fmt.Errorf("match the rows with the shops: %w", err)
	}
	return n, nil
}

// match gives each shop its row, and takes those in again whose row is back.
func (t *Tx) match(ctx context.Context, app App, reading *BoundReading) error {
	if err := t.tx.QueryRow(ctx, setKeys, rowGone+"%", rowEmpty+"%").Scan(&reading.Back); err != nil {
		return fmt.Errorf("match the rows with the shops: %w", err)
	}
	if err := t.tx.QueryRow(ctx, countUnlisted, app.ID).Scan(&reading.Unlisted); err != nil {
		return fmt.Errorf("count shops without a row: %w", err)
	}
	stale, err := collect(ctx, t.tx, "look for replaced tokens", pgx.RowTo[int64], staleShops, app.ID)
	reading.stale = stale
	return err
}
