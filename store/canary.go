package store

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5/pgxpool"
)

var keyringBound = sql(`select exists (select from rotator.keyring)`)

// KeyringBound reports whether a migrated database was ever used with a keyring,
// so that tokens and secrets may be sealed in it. It needs no keyring.
func KeyringBound(ctx context.Context, pool *pgxpool.Pool) (bool, error) {
	var bound bool
	if err := pool.QueryRow(ctx, keyringBound).Scan(&bound); err != nil {
		return false, fmt.Errorf("look for the keyring's canary: %w", err)
	}
	return bound, nil
}
