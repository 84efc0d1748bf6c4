package store_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/shopfile"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

func (r *rig) sweep(t *testing.T) {
	t.Helper()
	run := r.reread(t)
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Sweep(ctx, run) })
	r.reread(t)
}

// again lets one due item go the whole way once more, as a worker would.
func (r *rig) again(t *testing.T) store.Claim {
	t.Helper()
	var due []store.Due
	r.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		due, err = tx.DispatchDue(ctx, r.run.ID, 10, time.Minute)
		return err
	})
	if len(due) != 1 {
		t.Fatalf("%d items are due, want 1", len(due))
	}
	c, err := r.ClaimDue(t.Context(), due[0], r.worker, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// Ids are handed out before commit: a shop may appear behind the cursor.
func TestAShopThatAppearsBehindTheWalkIsSwept(t *testing.T) {
	t.Parallel()
	r := newRig(t, 0)
	ids := make(chan int64)
	commit := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		done <- r.InTx(context.Background(), func(tx *store.Tx) error {
			var id int64
			err := tx.Pgx().QueryRow(context.Background(), "insert into rotator.shops (app_id, domain) values ($1, 'slow.myharavan.com') returning id", r.app.ID).Scan(&id)
			ids <- id
			<-commit
			return err
		})
	}()
	slow := <-ids
	r.Import(t, r.app, storetest.Fleet(5)) // higher ids, committed first
	r.walk(t)
	close(commit)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if behind := r.reread(t).WalkCursor; behind <= slow {
		t.Fatalf("the cursor is at %d, the slow shop at %d: the test is void", behind, slow)
	}
	r.enter(t, rotation.PhaseExchanging)
	r.release(t, 1)
	exec(t, r.DB, "update rotator.items set state = 'proven', proven_at = now()")
	exec(t, r.DB, "update rotator.batches set settled_at = now()")
	if s := r.snapshot(t, store.Engine); s.LateInstalls != 1 {
		t.Fatalf("%d late installs, want 1", s.LateInstalls)
	}
	r.sweep(t)
	covered(t, r, 6)
	if i := r.item(t, "slow.myharavan.com"); i.Position != 6 || i.State != rotation.ItemSkipped {
		t.Errorf("swept as %+v", i)
	}
	if s := r.snapshot(t, store.Counted); s.LateInstalls != 0 {
		t.Errorf("%d late installs after the sweep", s.LateInstalls)
	}
}

