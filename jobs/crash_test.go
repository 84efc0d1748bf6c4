package jobs_test

import (
	"bufio"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/jobs"
	"github.com/haravan-rotator/rotator/migrations"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

// A worker in a process of its own, so that it can be killed.
const (
	envWorker   = "JOBS_TEST_WORKER_DATABASE"
	envKeyring  = "JOBS_TEST_WORKER_KEYRING"
	envPlatform = "JOBS_TEST_WORKER_PLATFORM"
	ready       = "worker ready"
)

func TestMain(m *testing.M) {
	if url := os.Getenv(envWorker); url != "" {
		if err := workerProcess(url, os.Getenv(envKeyring), os.Getenv(envPlatform)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	storetest.Main(m)
}

func workerProcess(url, keyring, platform string) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM)
	defer stop()
	keys, err := secret.OpenKeyring(keyring)
	if err != nil {
		return err
	}
	pool, err := store.Connect(ctx, secret.New(url), "worker under test", 8)
	if err != nil {
		return err
	}
	defer pool.Close()
	e := jobs.New(jobs.Config{
		Store: store.New(pool, keys), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)), InFlight: 32, Version: "test",
		Started: func() { fmt.Println(ready) },
		Client: func(store.App, store.RunSettings) (*haravan.Client, error) {
			return haravan.New(haravan.Config{APIURL: platform, InFlight: 32, Timeout: 5 * time.Second})
		},
	})
	return e.Run(ctx)
}

