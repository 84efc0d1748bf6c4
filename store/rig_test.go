package store_test

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

const (
	oldSecret = "hush-the-old-one"
	newSecret = "hush-the-new-one"
)

// rig is a database with one app, its shops and one open run.
type rig struct {
	*storetest.DB
	app    store.App
	run    store.Run
	worker uuid.UUID
}

var oneWave = store.RunSettings{BatchSize: 10, CheckSample: -1, Waves: rotation.WavePolicy{Budget: 0.25}}

// newRig stores n shops and starts a run of one wave in batches of ten.
func newRig(t *testing.T, n int) *rig {
	t.Helper()
	return newRigWith(t, n, oneWave)
}

func newRigWith(t *testing.T, n int, settings store.RunSettings) *rig {
	t.Helper()
	return newRigIn(t, storetest.New(t), "shopbot", n, settings)
}

// newRigIn is a rig in a database that other tests' apps share.
func newRigIn(t *testing.T, db *storetest.DB, app string, n int, settings store.RunSettings) *rig {
	t.Helper()
	r := &rig{DB: db}
	r.app = r.App(t, app, oldSecret, newSecret)
	r.Import(t, r.app, storetest.Fleet(n))
	r.run = r.Run(t, r.app, settings)
	r.worker = r.startWorker(t)
	return r
}

// traced is the database through a pool whose statements tracer sees.
func traced(t *testing.T, db *storetest.DB, tracer pgx.QueryTracer) *storetest.DB {
	t.Helper()
	cfg, err := pgxpool.ParseConfig(db.URL.Reveal())
	if err != nil {
		t.Fatal(err)
	}
	cfg.ConnConfig.Tracer = tracer
	pool, err := pgxpool.NewWithConfig(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return &storetest.DB{Store: store.New(pool, db.Keys), Pool: pool, Keys: db.Keys, URL: db.URL}
}

func (r *rig) startWorker(t *testing.T) uuid.UUID {
	t.Helper()
	id := uuid.New()
	if _, err := r.StartWorker(t.Context(), store.WorkerInfo{ID: id, Host: "host", PID: 1, Version: "test"}); err != nil {
		t.Fatal(err)
	}
	return id
}

// tx runs fn in a transaction that must succeed.
func (r *rig) tx(t *testing.T, fn func(context.Context, *store.Tx) error) {
	t.Helper()
	if err := r.try(t, fn); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) try(t *testing.T, fn func(context.Context, *store.Tx) error) error {
	return r.InTx(t.Context(), func(tx *store.Tx) error { return fn(t.Context(), tx) })
}

// reread brings the rig's run up to date.
func (r *rig) reread(t *testing.T) store.Run {
	t.Helper()
	var err error
	if r.run, err = r.Store.Run(t.Context(), r.run.ID); err != nil {
		t.Fatal(err)
	}
	return r.run
}

// enter moves the run through its phases up to the given one.
func (r *rig) enter(t *testing.T, to rotation.Phase) {
	t.Helper()
	for r.reread(t).Phase != to {
		next, ok := r.run.Course().Forward(r.run.Phase)
		if !ok {
			t.Fatalf("%s is never reached", to)
		}
		r.tx(t, func(ctx context.Context, tx *store.Tx) error {
			return tx.EnterPhase(ctx, storetest.Actor, r.run, next.To, nil)
		})
	}
}

// walk takes every shop into the run and returns the number of pages.
func (r *rig) walk(t *testing.T) int {
	t.Helper()
	for pages := 1; ; pages++ {
		done, err := r.WalkPage(t.Context(), r.run.ID, 7)
		if err != nil {
			t.Fatal(err)
		}
		if done {
			r.reread(t)
			return pages
		}
	}
}

// release releases a wave and returns its grants.
func (r *rig) release(t *testing.T, wave int) []store.Grant {
	t.Helper()
	var grants []store.Grant
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		grants, err = tx.ReleaseWave(ctx, r.run.ID, wave, "test")
		return err
	})
	return grants
}

