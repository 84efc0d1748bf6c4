package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
)

var (
	openMigration = sql(`select id from rotator.runs where app_id = $1 and kind = $2 and closed_at is null and cancelled_at is null`)
	// A token that was proven after the cutover is its shop's own by now.
	readDerived = sql(`select i.run_id, i.position, i.shop_id, s.domain, i.new_token, case when i.state = 'proven' then s.access_token end
		from rotator.items i join rotator.shops s on s.id = i.shop_id
		where i.run_id = $1 and i.position > $2 and (i.new_token is not null or i.state = 'proven') order by i.position limit $3`)
)

// ExportDerived calls yield for every shop of the app's open token migration
// that has a derived token, with its domain and that token alone, in the order
// of the walk. ErrNotFound when no token migration is open.
func (s *Store) ExportDerived(ctx context.Context, appID int64, yield func(shopfile.Row) error) error {
	var run int64
	if err := s.pool.QueryRow(ctx, openMigration, appID, rotation.KindTokenMigration).Scan(&run); err != nil {
		return one(err, "an open token migration")
	}
	return exportPages(yield, func(after *int64) ([]shopfile.Row, error) {
		scan := func(row pgx.CollectableRow) (shopfile.Row, error) { return s.derivedRow(row, after) }
		return collect(ctx, s.pool, "read derived tokens", scan, readDerived, run, *after, exportPage)
	})
}

func (s *Store) derivedRow(row pgx.CollectableRow, position *int64) (shopfile.Row, error) {
	var r shopfile.Row
	var run, shop int64
	var derived, proven []byte
	if err := row.Scan(&run, position, &shop, &r.Domain, &derived, &proven); err != nil {
		return r, err
	}
	at, sealed := newTokenAt(run, *position), derived
	if sealed == nil {
		at, sealed = accessTokenAt(shop), proven
	}
	var err error
	if r.AccessToken, err = s.openOptional(sealed, at); err != nil {
		return r, fmt.Errorf("unseal the derived token of %s: %w", r.Domain, err)
	}
	return r, nil
}
