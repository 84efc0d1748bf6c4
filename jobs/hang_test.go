package jobs_test

import (
	"errors"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/pgembed"
)

// A server that hangs breaks no connection: until it is missed, each shop that is
// under way may get a token, and no other.
func TestPostgresHangsForTenSeconds(t *testing.T) {
	t.Parallel()
	const shops = 1500
	r, cluster := midwayOnMortal(t, shops)
	resume := r.hang(cluster)
	before := r.sim.Counts().Minted
	<-time.After(7 * time.Second)
	noticed := r.sim.Counts().Minted
	if n := noticed - before; n > 4*64 {
		t.Errorf("%d tokens were made while they could not be stored", n)
	}
	<-time.After(3 * time.Second)
	if n := r.sim.Counts().Minted - noticed; n > 0 {
		t.Errorf("%d tokens were made after the server hung for seven seconds", n)
	}
	resume()
	r.allBack(shops)
}

// hang stops all processes of the server until resume, which may be called twice.
func (r *rig) hang(cluster *pgembed.Cluster) (resume func()) {
	r.t.Helper()
	conn, err := r.db.Pool.Acquire(r.ctx)
	r.must(err)
	defer conn.Release()
	all := []int{cluster.PID()}
	resume = sync.OnceFunc(func() {
		for _, pid := range all {
			if err := syscall.Kill(pid, syscall.SIGCONT); err != nil && !errors.Is(err, syscall.ESRCH) {
				r.t.Error(err)
			}
		}
	})
	r.t.Cleanup(resume)
	r.must(syscall.Kill(cluster.PID(), syscall.SIGSTOP)) // it first, so that none is added
	var others []int
	r.must(conn.QueryRow(r.ctx, `select array_agg(pid) from pg_stat_activity`).Scan(&others))
	all = append(all, others...)
	for _, pid := range others {
		r.must(syscall.Kill(pid, syscall.SIGSTOP))
	}
	return resume
}
