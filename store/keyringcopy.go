package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// eventKeyringVerified is journaled when a copy of the keyring was seen to open
// the database.
const eventKeyringVerified = "keyring.verified"

var lastVerified = sql(`select max(at) from rotator.journal where event = $1 and (detail::jsonb ->> 'key_id')::bigint = $2`)

// OpensCanary reports whether the store's keyring opens the canary, and writes
// nothing. bound is false when the database was never used with a keyring.
func (s *Store) OpensCanary(ctx context.Context) (bound, opens bool, err error) {
	var stored []byte
	err = s.pool.QueryRow(ctx, readCanary).Scan(&stored)
	if errors.Is(err, pgx.ErrNoRows) {
		return false, false, nil
	}
	if err != nil {
		return false, false, fmt.Errorf("read the keyring's canary: %w", err)
	}
	_, err = s.keys.Open(stored, canaryAt)
	return true, err == nil, nil
}

// KeyringVerified journals that a copy of the keyring at path opens what is
// sealed here.
func (s *Store) KeyringVerified(ctx context.Context, actor, path string) error {
	return s.InTx(ctx, func(tx *Tx) error {
		return tx.Log(ctx, actor, eventKeyringVerified, 0, map[string]any{"path": path, "key_id": s.keys.KeyID()})
	})
}

// KeyringCopyAt is when a copy with the key that seals now was last verified,
// zero for never.
func (s *Store) KeyringCopyAt(ctx context.Context) (time.Time, error) {
	var at *time.Time
	if err := s.pool.QueryRow(ctx, lastVerified, eventKeyringVerified, int64(s.keys.KeyID())).Scan(&at); err != nil {
		return time.Time{}, fmt.Errorf("look for a confirmed copy of the keyring: %w", err)
	}
	if at == nil {
		return time.Time{}, nil
	}
	return at.UTC(), nil
}