func (r *rig) take(t *testing.T, g store.Grant) store.Lease {
	t.Helper()
	take := r.TakeBatch
	if run := r.reread(t); run.Kind == rotation.KindTokenMigration && run.Phase.Before(rotation.PhaseCutover) {
		take = r.HoldBatch // as those do who derive
	}
	l, err := take(t.Context(), g, r.worker)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func (r *rig) claim(t *testing.T, l store.Lease) []store.Claim {
	t.Helper()
	claims, err := r.ClaimBatch(t.Context(), l, l.First, 1000, r.worker)
	if err != nil {
		t.Fatal(err)
	}
	return claims
}

// claimOpen takes the run's first batch anew and claims what is open in it.
func (r *rig) claimOpen(t *testing.T) []store.Claim {
	t.Helper()
	grant := ask[int](t, r.DB, "select grant_number from rotator.batches where run_id = $1 and number = 1", r.run.ID)
	return r.claim(t, r.take(t, store.Grant{RunID: r.run.ID, Number: 1, Grant: grant[0]}))
}

// claimAll walks n shops and claims them all under one lease.
func claimAll(t *testing.T, n int) (*rig, store.Lease, []store.Claim) {
	t.Helper()
	r := newRigWith(t, n, store.RunSettings{BatchSize: int64(n), CheckSample: -1, Waves: rotation.WavePolicy{Budget: 0.25}})
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	grants := r.release(t, 1)
	if len(grants) != 1 {
		t.Fatalf("%d grants, want 1", len(grants))
	}
	l := r.take(t, grants[0])
	claims := r.claim(t, l)
	if len(claims) != n {
		t.Fatalf("%d claims, want %d", len(claims), n)
	}
	return r, l, claims
}

// write commits outcomes and fails unless every verdict is the wanted one.
func (r *rig) write(t *testing.T, want store.Verdict, outcomes ...store.Outcome) {
	t.Helper()
	verdicts, err := r.WriteOutcomes(t.Context(), outcomes)
	if err != nil {
		t.Fatal(err)
	}
	for i, v := range verdicts {
		if v != want {
			t.Errorf("outcome %s of position %d: verdict %d, want %d", outcomes[i].State, outcomes[i].Claim.Position, v, want)
		}
	}
}

// fresh is the token that the platform mints for a claim in these tests.
func fresh(c store.Claim) secret.String {
	return secret.New(fmt.Sprintf("fresh-%d-%d", c.Position, c.Attempt))
}

func exchanged(c store.Claim) store.Outcome {
	return store.Outcome{Claim: c, State: rotation.ItemExchanged, New: fresh(c), Latency: 30 * time.Millisecond}
}

func (r *rig) proven(c store.Claim) store.Outcome {
	return store.Outcome{Claim: c, State: rotation.ItemProven, New: fresh(c), Old: c.Current, SecretID: r.run.NewSecretID}
}

// prove carries claims all the way.
func (r *rig) prove(t *testing.T, claims ...store.Claim) {
	t.Helper()
	for _, step := range []func(store.Claim) store.Outcome{exchanged, r.proven} {
		var group []store.Outcome
		for _, c := range claims {
			group = append(group, step(c))
		}
		r.write(t, store.Written, group...)
	}
}

func (r *rig) item(t *testing.T, domain string) store.ItemInfo {
	t.Helper()
	i, err := r.Item(t.Context(), r.run.ID, domain)
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func (r *rig) shop(t *testing.T, domain string) store.Shop {
	t.Helper()
	s, err := r.Shop(t.Context(), r.app.ID, domain)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// token is the shop's current token in the clear.
func (r *rig) token(t *testing.T, domain string) string {
	t.Helper()
	v, err := r.ShopToken(t.Context(), r.app.ID, domain)
	if err != nil {
		t.Fatal(err)
	}
	return v.Reveal()
}

// replace imports another token for one shop, minted by the given secret.
func (r *rig) replace(t *testing.T, domain, token string, secretID int64) {
	t.Helper()
	if _, err := r.ImportShops(t.Context(), storetest.Actor, r.app, secretID, list(row(2, domain, token)), keepFirst); err != nil {
		t.Fatal(err)
	}
}

func (r *rig) snapshot(t *testing.T, d store.Detail) rotation.Snapshot {
	t.Helper()
	s, _, err := r.Snapshot(t.Context(), r.run.ID, d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// exec runs a statement as the superuser of the test.
func exec(t *testing.T, db *storetest.DB, statement string, args ...any) {
	t.Helper()
	if _, err := db.Pool.Exec(t.Context(), statement, args...); err != nil {
		t.Fatalf("%s: %v", statement, err)
	}
}

// ask returns the rows of a query with one column.
func ask[T any](t *testing.T, db *storetest.DB, query string, args ...any) []T {
	t.Helper()
	rows, err := db.Pool.Query(t.Context(), query, args...)
	if err != nil {
		t.Fatal(err)
	}
	all, err := pgx.CollectRows(rows, pgx.RowTo[T])
	if err != nil {
		t.Fatal(err)
	}
	return all
}
