package store

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
)

// ServerFacts describe a PostgreSQL server and the database on it.
type ServerFacts struct {
	// Version is the server's own, such as 15.14.
	Version string
	// Encoding of the database; rotator needs UTF8.
	Encoding string
	// Bytes is the size of the database on disk.
	Bytes int64
	// Now is the server's clock.
	Now time.Time
}

var readServer = sql(`select current_setting('server_version'), current_setting('server_encoding'),
	pg_database_size(current_database()), clock_timestamp()`)

// Server asks for the facts of the server. It needs no schema and no keyring.
func Server(ctx context.Context, pool *pgxpool.Pool) (ServerFacts, error) {
	var f ServerFacts
	if err := pool.QueryRow(ctx, readServer).Scan(&f.Version, &f.Encoding, &f.Bytes, &f.Now); err != nil {
		return f, fmt.Errorf("ask the database about itself: %w", err)
	}
	return f, nil
}
