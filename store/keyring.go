package store

import (
	"context"
	"fmt"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// canaryText is what the canary holds: any fixed text would do.
const canaryText = "rotator keyring canary"

var canaryAt = secret.Column{Table: "keyring", Row: "1", Name: "canary"}

var (
	insertCanary = sql(`insert into rotator.keyring (canary) values ($1) on conflict do nothing`)
	readCanary   = sql(`select canary from rotator.keyring`)
)

// CheckKeyring makes sure that the store's keyring is the one that this
// database was first used with. A fresh database is bound to it.
func (s *Store) CheckKeyring(ctx context.Context) error {
	sealed, err := s.keys.Seal(secret.New(canaryText), canaryAt)
	if err != nil {
		return fmt.Errorf("seal the keyring's canary: %w", err)
	}
	if _, err := s.pool.Exec(ctx, insertCanary, sealed); err != nil {
		return fmt.Errorf("store the keyring's canary: %w", err)
	}
	return s.VerifyKeyring(ctx)
}

// VerifyKeyring is CheckKeyring without binding a fresh database: it only reads.
func (s *Store) VerifyKeyring(ctx context.Context) error {
	var stored []byte
	if err := s.pool.QueryRow(ctx, readCanary).Scan(&stored); err != nil {
		return fmt.Errorf("read the keyring's canary: %w", err)
	}
	if _, err := s.keys.Open(stored, canaryAt); err != nil {
		return fmt.Errorf("this keyring is not the one that sealed this database: point ROTATOR_KEYRING at the right file, nothing was changed: %w", err)
	}
	return nil
}
