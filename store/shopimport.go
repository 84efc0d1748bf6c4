package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
)

// Duplicate is a domain that a list names more than once.
type Duplicate struct {
	Domain string
	// Lines are the first few of them, in order.
	Lines []int
}

// Findings is what the database sees wrong with a list whose rows are good one
// by one.
type Findings struct {
	Duplicates []Duplicate
	// Stale are domains whose listed token a run has replaced: the list is older
	// than the run, and its token is dead or will be.
	Stale []Duplicate
}

// None reports whether nothing was found.
func (f Findings) None() bool { return len(f.Duplicates)+len(f.Stale) == 0 }

// ErrPreview takes an import back once it is known what it comes to.
var ErrPreview = errors.New("dry run")

// ImportResult counts what an import did. Of a list that is stored Rows is the sum
// of the next five. A bound table's stale rows are kept, with the present token, and
// counted once more in Stale.
type ImportResult struct {
	Rows      int `json:"rows"`
	Added     int `json:"added"`
	Updated   int `json:"updated"`
	Unchanged int `json:"unchanged"`
	// Duplicates counts rows beyond the first of their domain; they are left out.
	Duplicates int `json:"duplicates"`
	// Stale counts rows with a token that a run has replaced; they are left out.
	Stale int `json:"stale"`
	// VersionUnknown counts shops that the import names a secret of and whose token
	// is stored without one, VersionOther those that are stored with another.
	VersionUnknown int `json:"version_unknown,omitempty"`
	VersionOther   int `json:"version_other,omitempty"`
}

const (
	// importChunk rows are sealed and copied at a time.
	importChunk = 2000
	// maxFindings is how many duplicates, and how many stale rows, are named.
	maxFindings = 1000
)

