package store

import (
	"context"

	"github.com/jackc/pgx/v5"
)

var randomTokens = sql(`select id, domain, access_token from rotator.shops
	where app_id = $1 and access_token is not null and excluded_at is null order by random() limit $2`)

// RandomToken is a shop drawn by chance. Broken tells that its token does not
// open under the keyring.
type RandomToken struct {
	Token
	Broken bool
}

// RandomTokens draws up to n shops, others each time, and unseals their tokens.
func (s *Store) RandomTokens(ctx context.Context, appID int64, n int) ([]RandomToken, error) {
	return collect(ctx, s.pool, "draw shops", func(row pgx.CollectableRow) (RandomToken, error) {
		var t RandomToken
		var sealed []byte
		if err := row.Scan(&t.ShopID, &t.Domain, &sealed); err != nil {
			return t, err
		}
		var err error
		t.Access, err = s.keys.Open(sealed, accessTokenAt(t.ShopID))
		t.Broken = err != nil
		return t, nil
	}, randomTokens, appID, n)
}
