package store

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/haravan-rotator/rotator/internal/secret"
)

var (
	// ErrNotFound: the row that was named does not exist.
	ErrNotFound = errors.New("not found")
	// ErrConflict: the row is not in the state that the write expected.
	ErrConflict = errors.New("changed meanwhile")
	// ErrRunOpen: another run of the app is open.
	ErrRunOpen = errors.New("another run of this app is open")
	// ErrInDoubt: the connection was lost, or given up, while the server committed.
	ErrInDoubt = errors.New("the database did not say whether it stored the change")
)

// Store reads and writes rotator's tables. It is safe for concurrent use.
type Store struct {
	pool *pgxpool.Pool
	keys *secret.Keyring
	// bound tells that a shop was met whose token is in an app's own table too.
	bound atomic.Bool
}

// New returns a store on a migrated database. keys must have passed CheckKeyring
// before anything is sealed or opened.
func New(pool *pgxpool.Pool, keys *secret.Keyring) *Store { return &Store{pool: pool, keys: keys} }

// Pool is the store's connection pool, for River's client.
func (s *Store) Pool() *pgxpool.Pool { return s.pool }

// Tx is a transaction with the store's statements on it.
type Tx struct {
	tx   pgx.Tx
	keys *secret.Keyring
	// writesBound: the caller of swapTokens writes the bound rows itself.
	writesBound bool
}

// Pgx is the transaction itself, for inserting River jobs in it.
func (t *Tx) Pgx() pgx.Tx { return t.tx }

// InTx runs fn in one transaction and commits it unless fn fails. fn must use
// nothing but the Tx and make no network call.
func (s *Store) InTx(ctx context.Context, fn func(*Tx) error) error {
	committing := false
	err := pgx.BeginFunc(ctx, s.pool, func(tx pgx.Tx) error {
		err := fn(&Tx{tx: tx, keys: s.keys})
		committing = err == nil
		return err
	})
	if err != nil && committing && mayHaveCommitted(err) {
		return fmt.Errorf("%w: %w", ErrInDoubt, err)
	}
	return err
}

// mayHaveCommitted tells of a commit's error that the server may have stored the
// transaction all the same.
func mayHaveCommitted(err error) bool {
	var answer *pgconn.PgError
	if errors.As(err, &answer) {
		return answer.Severity != "ERROR" // it left before it was done
	}
	// The driver also says "conn closed" of a connection that was lost meanwhile.
	neverSent := pgconn.SafeToRetry(err) && !errors.Is(err, pgconn.ErrConnClosed)
	return !errors.Is(err, pgx.ErrTxCommitRollback) && !neverSent
}

// querier is a pool or a transaction, for statements that only read.
type querier interface {
	Query(ctx context.Context, sql string, args ...any) (pgx.Rows, error)
	QueryRow(ctx context.Context, sql string, args ...any) pgx.Row
}

// Connect opens a pool of at most conns connections. name is shown as the
// application's name in pg_stat_activity.
func Connect(ctx context.Context, url secret.String, name string, conns int) (*pgxpool.Pool, error) {
	return connect(ctx, url, name, conns, nil)
}

// ConnectReader is Connect for a command that must not write: PostgreSQL itself
// refuses every write on its connections.
func ConnectReader(ctx context.Context, url secret.String, name string, conns int) (*pgxpool.Pool, error) {
	return connect(ctx, url, name, conns, map[string]string{"default_transaction_read_only": "on"})
}

func poolConfig(url secret.String, name string, conns int, settings map[string]string) (*pgxpool.Config, error) {
	cfg, err := pgxpool.ParseConfig(url.Reveal())
	if err != nil {
		return nil, errors.New("DATABASE_URL cannot be read as a PostgreSQL connection string")
	}
	cfg.MaxConns = int32(max(conns, 2))
	cfg.ConnConfig.RuntimeParams["application_name"] = name
	// The same few statements again and again, none of which has a better plan
	// for some arguments: planning them anew took a twelfth of the server's time.
	cfg.ConnConfig.RuntimeParams["plan_cache_mode"] = "force_generic_plan"
	// None runs so long that compiling it would pay: counting a fleet took three
	// times as long.
	cfg.ConnConfig.RuntimeParams["jit"] = "off"
	// A worker that is cut off must not hold its claims' locks for long.
	cfg.ConnConfig.RuntimeParams["idle_in_transaction_session_timeout"] = "30s"
	maps.Copy(cfg.ConnConfig.RuntimeParams, settings)
	if cfg.ConnConfig.ConnectTimeout == 0 {
		cfg.ConnConfig.ConnectTimeout = 10 * time.Second
	}
	cfg.ConnConfig.DialFunc = dialer(cfg.ConnConfig.ConnectTimeout).DialContext
	return cfg, nil
}

func connect(ctx context.Context, url secret.String, name string, conns int, settings map[string]string) (*pgxpool.Pool, error) {
	cfg, err := poolConfig(url, name, conns, settings)
	if err != nil {
		return nil, err
	}
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("prepare the database pool: %w", err)
	}
	if err := pool.Ping(ctx); err != nil {
		pool.Close()
		return nil, fmt.Errorf("connect to PostgreSQL: %w%s", saidOnce{err}, poolerAdvice(err))
	}
	return pool, nil
}

// poolerAdvice says what to do where PgBouncer refuses what a session of ours
// begins with.
func poolerAdvice(err error) string {
	const protocolViolation = "08P01" // PostgreSQL, "Error Codes"
	var refused *pgconn.PgError
	if errors.As(err, &refused) && refused.Code == protocolViolation && strings.Contains(refused.Message, "startup parameter") {
		return ": this is a connection pooler: connect to the PostgreSQL behind it, or see docs/deployment.md"
	}
	return ""
}

// statements lists the text of every statement in the package, so that one test
// can prepare each against the migrated schema.
var statements []string

// sql registers a statement.
func sql(text string) string {
	statements = append(statements, text)
	return text
}

// collect reads all rows that a statement returns; what says what for, in errors.
func collect[T any](ctx context.Context, q querier, what string, scan pgx.RowToFunc[T], statement string, args ...any) ([]T, error) {
	rows, err := q.Query(ctx, statement, args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	all, err := pgx.CollectRows(rows, scan)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", what, err)
	}
	return all, nil
}

// one turns "no rows" into ErrNotFound naming what was looked for.
func one(err error, what string, args ...any) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, pgx.ErrNoRows):
		return fmt.Errorf("%s: %w", fmt.Sprintf(what, args...), ErrNotFound)
	default:
		return fmt.Errorf("read %s: %w", fmt.Sprintf(what, args...), err)
	}
}

// againIfDeadlocked tries a transaction again that PostgreSQL sacrificed. Late
// outcomes of a batch's former holder and its taking over lock the same items,
// each in an order of its own; to lock all in one order first would cost every
// group of outcomes a statement.
func againIfDeadlocked(try func() error) error {
	const tries, deadlockDetected = 5, "40P01"
	var err error
	for range tries {
		var pg *pgconn.PgError
		if err = try(); !errors.As(err, &pg) || pg.Code != deadlockDetected {
			break
		}
	}
	return err
}

// violates reports whether err is a violation of the named constraint.
func violates(err error, constraint string) bool {
	var pg *pgconn.PgError
	return errors.As(err, &pg) && pg.ConstraintName == constraint
}