// process starts a worker process and returns once it takes jobs.
func (r *rig) process() *exec.Cmd {
	r.t.Helper()
	keyring := filepath.Join(r.t.TempDir(), "keyring.json")
	r.must(r.db.Keys.Save(keyring))
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envWorker+"="+r.db.URL.Reveal(), envKeyring+"="+keyring, envPlatform+"="+r.sim.PlatformURL)
	cmd.Stderr = r.t.Output()
	out, err := cmd.StdoutPipe()
	r.must(err)
	r.must(cmd.Start())
	r.t.Cleanup(func() {
		_ = cmd.Process.Kill() // it may be gone, which is what is wanted
		_ = cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil || line != ready+"\n" {
		r.t.Fatalf("the worker process did not start: %q %v", line, err)
	}
	return cmd
}

func midway(total int) func(rotation.Snapshot) bool {
	return func(s rotation.Snapshot) bool { return s.Counts.Proven > total/5 }
}

// slow is a platform that leaves time to do harm.
func slow(shops int) haravansim.Options {
	return haravansim.Options{Shops: shops, Latency: 15 * time.Millisecond, Jitter: 30 * time.Millisecond}
}

func TestKilledWorkerLosesNothing(t *testing.T) {
	t.Parallel()
	const shops = 1500
	r := newRig(t, slow(shops))
	first := r.process()
	r.start(operate.StartOptions{BatchSize: 100})
	r.arm()
	r.until("midway", midway(shops))
	r.must(first.Process.Kill())
	_ = first.Wait()
	killed := r.sim.Counts()
	r.process()
	snap := r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Counts.Proven != shops {
		t.Errorf("counts: %+v", snap.Counts)
	}
	if n := r.tokens(); n != shops {
		t.Errorf("%d of %d shops hold a proven token of the new secret", n, shops)
	}
	// What was in flight, or claimed but not yet committed, at the kill may be
	// exchanged once more: at most what one worker holds at a time.
	extra := r.sim.Counts().Minted - shops
	t.Logf("killed after %d tokens were minted; %d shops were exchanged again", killed.Minted, extra)
	if most := r.sim.Counts().MostMinted; most > 2 {
		t.Errorf("one kill made a shop be exchanged %d times", most)
	}
	if extra > 2*64+32 {
		t.Errorf("%d exchanges were repeated", extra)
	}
}

func TestFrozenWorkerComesBackLate(t *testing.T) {
	t.Parallel()
	const shops = 1200
	r := newRig(t, slow(shops))
	frozen := r.process()
	r.process()
	r.process()
	r.start(operate.StartOptions{BatchSize: 50, InFlight: 24})
	r.arm()
	r.until("midway", midway(shops))
	r.must(frozen.Process.Signal(syscall.SIGSTOP))
	// The others finish the fleet without it, past its lease.
	r.until("proven", inPhase(rotation.PhaseProven))
	before := r.swaps()
	r.must(frozen.Process.Signal(syscall.SIGCONT))
	r.until("the late worker is back", func(s rotation.Snapshot) bool { return s.Workers == 3 })
	r.drained(frozen)
	r.until("still or again proven", func(s rotation.Snapshot) bool {
		return s.Phase == rotation.PhaseProven && s.Counts.Proven == shops && s.LateExchanges == 0
	})
	if n := r.tokens(); n != shops {
		t.Errorf("%d of %d shops hold a proven token", n, shops)
	}
	t.Logf("token swaps before and after the late worker: %d, %d", before, r.swaps())
}

// Three processes share a fleet; one is killed, one is frozen past its lease and
// comes back late. The platform's books are the judge.
func TestThreeWorkersOfWhichOneDiesAndOneComesBackLate(t *testing.T) {
	t.Parallel()
	const shops = 1500
	r := newRig(t, slow(shops))
	killed, frozen := r.process(), r.process()
	r.process()
	r.start(operate.StartOptions{BatchSize: 50, InFlight: 24})
	r.arm()
	all := r.until("midway, all at work", func(s rotation.Snapshot) bool {
		workers, err := r.db.Workers(r.ctx)
		for _, w := range workers {
			if w.InFlight == 0 {
				return false
			}
		}
		return err == nil && len(workers) == 3 && s.Counts.Proven > shops/5
	})
	r.must(frozen.Process.Signal(syscall.SIGSTOP))
	r.must(killed.Process.Kill())
	_ = killed.Wait()
	alone := r.until("one is left", func(s rotation.Snapshot) bool { return s.Workers == 1 })
	if alone.Now.Sub(all.Now) < store.LiveWithin/2 {
		t.Errorf("the two were given up after %s", alone.Now.Sub(all.Now))
	}
	done := r.until("proven", inPhase(rotation.PhaseProven))
	if done.Counts.Proven != shops {
		t.Errorf("counts: %+v", done.Counts)
	}
	before, stored := r.swaps(), r.stored()
	r.must(frozen.Process.Signal(syscall.SIGCONT))
	r.until("the late worker is back", func(s rotation.Snapshot) bool { return s.Workers == 2 })
	r.drained(frozen)
	r.until("still or again proven", func(s rotation.Snapshot) bool {
		return s.Phase == rotation.PhaseProven && s.Counts.Proven == shops && s.LateExchanges == 0
	})
	if n := r.tokens(); n != shops {
		t.Errorf("%d of %d shops hold a proven token of the new secret", n, shops)
	}
	if r.swaps() == before && !maps.Equal(stored, r.stored()) {
		t.Error("the late worker replaced tokens without a swap")
	}
	books := r.sim.Counts()
	if books.MostMinted > 2 || books.MintedUnderOld > 0 {
		t.Errorf("by the platform's books: %+v", books)
	}
	// What two workers of three had under way may have been made twice.
	if extra := books.Minted - shops; extra > 2*2*24 {
		t.Errorf("%d exchanges were repeated", extra)
	}
	t.Logf("%d exchanges were repeated, %d swaps after the late worker came back", books.Minted-shops, r.swaps()-before)
}

// drained ends a worker that came back late: while it lives, an answer that it
// holds can make a shop of a proven run exchange once more.
func (r *rig) drained(worker *exec.Cmd) {
	r.t.Helper()
	r.must(worker.Process.Signal(syscall.SIGTERM))
	r.must(worker.Wait())
}

// stored are the shops' tokens.
func (r *rig) stored() map[string]string {
	r.t.Helper()
	tokens := map[string]string{}
	for s := range r.sim.Shops {
		token, err := r.db.ShopToken(r.ctx, r.app.ID, s.Domain)
		r.must(err)
		tokens[s.Domain] = token.Reveal()
	}
	return tokens
}

// swaps is how often a shop's token was replaced.
func (r *rig) swaps() (n int) {
	r.t.Helper()
	r.must(r.db.Pool.QueryRow(r.ctx, "select coalesce(sum(token_generation - 1), 0) from rotator.shops").Scan(&n))
	return n
}

func TestDrainLeavesNothingUnknown(t *testing.T) {
	t.Parallel()
	const shops = 1000
	r := newRig(t, slow(shops))
	stop := r.worker()
	r.start(operate.StartOptions{InFlight: 16})
	r.arm()
	r.until("midway", midway(shops))
	stop()
	left := r.until("drained", func(s rotation.Snapshot) bool { return s.Workers == 0 })
	if left.Counts.Claimed+left.Counts.Unknown != 0 || left.Counts.Pending == 0 {
		t.Errorf("after the drain: %+v", left.Counts)
	}
	r.worker()
	r.until("proven", inPhase(rotation.PhaseProven))
	if most := r.sim.Counts().MostMinted; most != 1 {
		t.Errorf("a drained shop was exchanged %d times", most)
	}
	r.tokens()
}

// mortal is a database on a server of its own, which the test may kill.
func mortal(t *testing.T) (*pgembed.Cluster, *storetest.DB) {
	t.Helper()
	cluster, err := pgembed.Ephemeral(t.Context(), pgembed.Options{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cluster.Close() })
	keys, err := secret.NewKeyring()
	if err != nil {
		t.Fatal(err)
	}
	pool, err := store.Connect(t.Context(), secret.New(cluster.URL()), "migrate", 4)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := migrations.Up(t.Context(), pool); err != nil {
		t.Fatal(err)
	}
	pool.Close()
	return cluster, storetest.Open(t, cluster.URL(), keys)
}

// midwayOnMortal is a run of a fleet, midway, on a server that the test may kill.
func midwayOnMortal(t *testing.T, shops int) (*rig, *pgembed.Cluster) {
	t.Helper()
	cluster, db := mortal(t)
	r := rigOn(t, db, slow(shops))
	r.worker()
	r.start(operate.StartOptions{BatchSize: 100, InFlight: 32})
	r.arm()
	r.until("midway", midway(shops))
	return r, cluster
}

// allBack waits until every shop is proven, none exchanged more often than an
// outage explains.
func (r *rig) allBack(shops int) {
	r.t.Helper()
	snap := r.until("proven", inPhase(rotation.PhaseProven))
	if snap.Counts.Proven != shops {
		r.t.Errorf("counts: %+v", snap.Counts)
	}
	if n := r.tokens(); n != shops {
		r.t.Errorf("%d of %d shops hold a proven token", n, shops)
	}
	if most := r.sim.Counts().MostMinted; most > 2 {
		r.t.Errorf("a shop was exchanged %d times", most)
	}
}

func TestPostgresGoneForTenSeconds(t *testing.T) {
	t.Parallel()
	const shops = 1500
	r, cluster := midwayOnMortal(t, shops)
	r.must(cluster.Kill()) // as hard as it gets: every connection breaks at once
	before := r.sim.Counts().Minted
	<-time.After(10 * time.Second)
	if n := r.sim.Counts().Minted - before; n > 3*32 {
		t.Errorf("%d tokens were made while they could not be stored", n)
	}
	r.must(cluster.StartServer(r.ctx))
	r.allBack(shops)
}
