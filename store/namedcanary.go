package store

import (
	"context"
	"errors"
	"fmt"
)

// MostCanaryShops bounds a canary that is named shop by shop.
const MostCanaryShops = 100

var (
	// The walk goes round these: their positions come before its own.
	placeCanary = sql(`with named as (
			select s.id, n.position from unnest($3::text[]) with ordinality as n (domain, position)
			join rotator.shops s on s.app_id = $2 and s.domain = n.domain
			where s.excluded_at is null and s.access_token is not null
		)
		insert into rotator.items (run_id, position, shop_id) select $1, position, id from named`)
	moveStart = sql(`update rotator.runs set last_position = $2 where id = $1 and last_position = 0`)
	lookNamed = sql(`select n.domain, s.id is not null, coalesce(s.excluded_reason, ''), s.access_token is not null
		from unnest($2::text[]) with ordinality as n (domain, position)
		left join rotator.shops s on s.app_id = $1 and s.domain = n.domain order by n.position`)
)

// CheckCanary tells all that is wrong with shops that were named for a canary.
func (s *Store) CheckCanary(ctx context.Context, appID int64, domains []string) error {
	if len(domains) > MostCanaryShops {
		return fmt.Errorf("a canary of %d named shops: name %d at most", len(domains), MostCanaryShops)
	}
	rows, err := s.pool.Query(ctx, lookNamed, appID, domains)
	if err != nil {
		return fmt.Errorf("look for the canary's shops: %w", err)
	}
	defer rows.Close()
	var wrong []error
	seen := map[string]bool{}
	for rows.Next() {
		var domain, excluded string
		var stored, hasToken bool
		if err := rows.Scan(&domain, &stored, &excluded, &hasToken); err != nil {
			return fmt.Errorf("look for the canary's shops: %w", err)
		}
		switch {
		case seen[domain]:
			wrong = append(wrong, fmt.Errorf("canary shop %s is named twice", domain))
		case !stored:
			wrong = append(wrong, fmt.Errorf("canary shop %s is not stored: see `rotator shop list`", domain))
		case excluded != "":
			wrong = append(wrong, fmt.Errorf("canary shop %s is excluded: %s", domain, excluded))
		case !hasToken:
			wrong = append(wrong, fmt.Errorf("canary shop %s has no access token to exchange", domain))
		}
		seen[domain] = true
	}
	return errors.Join(append(wrong, rows.Err())...)
}

// placeCanary gives the shops that were named the first positions of the run.
func (t *Tx) placeCanary(ctx context.Context, r *Run) error {
	n := len(r.Settings.CanaryShops)
	if n == 0 {
		return nil
	}
	tag, err := t.tx.Exec(ctx, placeCanary, r.ID, r.AppID, r.Settings.CanaryShops)
	if err != nil {
		return fmt.Errorf("place the canary's shops: %w", err)
	}
	if tag.RowsAffected() != int64(n) {
		return fmt.Errorf("only %d of %d canary shops can be exchanged: %w", tag.RowsAffected(), n, ErrConflict)
	}
	r.LastPosition = int64(n)
	return t.exactlyOne(ctx, "begin behind the canary", moveStart, r.ID, n)
}
