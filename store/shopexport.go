package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopfile"
)

// exportPage shops are read and unsealed at a time.
const exportPage = 2000

// The times tell besides: of what was written before rotated_run was, or beside it by
// a worker of then, and of what the start of a run adopts from a cancelled one.
var readExport = sql(`select id, domain, coalesce(org_id, 0), access_token, legacy_token, coalesce(legacy_kind, ''),
	installed_at, coalesce(excluded_reason, ''), priority from rotator.shops
	where app_id = $1 and id > $2 and ($4 = 0 or rotated_run >= $4 or rotated_at >= $5) order by id limit $3`)

// ExportShops calls yield for every stored shop with its unsealed credentials,
// in the order of their ids.
func (s *Store) ExportShops(ctx context.Context, appID int64, yield func(shopfile.Row) error) error {
	return s.exportSince(ctx, appID, Run{}, yield)
}

// ExportChanged is ExportShops for the shops whose token the run, or a later
// one, has replaced and nobody since. ErrNotFound if the app has no such run.
func (s *Store) ExportChanged(ctx context.Context, appID, runID int64, yield func(shopfile.Row) error) error {
	r, err := s.Run(ctx, runID)
	if err != nil {
		return err
	}
	if r.AppID != appID {
		return fmt.Errorf("run %d of this app: %w", runID, ErrNotFound)
	}
	return s.exportSince(ctx, appID, r, yield)
}

// exportSince exports what since, or a later run, has replaced; all for no run.
func (s *Store) exportSince(ctx context.Context, appID int64, since Run, yield func(shopfile.Row) error) error {
	return exportPages(yield, func(after *int64) ([]shopfile.Row, error) {
		scan := func(row pgx.CollectableRow) (shopfile.Row, error) { return s.exportRow(row, after) }
		return collect(ctx, s.pool, "read shops", scan, readExport, appID, *after, exportPage, since.ID, since.CreatedAt)
	})
}

// exportPages calls yield for every row of the pages that next returns, each of
// which begins after a row and says which is its own last.
func exportPages(yield func(shopfile.Row) error, next func(after *int64) ([]shopfile.Row, error)) error {
	for after := int64(0); ; {
		page, err := next(&after)
		if err != nil {
			return err
		}
		for _, row := range page {
			if err := yield(row); err != nil {
				return err
			}
		}
		if len(page) < exportPage {
			return nil
		}
	}
}

func (s *Store) exportRow(row pgx.CollectableRow, id *int64) (shopfile.Row, error) {
	r := shopfile.Row{Priority: new(int)}
	var access, legacy []byte
	var kind string
	var installed *time.Time
	if err := row.Scan(id, &r.Domain, &r.OrgID, &access, &legacy, &kind, &installed, &r.ExcludedReason, r.Priority); err != nil {
		return r, err
	}
	if installed != nil {
		r.InstalledAt = installed.UTC()
	}
	var err error
	if r.AccessToken, err = s.openOptional(access, accessTokenAt(*id)); err != nil {
		return r, fmt.Errorf("unseal the token of %s: %w", r.Domain, err)
	}
	value, err := s.openOptional(legacy, legacyTokenAt(*id))
	if err != nil {
		return r, fmt.Errorf("unseal the legacy token of %s: %w", r.Domain, err)
	}
	if kind == "password" {
		r.LegacyPassword = value
	} else {
		r.LegacyToken = value
	}
	return r, nil
}

// openOptional unseals a column that may be null.
func (s *Store) openOptional(sealed []byte, at secret.Column) (secret.String, error) {
	if sealed == nil {
		return secret.String{}, nil
	}
	return s.keys.Open(sealed, at)
}
