package main

import (
	"context"
	"fmt"
	"strconv"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
)

// shopWorker exchanges and proves one shop and commits the same outcome as the
// engine, with the job, in one transaction of its own.
type shopWorker struct {
	river.WorkerDefaults[shopArgs]
	spec    perShopSpec
	pool    *pgxpool.Pool
	keys    *secret.Keyring
	client  *haravan.Client
	request haravan.ExchangeRequest
}

func newShopWorker(spec perShopSpec, pool *pgxpool.Pool) (*shopWorker, error) {
	keys, err := secret.OpenKeyring(spec.Access.Keyring)
	if err != nil {
		return nil, err
	}
	client, err := newClient(spec.APIURL, spec.InFlight)
	if err != nil {
		return nil, err
	}
	return &shopWorker{spec: spec, pool: pool, keys: keys, client: client, request: haravan.ExchangeRequest{
		ClientID: spec.ClientID, Secret: secret.New(spec.Secret), RefreshToken: secret.New(spec.Refresh),
	}}, nil
}

const (
	readShop = `select s.id, s.domain, s.access_token from rotator.items i join rotator.shops s on s.id = i.shop_id
		where i.run_id = $1 and i.position = $2`
	swapToken = `update rotator.shops set access_token = $2, access_token_fingerprint = $3,
		token_generation = token_generation + 1, secret_id = $4, updated_at = now() where id = $1`
	proveItem = `update rotator.items set state = 'proven', attempt = attempt + 1, claimed_at = now(), exchanged_at = now(),
		proven_at = now(), old_token = $3, latency_ms = $4 where run_id = $1 and position = $2`
)

// Work implements river.Worker.
func (w *shopWorker) Work(ctx context.Context, job *river.Job[shopArgs]) error {
	var id int64
	var sealed []byte
	request := w.request
	if err := w.pool.QueryRow(ctx, readShop, w.spec.RunID, job.Args.Position).Scan(&id, &request.Shop, &sealed); err != nil {
		return fmt.Errorf("read the shop: %w", err)
	}
	at := secret.Column{Table: "shops", Row: strconv.FormatInt(id, 10), Name: "access_token"}
	var err error
	if request.AccessToken, err = w.keys.Open(sealed, at); err != nil {
		return err
	}
	got, err := w.client.Exchange(ctx, request)
	if err != nil {
		return err
	}
	if _, err := w.client.Identity(ctx, request.Shop, got.AccessToken); err != nil {
		return err
	}
	return w.commit(ctx, job, id, at, request.AccessToken, got)
}

func (w *shopWorker) commit(ctx context.Context, job *river.Job[shopArgs], id int64, at secret.Column, former secret.String, got haravan.Exchanged) error {
	fresh, err := w.keys.Seal(got.AccessToken, at)
	if err != nil {
		return err
	}
	row := fmt.Sprintf("%d/%d", w.spec.RunID, job.Args.Position)
	old, err := w.keys.Seal(former, secret.Column{Table: "items", Row: row, Name: "old_token"})
	if err != nil {
		return err
	}
	tx, err := w.pool.Begin(ctx)
	if err != nil {
		return fmt.Errorf("begin: %w", err)
	}
	defer func() { _ = tx.Rollback(ctx) }() // after a commit it does nothing
	if _, err := tx.Exec(ctx, swapToken, id, fresh, w.keys.Fingerprint(got.AccessToken), w.spec.SecretID); err != nil {
		return fmt.Errorf("swap the token: %w", err)
	}
	if _, err := tx.Exec(ctx, proveItem, w.spec.RunID, job.Args.Position, old, got.Meta.Latency.Milliseconds()); err != nil {
		return fmt.Errorf("write the proof: %w", err)
	}
	if _, err := river.JobCompleteTx[*riverpgxv5.Driver](ctx, tx, job); err != nil {
		return fmt.Errorf("complete the job: %w", err)
	}
	return tx.Commit(ctx)
}