var (
	makeStaging = `create temporary table import_rows (line integer, shop_id bigint, domain text, org_id bigint,
		access_token bytea, access_token_fingerprint text, legacy_token bytea, legacy_token_fingerprint text, legacy_kind text,
		installed_at timestamptz, excluded_reason text, priority integer, bound_key text, same boolean) on commit drop`
	stagingColumns = []string{
		"line", "shop_id", "domain", "org_id", "access_token", "access_token_fingerprint",
		"legacy_token", "legacy_token_fingerprint", "legacy_kind", "installed_at", "excluded_reason", "priority", "bound_key", "same",
	}
	findDuplicates = `select domain, (array_agg(line order by line))[1:10] from import_rows
		group by domain having count(*) > 1 order by min(line) limit $1`
	countDuplicates = `select coalesce(sum(n - 1), 0)::bigint from (select count(*) as n from import_rows group by domain having count(*) > 1) d`
	staleRows       = `from import_rows r join rotator.shops s on s.id = r.shop_id
		where s.rotated_at is not null and r.access_token_fingerprint = any(s.former_fingerprints) and r.access_token_fingerprint <> s.access_token_fingerprint`
	findStale  = `select r.domain, array[r.line] ` + staleRows + ` order by r.line limit $1`
	dropStale  = `delete from import_rows where (shop_id, line) in (select r.shop_id, r.line ` + staleRows + `)`
	keepListed = `set local idle_in_transaction_session_timeout = 0`
	// Of a domain named twice the first line counts. A token that is stored
	// already, known by its fingerprint, is left alone: importing again changes
	// nothing. A column that the list leaves empty is kept as stored. A run may
	// have replaced the token since the list was judged: then it stays. Shops are
	// locked in the order of an open run, whose swaps go on meanwhile.
	mergeStaging = `with merged as (
			insert into rotator.shops as s (id, app_id, domain, org_id, access_token, access_token_fingerprint, secret_id,
				legacy_token, legacy_token_fingerprint, legacy_kind, installed_at, excluded_at, excluded_reason, priority, bound_key)
			select shop_id, $1, domain, org_id, access_token, access_token_fingerprint,
				case when access_token is not null then $2::bigint end, legacy_token, legacy_token_fingerprint, legacy_kind,
				installed_at, case when excluded_reason is not null then now() end, excluded_reason, priority, bound_key
			from (select distinct on (domain) * from import_rows where not same order by domain, line) r
			order by (select i.position from rotator.items i where i.shop_id = r.shop_id and i.run_id =
				(select id from rotator.runs where app_id = $1 and closed_at is null and cancelled_at is null)), shop_id
			on conflict (app_id, domain) do update set
				org_id = coalesce(excluded.org_id, s.org_id),
				access_token = case when excluded.access_token_fingerprint is distinct from s.access_token_fingerprint
					and excluded.access_token is not null then excluded.access_token else s.access_token end,
				access_token_fingerprint = coalesce(excluded.access_token_fingerprint, s.access_token_fingerprint),
				token_generation = s.token_generation + case when excluded.access_token is not null
					and excluded.access_token_fingerprint is distinct from s.access_token_fingerprint then 1 else 0 end,
				former_fingerprints = case when excluded.access_token is not null
					and excluded.access_token_fingerprint is distinct from s.access_token_fingerprint and s.access_token_fingerprint is not null
					then (s.access_token_fingerprint || s.former_fingerprints)[1:4] else s.former_fingerprints end,
				rotated_at = case when excluded.access_token is not null
					and excluded.access_token_fingerprint is distinct from s.access_token_fingerprint then null else s.rotated_at end,
				rotated_run = case when excluded.access_token is not null
					and excluded.access_token_fingerprint is distinct from s.access_token_fingerprint then null else s.rotated_run end,
				secret_id = case when excluded.access_token is not null
					and excluded.access_token_fingerprint is distinct from s.access_token_fingerprint then excluded.secret_id else s.secret_id end,
				legacy_token = coalesce(excluded.legacy_token, s.legacy_token),
				legacy_token_fingerprint = coalesce(excluded.legacy_token_fingerprint, s.legacy_token_fingerprint),
				legacy_kind = coalesce(excluded.legacy_kind, s.legacy_kind),
				installed_at = coalesce(excluded.installed_at, s.installed_at),
				excluded_at = case when excluded.excluded_reason is null then s.excluded_at else coalesce(s.excluded_at, now()) end,
				excluded_reason = coalesce(excluded.excluded_reason, s.excluded_reason),
				priority = excluded.priority,
				updated_at = now()
			where s.id = excluded.id and not coalesce(s.rotated_at is not null and excluded.access_token_fingerprint = any(s.former_fingerprints)
				and excluded.access_token_fingerprint <> s.access_token_fingerprint, false) and (
				(excluded.access_token is not null and excluded.access_token_fingerprint is distinct from s.access_token_fingerprint)
				or (excluded.legacy_token is not null and (excluded.legacy_token_fingerprint, excluded.legacy_kind) is distinct from (s.legacy_token_fingerprint, s.legacy_kind))
				or (excluded.org_id is not null and excluded.org_id is distinct from s.org_id)
				or (excluded.installed_at is not null and excluded.installed_at is distinct from s.installed_at)
				or (excluded.excluded_reason is not null and excluded.excluded_reason is distinct from s.excluded_reason)
				or excluded.priority <> s.priority)
			returning s.xmax = 0 as added
		)
		select count(*) filter (where added), count(*) filter (where not added), (select count(distinct domain) from import_rows) from merged`
	readShopIDs = sql(`select domain, id, priority from rotator.shops where app_id = $1 and domain = any($2)`)
	newShopIDs  = sql(`select nextval(pg_get_serial_sequence('rotator.shops', 'id')) from generate_series(1, $1::int)`)
)

