package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/rotation"
)

// needsExchange tells of an item without a stored new token, and its shop, whether it
// will be exchanged: as the attempt decides, whatever state the item is in. A token of
// the new secret is only proven where it is, unless that has shown that it is dead.
const needsExchange = `s.access_token is not null and (s.excluded_at is null or i.acted)
	and (s.secret_id is distinct from $2 or i.class = 'unauthorized')`

// Open items are those that wait by themselves and those of unsettled batches; the
// fleet is looked at only where none of these needs a refresh token.
var anyNeedsToken = sql(`select exists (select from rotator.items i join rotator.shops s on s.id = i.shop_id
		where i.run_id = $1 and i.next_attempt_at is not null and i.state in ('claimed', 'retrying', 'unknown') and ` + needsExchange + `)
	or exists (select from rotator.batches b join rotator.items i on i.run_id = b.run_id and i.position between b.first_position and b.last_position
			join rotator.shops s on s.id = i.shop_id
		where b.run_id = $1 and b.settled_at is null and i.state in ('pending', 'claimed', 'retrying', 'unknown') and ` + needsExchange + `
			and not exists (select from rotator.minted m where m.run_id = $1 and m.batch = b.number and i.position = any(m.positions)))
	or exists (select from rotator.shops s left join rotator.items i on i.run_id = $1 and i.shop_id = s.id
		where s.app_id = $3 and (i.shop_id is null and s.access_token is not null and s.excluded_at is null and s.secret_id is distinct from $2
			or ` + needsOldSecret + `))`)

// fillNeeds looks whether anything needs a refresh token, once there is none that
// can be used.
func (t *Tx) fillNeeds(ctx context.Context, r Run, s *rotation.Snapshot) error {
	if r.Phase != rotation.PhaseExchanging || s.Window.Left(s.Now) > 0 || !s.WalkDone {
		return nil
	}
	var needs bool
	if err := t.tx.QueryRow(ctx, anyNeedsToken, r.ID, r.NewSecretID, r.AppID).Scan(&needs); err != nil {
		return fmt.Errorf("look for shops that need a refresh token: %w", err)
	}
	s.NoneNeedsToken = !needs
	return nil
}
