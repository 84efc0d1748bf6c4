package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// Shop describes one stored shop; its token only by fingerprint.
type Shop struct {
	ID             int64      `json:"-"`
	Domain         string     `json:"domain"`
	OrgID          int64      `json:"org_id,omitempty"`
	Fingerprint    string     `json:"access_token_fingerprint,omitempty"`
	Generation     int64      `json:"token_generation"`
	SecretVersion  int        `json:"secret_version,omitempty"`
	LegacyKind     string     `json:"legacy_kind,omitempty"`
	InstalledAt    *time.Time `json:"installed_at,omitempty"`
	ExcludedReason string     `json:"excluded_reason,omitempty"`
	// BoundRow is the key of the shop's row in the app's own table.
	BoundRow string `json:"bound_row,omitempty"`
	// Priority orders runs that go by importance: higher first.
	Priority  int       `json:"priority"`
	UpdatedAt time.Time `json:"updated_at"`
}

const shopColumns = `s.id, s.domain, coalesce(s.org_id, 0), coalesce(s.access_token_fingerprint, ''), s.token_generation,
	coalesce(k.version, 0), coalesce(s.legacy_kind, ''), s.installed_at, coalesce(s.excluded_reason, ''), coalesce(s.bound_key, ''), s.priority, s.updated_at
	from rotator.shops s left join rotator.secrets k on k.id = s.secret_id`

var (
	readShops   = sql(`select ` + shopColumns + ` where s.app_id = $1 and s.id > $2 order by s.id limit $3`)
	readShop    = sql(`select ` + shopColumns + ` where s.app_id = $1 and s.domain = $2`)
	countShops  = sql(`select count(*) from rotator.shops where app_id = $1`)
	sampleShops = sql(`select id, domain, access_token from rotator.shops
		where app_id = $1 and access_token is not null and excluded_at is null order by md5(id::text) limit $2`)
	sampleOthers = sql(`select id, domain, access_token from rotator.shops
		where app_id = $1 and access_token is not null and excluded_at is null and secret_id is distinct from $3 order by md5(id::text) limit $2`)
	sampleOf = sql(`select id, domain, access_token from rotator.shops
		where app_id = $1 and access_token is not null and excluded_at is null and secret_id = $3 order by md5(id::text) limit $2`)
	sampleFormer  = sql(`select s.id, s.domain, i.run_id, i.position, i.old_token ` + formerOf + ` and s.excluded_at is null order by md5(s.id::text) limit $4`)
	readShopToken = sql(`select id, access_token from rotator.shops where app_id = $1 and domain = $2 and access_token is not null`)
)

// Shops lists up to n shops of an app after an id, in the order of their ids.
func (s *Store) Shops(ctx context.Context, appID, after int64, n int) ([]Shop, error) {
	return collect(ctx, s.pool, "read shops", pgx.RowToStructByPos[Shop], readShops, appID, after, n)
}

// Shop returns one shop by its normalised domain.
func (s *Store) Shop(ctx context.Context, appID int64, domain string) (Shop, error) {
	rows, err := s.pool.Query(ctx, readShop, appID, domain)
	if err != nil {
		return Shop{}, fmt.Errorf("read shop %s: %w", domain, err)
	}
	shop, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Shop])
	return shop, one(err, "shop %s", domain)
}

// CountShops is the number of an app's stored shops.
func (s *Store) CountShops(ctx context.Context, appID int64) (int, error) {
	var n int
	if err := s.pool.QueryRow(ctx, countShops, appID).Scan(&n); err != nil {
		return 0, fmt.Errorf("count shops: %w", err)
	}
	return n, nil
}

// Token is a shop with its unsealed token.
type Token struct {
	ShopID int64
	Domain string
	Access secret.String
}

// Sample returns n shops with their tokens, spread over the fleet, the same
// ones each time.
func (s *Store) Sample(ctx context.Context, appID int64, n int) ([]Token, error) {
	return s.sample(ctx, sampleShops, appID, n)
}

// SampleBut is Sample of the shops whose token is not known to be of a secret.
func (s *Store) SampleBut(ctx context.Context, appID, secretID int64, n int) ([]Token, error) {
	return s.sample(ctx, sampleOthers, appID, n, secretID)
}

// SampleFormer is SampleOf by the tokens of the secret from that runs replaced by the
// present ones, of the secret to: some of what LoseSecret would take back.
func (s *Store) SampleFormer(ctx context.Context, appID, to, from int64, n int) ([]Token, error) {
	all, err := collect(ctx, s.pool, "sample former tokens", func(row pgx.CollectableRow) (Token, error) {
		var t Token
		var runID, position int64
		var sealed []byte
		if err := row.Scan(&t.ShopID, &t.Domain, &runID, &position, &sealed); err != nil {
			return t, err
		}
		// One that does not open is of no use to anybody.
		if token, err := s.keys.Open(sealed, oldTokenAt(runID, position)); err == nil {
			t.Access = token
		}
		return t, nil
	}, sampleFormer, appID, to, from, n)
	return slices.DeleteFunc(all, func(t Token) bool { return t.Access.IsZero() }), err
}

// SampleOf is Sample of the shops whose token is of a secret.
func (s *Store) SampleOf(ctx context.Context, appID, secretID int64, n int) ([]Token, error) {
	return s.sample(ctx, sampleOf, appID, n, secretID)
}

func (s *Store) sample(ctx context.Context, statement string, args ...any) ([]Token, error) {
	return collect(ctx, s.pool, "sample shops", func(row pgx.CollectableRow) (Token, error) {
		var t Token
		var sealed []byte
		if err := row.Scan(&t.ShopID, &t.Domain, &sealed); err != nil {
			return t, err
		}
		var err error
		t.Access, err = s.keys.Open(sealed, accessTokenAt(t.ShopID))
		return t, err
	}, statement, args...)
}

// ShopToken unseals the current access token of one shop.
func (s *Store) ShopToken(ctx context.Context, appID int64, domain string) (secret.String, error) {
	var id int64
	var sealed []byte
	if err := s.pool.QueryRow(ctx, readShopToken, appID, domain).Scan(&id, &sealed); err != nil {
		return secret.String{}, one(err, "the token of shop %s", domain)
	}
	v, err := s.keys.Open(sealed, accessTokenAt(id))
	if err != nil {
		return v, fmt.Errorf("unseal the token of %s: %w", domain, err)
	}
	return v, nil
}