func TestSweepsAtOnceTakeALateShopOnce(t *testing.T) {
	t.Parallel()
	r := newRig(t, 5)
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	seen := r.run
	r.replace(t, "late-1.myharavan.com", "token", r.run.OldSecretID)
	r.replace(t, "late-2.myharavan.com", "token", r.run.OldSecretID)
	var all sync.WaitGroup
	for range 4 {
		all.Go(func() {
			if err := r.InTx(context.Background(), func(tx *store.Tx) error { return tx.Sweep(context.Background(), seen) }); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	r.reread(t)
	covered(t, r, 7)
	if waves := ask[int](t, r.DB, "select count(*)::int from rotator.waves where name = 'late'"); waves[0] != 1 {
		t.Errorf("%d late waves", waves[0])
	}
	// A sweep that saw the run before the last one must not lose positions.
	r.replace(t, "late-3.myharavan.com", "token", r.run.OldSecretID)
	r.tx(t, func(ctx context.Context, tx *store.Tx) error { return tx.Sweep(ctx, seen) })
	r.reread(t)
	covered(t, r, 8)
}

func TestSettledShopsWhoseTokenNeedsTheOldSecretAreOpenedAgain(t *testing.T) {
	t.Parallel()
	const domain = "shop-0.myharavan.com"
	tests := map[string]struct {
		settle func(*testing.T, *rig, store.Claim)
		change func(*testing.T, *rig)
		want   int
	}{
		"proven stays proven": {
			func(t *testing.T, r *rig, c store.Claim) { r.prove(t, c) },
			func(*testing.T, *rig) {}, 0,
		},
		"proven, then a token of the old secret": {
			func(t *testing.T, r *rig, c store.Claim) { r.prove(t, c) },
			func(t *testing.T, r *rig) { r.replace(t, domain, "other", r.run.OldSecretID) }, 1,
		},
		"proven, then a token of the new secret": {
			func(t *testing.T, r *rig, c store.Claim) { r.prove(t, c) },
			func(t *testing.T, r *rig) { r.replace(t, domain, "other", r.run.NewSecretID) }, 0,
		},
		"proven, replaced and excluded": {
			func(t *testing.T, r *rig, c store.Claim) { r.prove(t, c) },
			func(t *testing.T, r *rig) {
				r.replace(t, domain, "other", r.run.OldSecretID)
				if err := r.Exclude(t.Context(), storetest.Actor, r.app.ID, domain, "x"); err != nil {
					t.Fatal(err)
				}
			}, 0,
		},
		"dead is asked once more": {
			func(t *testing.T, r *rig, c store.Claim) {
				r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemSkipped, Class: rotation.ClassUninstalled, Detail: "gone"})
			},
			func(*testing.T, *rig) {}, 1,
		},
		"dead twice stays skipped": {
			func(t *testing.T, r *rig, c store.Claim) {
				gone := store.Outcome{Claim: c, State: rotation.ItemSkipped, Class: rotation.ClassUninstalled, Detail: "gone"}
				r.write(t, store.Written, gone)
				r.sweep(t)
				gone.Claim = r.again(t)
				r.write(t, store.Written, gone)
			},
			func(*testing.T, *rig) {}, 0,
		},
		"dead, then installed again under the old secret": {
			func(t *testing.T, r *rig, c store.Claim) {
				r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemSkipped, Class: rotation.ClassUninstalled, Detail: "gone"})
			},
			func(t *testing.T, r *rig) { r.replace(t, domain, "other", r.run.OldSecretID) }, 1,
		},
		"excluded when it was tried, taken in again": {
			func(t *testing.T, r *rig, c store.Claim) {
				r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemSkipped, Detail: "excluded: x"})
			},
			func(*testing.T, *rig) {}, 1,
		},
		"waived by name stays waived": {
			func(t *testing.T, r *rig, c store.Claim) {
				r.write(t, store.Written, store.Outcome{Claim: c, State: rotation.ItemParked, Class: rotation.ClassScope, Detail: "x"})
				r.tx(t, func(ctx context.Context, tx *store.Tx) error {
					return tx.Waive(ctx, storetest.Actor, r.run.ID, domain, "x")
				})
			},
			func(t *testing.T, r *rig) { r.replace(t, domain, "other", r.run.OldSecretID) }, 0,
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, l, claims := claimAll(t, 1)
			tt.settle(t, r, claims[0])
			if ok, _, err := r.SettleBatch(t.Context(), l); err != nil || !ok {
				t.Fatal(ok, err)
			}
			tt.change(t, r)
			if s := r.snapshot(t, store.Engine); s.OldVersionShops != tt.want {
				t.Errorf("%d shops need the old secret, want %d", s.OldVersionShops, tt.want)
			}
			r.sweep(t)
			if s := r.snapshot(t, store.Engine); s.OldVersionShops != 0 || s.Counts.Open() != tt.want {
				t.Errorf("after the sweep %d need it, %d are open", s.OldVersionShops, s.Counts.Open())
			}
			if tt.want == 0 {
				return
			}
			r.prove(t, r.again(t))
			if s := r.snapshot(t, store.Engine); s.OldVersionShops != 0 || s.Counts.Proven != 1 {
				t.Errorf("after the second proof: %+v", s.Counts)
			}
		})
	}
}

func TestATokenlessShopThatGotATokenIsTakenIn(t *testing.T) {
	t.Parallel()
	r := newRig(t, 1)
	load := shopfile.Row{Line: 2, Domain: "tokenless.myharavan.com", OrgID: 7}
	if _, err := r.ImportShops(t.Context(), storetest.Actor, r.app, 0, list(load), keepFirst); err != nil {
		t.Fatal(err)
	}
	r.walk(t)
	r.enter(t, rotation.PhaseExchanging)
	if i := r.item(t, load.Domain); i.State != rotation.ItemSkipped {
		t.Fatalf("walked as %s", i.State)
	}
	r.replace(t, load.Domain, "now-it-has-one", r.run.OldSecretID)
	if s := r.snapshot(t, store.Counted); s.OldVersionShops != 1 {
		t.Errorf("%d shops need the old secret, want 1", s.OldVersionShops)
	}
	r.sweep(t)
	r.prove(t, r.again(t))
	if s := r.snapshot(t, store.Counted); s.OldVersionShops != 0 || r.item(t, load.Domain).State != rotation.ItemProven {
		t.Errorf("afterwards: %+v", s.Counts)
	}
}
