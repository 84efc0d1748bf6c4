package store

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// canaryText is what the canary holds: any fixed text would do.
const canaryText = "rotator keyring canary"

var canaryAt = secret.Column{Table: "keyring", Row: "1", Name: "canary"}

var (
	insertCanary = sql(`insert into rotator.keyring (canary) values ($1) on conflict do nothing`)
	readCanary   = sql(`select canary from rotator.keyring`)
)

// ErrForeignKeyring: the database was first used with another keyring.
var ErrForeignKeyring = errors.New("this keyring is not the one that sealed this database")

// CheckKeyring makes sure that the store's keyring is the one that this
// database was first used with (ErrForeignKeyring). A fresh database is bound to
// it; one that is bound already is only read.
func (s *Store) CheckKeyring(ctx context.Context) error {
	if err := s.VerifyKeyring(ctx); !errors.Is(err, pgx.ErrNoRows) {
		return err
	}
	sealed, err := s.keys.Seal(secret.New(canaryText), canaryAt)
	if err != nil {
		return fmt.Errorf("seal the keyring's canary: %w", err)
	}
	if _, err := s.pool.Exec(ctx, insertCanary, sealed); err != nil {
		return fmt.Errorf("store the keyring's canary: %w", err)
	}
	// Another process may have been faster, with another keyring.
	return s.VerifyKeyring(ctx)
}

// VerifyKeyring is CheckKeyring without binding a fresh database: it only reads.
func (s *Store) VerifyKeyring(ctx context.Context) error {
	var stored []byte
	if err := s.pool.QueryRow(ctx, readCanary).Scan(&stored); err != nil {
		return fmt.Errorf("read the keyring's canary: %w", err)
	}
	if _, err := s.keys.Open(stored, canaryAt); err != nil {
		return fmt.Errorf("%w: point ROTATOR_KEYRING at the right file, nothing was changed: %w", ErrForeignKeyring, err)
	}
	return nil
}