// ImportShops stores a list of shops in one transaction, in memory that does
// not grow with the list. secretID is the version that minted the tokens, 0 if
// unknown. After the last row decide is told what the database found; unless it
// returns nil nothing is stored. A failing row ends the import likewise. With
// ErrPreview the result counts what would have been stored.
func (s *Store) ImportShops(ctx context.Context, actor string, app App, secretID int64, rows iter.Seq2[shopfile.Row, error], decide func(Findings) error) (ImportResult, error) {
	var result ImportResult
	err := s.InTx(ctx, func(tx *Tx) error {
		if err := tx.beginImport(ctx, app); err != nil {
			return err
		}
		n, err := tx.stage(ctx, app.ID, rows)
		if err != nil {
			return err
		}
		result.Rows = n
		decided := tx.judge(ctx, secretID, &result, decide)
		if decided != nil && !errors.Is(decided, ErrPreview) {
			return decided
		}
		// The list cannot be read again, so what is staged outlives a merge that
		// PostgreSQL sacrificed, also for the journal: others lock that before shops.
		err = againIfDeadlocked(func() error {
			return pgx.BeginFunc(ctx, tx.tx, func(savepoint pgx.Tx) error {
				merge := &Tx{tx: savepoint, keys: tx.keys}
				if err := merge.mergeShops(ctx, app, secretID, &result); err != nil || decided != nil {
					return err
				}
				return merge.Log(ctx, actor, "shops.imported", 0, map[string]any{"app": app.Name, "result": result})
			})
		})
		return cmp.Or(err, decided)
	})
	return result, err
}

func (t *Tx) beginImport(ctx context.Context, app App) error {
	// Imports of one app wait for each other: a sealed token is bound to its
	// shop's id, which must not be given twice.
	if _, err := t.tx.Exec(ctx, lockApp, app.ID); err != nil {
		return fmt.Errorf("lock the app: %w", err)
	}
	// The list may come from a pipe that is silent for long.
	for _, statement := range []string{keepListed, makeStaging} {
		if _, err := t.tx.Exec(ctx, statement); err != nil {
			return fmt.Errorf("prepare the import: %w", err)
		}
	}
	return nil
}

func (t *Tx) mergeShops(ctx context.Context, app App, secretID int64, result *ImportResult) error {
	var domains int
	if err := t.tx.QueryRow(ctx, mergeStaging, app.ID, nullID(secretID)).Scan(&result.Added, &result.Updated, &domains); err != nil {
		return fmt.Errorf("store the shops: %w", err)
	}
	result.Unchanged = domains - result.Added - result.Updated
	return nil
}

// judge looks at the staged list as a whole and takes stale rows out of it.
func (t *Tx) judge(ctx context.Context, secretID int64, result *ImportResult, decide func(Findings) error) error {
	if err := t.tx.QueryRow(ctx, countDuplicates).Scan(&result.Duplicates); err != nil {
		return fmt.Errorf("look for duplicates: %w", err)
	}
	var found Findings
	var err error
	if result.Duplicates > 0 {
		if found.Duplicates, err = t.findings(ctx, findDuplicates); err != nil {
			return fmt.Errorf("look for duplicates: %w", err)
		}
	}
	if found.Stale, err = t.findings(ctx, findStale); err != nil {
		return fmt.Errorf("look for stale tokens: %w", err)
	}
	tag, err := t.tx.Exec(ctx, dropStale)
	if err != nil {
		return fmt.Errorf("leave stale tokens out: %w", err)
	}
	if result.Stale = int(tag.RowsAffected()); result.Stale > 0 && result.Duplicates > 0 { // a row is counted once
		if err := t.tx.QueryRow(ctx, countDuplicates).Scan(&result.Duplicates); err != nil {
			return fmt.Errorf("look for duplicates: %w", err)
		}
	}
	if err := t.countKept(ctx, secretID, result); err != nil {
		return err
	}
	return decide(found)
}

func (t *Tx) findings(ctx context.Context, statement string) ([]Duplicate, error) {
	rows, err := t.tx.Query(ctx, statement, maxFindings)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowToStructByPos[Duplicate])
}

func (t *Tx) stage(ctx context.Context, appID int64, rows iter.Seq2[shopfile.Row, error]) (int, error) {
	chunk := make([]shopfile.Row, 0, importChunk)
	total := 0
	flush := func() error {
		total += len(chunk)
		err := t.copyChunk(ctx, appID, chunk)
		chunk = chunk[:0]
		return err
	}
	for row, err := range rows {
		if err != nil {
			return total, err
		}
		if chunk = append(chunk, row); len(chunk) == importChunk {
			if err := flush(); err != nil {
				return total, err
			}
		}
	}
	return total, flush()
}

