package store

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
)

// Codec says how a bound table holds tokens.
type Codec string

const (
	// CodecPlain is the token itself, as text.
	CodecPlain Codec = "plain"
	// CodecSealed is the token sealed with the keyring: base64 in a text
	// column, the bytes in a bytea column.
	CodecSealed Codec = "sealed"
)

// Binding names an app's own table of shops and what rotator needs of it. Names
// are as the catalogue spells them; a column that is not bound is "".
type Binding struct {
	AppID  int64  `json:"-"`
	Schema string `json:"schema"`
	Table  string `json:"table"`
	Key    string `json:"key_column"`
	Domain string `json:"domain_column"`
	Access string `json:"access_token_column,omitempty"`
	Legacy string `json:"legacy_token_column,omitempty"`
	OAuth  string `json:"oauth_token_column,omitempty"`
	// Where is a condition on the rows, in SQL; "" for all rows.
	Where   string    `json:"where,omitempty"`
	Codec   Codec     `json:"codec"`
	BoundBy string    `json:"bound_by,omitempty"`
	BoundAt time.Time `json:"bound_at,omitzero"`
	// ReadAt is when the table was last read as a whole, nil before the first
	// time. LeftOut and Behind are what that reading came to: rows that are bad
	// or name a domain twice, and rows that kept a token which a run replaced.
	ReadAt  *time.Time `json:"read_at,omitempty"`
	LeftOut int        `json:"left_out"`
	Behind  int        `json:"behind"`
}

// Name is the table as people write it, for messages: it is not quoted.
func (b Binding) Name() string { return b.Schema + "." + b.Table }

// tokenColumns are the bound columns that hold tokens.
func (b Binding) tokenColumns() []string {
	var names []string
	for _, name := range []string{b.Access, b.Legacy, b.OAuth} {
		if name != "" {
			names = append(names, name)
		}
	}
	return names
}

// ErrNotBound: the app has no bound table.
var ErrNotBound = errors.New("no table is bound: `rotator shop bind` binds one")

// ErrBoundElsewhere: the token columns are another app's.
var ErrBoundElsewhere = errors.New("another app is bound to the same token columns and rows: name columns of this app's own, or keep the rows of each apart with --where")

const bindingColumns = `app_id, table_schema, table_name, key_column, domain_column, coalesce(access_token_column, ''),
	coalesce(legacy_token_column, ''), coalesce(oauth_token_column, ''), condition, codec, created_by, created_at, synced_at, left_out, behind`

var (
	readBinding    = sql(`select ` + bindingColumns + ` from rotator.bindings where app_id = $1`)
	readRunBinding = sql(`select ` + bindingColumns + ` from rotator.bindings where app_id = (select app_id from rotator.runs where id = $1)`)
	// What a binding to the same table and key knows of its rows stays.
	saveBinding = sql(`insert into rotator.bindings (app_id, table_schema, table_name, key_column, domain_column,
			access_token_column, legacy_token_column, oauth_token_column, condition, codec, created_by)
		values ($1, $2, $3, $4, $5, nullif($6, ''), nullif($7, ''), nullif($8, ''), $9, $10, $11)
		on conflict (app_id) do update set table_schema = excluded.table_schema, table_name = excluded.table_name,
			key_column = excluded.key_column, domain_column = excluded.domain_column, access_token_column = excluded.access_token_column,
			legacy_token_column = excluded.legacy_token_column, oauth_token_column = excluded.oauth_token_column,
			condition = excluded.condition, codec = excluded.codec, created_by = excluded.created_by, created_at = now(), synced_at = null, left_out = 0, behind = 0`)
	// Under another condition the rows are others.
	boundByOther = sql(`select a.name from rotator.bindings b join rotator.apps a on a.id = b.app_id
		where b.app_id <> $1 and b.table_schema = $2 and b.table_name = $3 and b.condition = $4
			and array[b.access_token_column, b.legacy_token_column, b.oauth_token_column] && array[nullif($5, ''), nullif($6, ''), nullif($7, '')]
		order by 1 limit 1`)
	// Two apps must not bind one table at the same time.
	lockBindings = sql(`lock table rotator.bindings in share row exclusive mode`)
	dropBinding  = sql(`delete from rotator.bindings where app_id = $1`)
	// Shops that were left out because of their row stay so: who takes them in
	// again does it by name.
	forgetKeys = sql(`update rotator.shops set bound_key = null, unbound_at = null, updated_at = now()
		where app_id = $1 and (bound_key is not null or unbound_at is not null)`)
)

