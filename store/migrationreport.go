package store

import (
	"context"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/rotation"
)

// MigrationShop is one shop's row in a token migration, as people are shown it.
type MigrationShop struct {
	Position int64              `json:"-"`
	Domain   string             `json:"domain"`
	State    rotation.ItemState `json:"state"`
	Class    rotation.Class     `json:"class,omitempty"`
	Detail   string             `json:"detail,omitempty"`
	// Kind is "token" or "password", also after the scrub; "" without any.
	Kind      string     `json:"legacy_kind,omitempty"`
	CheckedAt *time.Time `json:"checked_at,omitempty"`
	// Alive is nil as long as nobody asked with the derived token.
	Alive *bool `json:"alive,omitempty"`
}

// A password is its own token, which tells it from the others once it is gone.
var readMigrationShops = sql(`select i.position, s.domain, i.state, coalesce(i.class, ''), coalesce(i.detail, ''),
		coalesce(s.legacy_kind, case when s.derived_from = s.derived_fingerprint then 'password' when s.derived_from is not null then 'token' else '' end),
		i.checked_at, case when i.state = 'proven' then true else i.new_alive end
	from rotator.items i join rotator.shops s on s.id = i.shop_id
	where i.run_id = $1 and i.position > $2 order by i.position limit $3`)

// MigrationShops calls visit for every shop of the run, in order.
func (s *Store) MigrationShops(ctx context.Context, runID int64, visit func(MigrationShop) error) error {
	for after := int64(0); ; {
		page, err := collect(ctx, s.pool, "read the migration's shops", pgx.RowToStructByPos[MigrationShop], readMigrationShops, runID, after, exportPage)
		if err != nil {
			return err
		}
		for _, shop := range page {
			after = shop.Position
			if err := visit(shop); err != nil {
				return err
			}
		}
		if len(page) < exportPage {
			return nil
		}
	}
}