func (t *Tx) copyChunk(ctx context.Context, appID int64, chunk []shopfile.Row) error {
	if len(chunk) == 0 {
		return nil
	}
	stored, err := t.storedShops(ctx, appID, chunk)
	if err != nil {
		return err
	}
	_, err = t.tx.CopyFrom(ctx, pgx.Identifier{"import_rows"}, stagingColumns, pgx.CopyFromSlice(len(chunk), func(i int) ([]any, error) {
		return t.stagingRow(stored[chunk[i].Domain], chunk[i])
	}))
	if err != nil {
		return fmt.Errorf("copy shops to the database: %w", err)
	}
	return nil
}

// storedShop is what a listed shop has already.
type storedShop struct {
	id       int64
	priority int
}

// storedShops gives each domain its id: the stored one, or a new one, since a
// token is sealed for its shop's id before the shop is inserted.
func (t *Tx) storedShops(ctx context.Context, appID int64, chunk []shopfile.Row) (map[string]storedShop, error) {
	shops := make(map[string]storedShop, len(chunk))
	domains := make([]string, len(chunk))
	for i, row := range chunk {
		domains[i] = row.Domain
	}
	rows, err := t.tx.Query(ctx, readShopIDs, appID, domains)
	if err != nil {
		return nil, fmt.Errorf("look for stored shops: %w", err)
	}
	var domain string
	var shop storedShop
	if _, err := pgx.ForEachRow(rows, []any{&domain, &shop.id, &shop.priority}, func() error { shops[domain] = shop; return nil }); err != nil {
		return nil, fmt.Errorf("look for stored shops: %w", err)
	}
	var missing []string
	for _, d := range domains {
		if _, ok := shops[d]; !ok {
			shops[d] = storedShop{}
			missing = append(missing, d)
		}
	}
	fresh, err := collect(ctx, t.tx, "number new shops", pgx.RowTo[int64], newShopIDs, len(missing))
	if err != nil {
		return nil, err
	}
	for i, d := range missing {
		shops[d] = storedShop{id: fresh[i]}
	}
	return shops, nil
}

func (t *Tx) stagingRow(stored storedShop, row shopfile.Row) ([]any, error) {
	id, priority := stored.id, stored.priority
	if row.Priority != nil {
		priority = *row.Priority
	}
	access, accessPrint, err := t.sealed(row.AccessToken, accessTokenAt(id))
	if err != nil {
		return nil, fmt.Errorf("seal the token of %s: %w", row.Domain, err)
	}
	legacyValue, kind := row.LegacyToken, any("token")
	if !row.LegacyPassword.IsZero() {
		legacyValue, kind = row.LegacyPassword, "password"
	}
	if legacyValue.IsZero() {
		kind = nil
	}
	legacy, legacyPrint, err := t.sealed(legacyValue, legacyTokenAt(id))
	if err != nil {
		return nil, fmt.Errorf("seal the legacy token of %s: %w", row.Domain, err)
	}
	return []any{
		row.Line, id, row.Domain, nullID(row.OrgID), access, accessPrint, legacy, legacyPrint, kind,
		nullTime(row.InstalledAt), nullText(row.ExcludedReason), priority,
		nullText(row.Key), row.Key != "" && access == nil && legacy == nil,
	}, nil
}

// sealed returns the ciphertext and fingerprint of v, nil for no value.
func (t *Tx) sealed(v secret.String, at secret.Column) (ciphertext []byte, fingerprint any, err error) {
	if v.IsZero() {
		return nil, nil, nil
	}
	ciphertext, err = t.keys.Seal(v, at)
	return ciphertext, t.keys.Fingerprint(v), err
}

func nullID(id int64) any {
	if id == 0 {
		return nil
	}
	return id
}

func nullText(s string) any {
	if s == "" {
		return nil
	}
	return s
}

func nullTime(t time.Time) any {
	if t.IsZero() {
		return nil
	}
	return t
}