// Binding is the app's binding; ErrNotBound if it has none.
func (s *Store) Binding(ctx context.Context, appID int64) (Binding, error) {
	return binding(ctx, s.pool, appID)
}

func binding(ctx context.Context, q querier, appID int64) (Binding, error) {
	return bindingBy(ctx, q, readBinding, appID)
}

// runBinding is the binding of the run's app, ErrNotBound if it has none.
func runBinding(ctx context.Context, q querier, runID int64) (Binding, error) {
	return bindingBy(ctx, q, readRunBinding, runID)
}

func bindingBy(ctx context.Context, q querier, statement string, id int64) (Binding, error) {
	rows, err := q.Query(ctx, statement, id)
	if err != nil {
		return Binding{}, fmt.Errorf("read the binding: %w", err)
	}
	b, err := pgx.CollectExactlyOneRow(rows, pgx.RowToStructByPos[Binding])
	if errors.Is(err, pgx.ErrNoRows) {
		return Binding{}, ErrNotBound
	}
	if err != nil {
		return Binding{}, fmt.Errorf("read the binding: %w", err)
	}
	return b, nil
}

// Bind stores the binding in place of the app's former one, and journals it.
// The caller has had it checked. Rows of another table are matched anew by the
// next reading.
func (s *Store) Bind(ctx context.Context, actor string, app App, b Binding) error {
	return againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			if _, err := tx.tx.Exec(ctx, lockApp, app.ID); err != nil {
				return fmt.Errorf("lock the app: %w", err)
			}
			if err := tx.notAnothers(ctx, app, b); err != nil {
				return err
			}
			was, err := binding(ctx, tx.tx, app.ID)
			if err != nil && !errors.Is(err, ErrNotBound) {
				return err
			}
			if was.Schema != b.Schema || was.Table != b.Table || was.Key != b.Key {
				if _, err := tx.tx.Exec(ctx, forgetKeys, app.ID); err != nil {
					return fmt.Errorf("forget the rows of the former table: %w", err)
				}
			}
			_, err = tx.tx.Exec(ctx, saveBinding, app.ID, b.Schema, b.Table, b.Key, b.Domain, b.Access, b.Legacy, b.OAuth, b.Where, b.Codec, actor)
			if err != nil {
				return fmt.Errorf("store the binding: %w", err)
			}
			return tx.Log(ctx, actor, "app.bound", 0, map[string]any{"app": app.Name, "binding": b})
		})
	})
}

// notAnothers refuses token columns that are another app's: each app would take
// the other's token for one of an install, and put its own in its place.
func (t *Tx) notAnothers(ctx context.Context, app App, b Binding) error {
	if _, err := t.tx.Exec(ctx, lockBindings); err != nil {
		return fmt.Errorf("lock the bindings: %w", err)
	}
	var other string
	err := t.tx.QueryRow(ctx, boundByOther, app.ID, b.Schema, b.Table, b.Where, b.Access, b.Legacy, b.OAuth).Scan(&other)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("look for other apps' bindings: %w", err)
	}
	return fmt.Errorf("bind %s: %w (%s)", b.Name(), ErrBoundElsewhere, other)
}

// Unbind forgets the app's binding. The table keeps its tokens, rotator its
// shops. ErrNotBound if there is none.
func (s *Store) Unbind(ctx context.Context, actor string, app App) error {
	return againIfDeadlocked(func() error {
		return s.InTx(ctx, func(tx *Tx) error {
			if _, err := tx.tx.Exec(ctx, lockApp, app.ID); err != nil {
				return fmt.Errorf("lock the app: %w", err)
			}
			b, err := binding(ctx, tx.tx, app.ID)
			if err != nil {
				return err
			}
			for _, statement := range []string{dropBinding, forgetKeys} {
				if _, err := tx.tx.Exec(ctx, statement, app.ID); err != nil {
					return fmt.Errorf("forget the binding: %w", err)
				}
			}
			return tx.Log(ctx, actor, "app.unbound", 0, map[string]any{"app": app.Name, "table": b.Name()})
		})
	})
}
