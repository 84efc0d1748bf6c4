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
	// A token that was proven or adopted, after the cutover, is its shop's own by
	// now. One that was refused, or is another shop's, will never be, nor one beside
	// which the shop came to an OAuth token. One that was derived from another legacy
	// credential than the shop's present one is about to be replaced.
	readDerived = sql(`select i.run_id, i.position, i.shop_id, s.domain, i.new_token, case when i.new_token is null then s.access_token end
		from rotator.items i join rotator.shops s on s.id = i.shop_id
		where i.run_id = $1 and i.position > $2 and ` + hasDerived + ` and not ` + refusedDerived + ` and not (` + needsDerivation + `) order by i.position limit $3`)
	countRefused = sql(`select count(*) from rotator.items i join rotator.shops s on s.id = i.shop_id
		where i.run_id = $1 and ` + hasDerived + ` and ` + refusedDerived)
	countUnderived = sql(`select count(*) from rotator.items i
		where i.run_id = $1 and i.new_token is null and i.state in ('pending', 'claimed', 'retrying', 'unknown')`)
)

const (
	hasDerived = `(i.new_token is not null and (s.access_token is null or s.access_token_fingerprint = s.derived_fingerprint)
		or i.state in ('proven', 'skipped', 'waived') and s.access_token_fingerprint = s.derived_fingerprint)`
	refusedDerived = `coalesce(i.class in ('wrong_shop', 'unauthorized'), false)`
)

// ExportDerived calls yield for every shop of the app's open token migration
// that has a derived token, with its domain and that token alone, in the order
// of the walk, and tells what it left out. ErrNotFound when no token migration is
// open, or it ended meanwhile: then the list is not complete.
func (s *Store) ExportDerived(ctx context.Context, appID int64, yield func(shopfile.Row) error) (left DerivedLeft, err error) {
	run, err := s.openMigration(ctx, appID)
	if err != nil {
		return left, err
	}
	err = exportPages(yield, func(after *int64) ([]shopfile.Row, error) {
		scan := func(row pgx.CollectableRow) (shopfile.Row, error) { return s.derivedRow(row, after) }
		return collect(ctx, s.pool, "read derived tokens", scan, readDerived, run, *after, exportPage)
	})
	if err != nil {
		return left, err
	}
	if err := s.pool.QueryRow(ctx, countRefused, run).Scan(&left.Refused); err != nil {
		return left, fmt.Errorf("count refused tokens: %w", err)
	}
	var late int
	if err := s.pool.QueryRow(ctx, countUnderived, run).Scan(&left.Underived); err != nil {
		return left, fmt.Errorf("count shops to derive: %w", err)
	}
	if err := s.pool.QueryRow(ctx, lateLegacy, run, appID).Scan(&late); err != nil {
		return left, fmt.Errorf("count late legacy shops: %w", err)
	}
	left.Underived += late
	// A cancel takes derived tokens away page by page.
	if still, err := s.openMigration(ctx, appID); err != nil || still != run {
		return left, fmt.Errorf("run %d ended during the export, the list is not complete: %w", run, ErrNotFound)
	}
	return left, nil
}

// DerivedLeft counts shops of a token migration whose token ExportDerived left out.
type DerivedLeft struct {
	// Refused have one that the platform refused, or that answered as another shop.
	Refused int
	// Underived have none yet, or one of another legacy credential than their present
	// one: a worker derives it.
	Underived int
}

func (s *Store) openMigration(ctx context.Context, appID int64) (run int64, err error) {
	err = s.pool.QueryRow(ctx, openMigration, appID, rotation.KindTokenMigration).Scan(&run)
	return run, one(err, "an open token migration")
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
