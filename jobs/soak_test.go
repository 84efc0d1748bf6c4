package jobs_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os/exec"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
	"github.com/haravan-rotator/rotator/internal/pgembed"
	"github.com/haravan-rotator/rotator/operate"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
	"github.com/haravan-rotator/rotator/store/storetest"
)

var (
	soakFor  = flag.Duration("soak", 0, "how long to do harm to run after run; 0 for one run")
	soakSeed = flag.Uint64("soak.seed", 1, "seed of the first run; the next ones count on")
)

// Whatever happens to workers, server, platform and shops, in any order and at
// the same time: a run whose operator does what `next` says ends with a working
// token for every live shop. The seed decides what is done and when; what it
// meets depends on the machine.
func TestSoak(t *testing.T) {
	t.Parallel()
	end := time.Now().Add(*soakFor)
	var sum soakSum
	for seed := *soakSeed; ; seed++ {
		well := t.Run(fmt.Sprint("seed ", seed), func(t *testing.T) { soakRun(t, seed, &sum) })
		if *soakFor > 0 && well {
			fmt.Println(sum)
		}
		if !well || !time.Now().Before(end) {
			return
		}
	}
}

// soakSum adds up what was done, for who watches a soak.
type soakSum struct {
	runs, shops, harms, kills int
	// again counts tokens that were made beyond one for each shop.
	again int
}

func (s soakSum) String() string {
	return fmt.Sprintf("%d runs of %d shops in all, harmed %d times (%d workers or servers killed): no shop lost, %d exchanged again",
		s.runs, s.shops, s.harms, s.kills, s.again)
}

// soaked is a run that harm is done to.
type soaked struct {
	*rig
	*rand.Rand
	cluster *pgembed.Cluster
	// bound: the shops are in a table of the app's. told is an app that is to
	// acknowledge its tokens, nil for none.
	bound bool
	told  *appServer
	// wanted is how many workers there are as long as nobody kills them.
	wanted  int
	workers []*soakedWorker
	// serverIll while nothing can be stored, platformIll while nothing answers.
	serverIll, platformIll bool
	// cures end harms when they are due.
	cures []cure
	// left is how many harms are still to be done; did counts those that were.
	left int
	did  map[string]int
	// gone shops have no token that anybody stored, excluded ones were taken out
	// of the run, fresh ones were installed while it was open.
	gone, excluded, fresh map[string]bool
	domains               []string
	installs, rules       int
	faults                haravansim.Faults
	// refresh is the refresh token that was made last.
	refresh string
}

type soakedWorker struct {
	*exec.Cmd
	// ended has how its process ended, once it has.
	ended    chan string
	expected bool
}

type cure struct {
	at time.Time
	do func()
}

func soakRun(t *testing.T, seed uint64, sum *soakSum) {
	s := &soaked{Rand: rand.New(rand.NewPCG(seed, 0)), did: map[string]int{}, gone: map[string]bool{}, excluded: map[string]bool{}, fresh: map[string]bool{}}
	cluster, db := mortal(t)
	s.cluster, s.wanted, s.left = cluster, 1+s.IntN(3), 12
	if *soakFor > 0 {
		s.left += s.IntN(100)
	}
	o := slow(300 + s.IntN(1200))
	o.Seed = seed
	if s.IntN(2) == 0 {
		o.Faults = haravansim.Hostile()
	}
	o.Knobs.RepeatReturnsSame = s.IntN(4) == 0
	s.faults = o.Faults
	on, course := rigOn, (*soaked).rotation
	if s.IntN(5) == 0 {
		on, course = legacyRigOn, (*soaked).tokenMigration
	}
	s.rig = on(t, db, o)
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	t.Cleanup(cancel)
	s.ctx, s.domains = ctx, s.rig.domains()
	course(s, seed)
	if _, _, err := s.db.VerifyJournal(s.ctx); err != nil {
		t.Error(err)
	}
	sum.add(s)
	t.Logf("%d shops, %d workers, %s, bound %t, told %t: %v", len(s.domains), s.wanted, s.run.Mode, s.bound, s.told != nil, s.did)
}

func (sum *soakSum) add(s *soaked) {
	sum.runs++
	sum.shops += len(s.domains)
	for what, n := range s.did {
		sum.harms += n
		if strings.HasSuffix(what, " killed") {
			sum.kills += n
		}
	}
	books := s.sim.Counts()
	sum.again += books.Minted - books.ShopsMinted
}

// rotation is a whole rotation, planned or of a leaked secret.
func (s *soaked) rotation(seed uint64) {
	if s.bound = s.IntN(3) == 0; s.bound {
		s.bind()
	}
	if s.IntN(3) == 0 {
		s.told = newApp(s.t, forgetful(seed))
		s.deliverTo(s.told)
	}
	begin := operate.StartOptions{
		RequireDelivery: s.told != nil, BatchSize: int64(20 + s.IntN(200)), InFlight: 16 + s.IntN(48), ByPriority: s.IntN(3) == 0,
	}
	breach := s.IntN(4) == 0
	if breach {
		s.rig.breach(begin)
	} else {
		s.start(begin)
	}
	s.must(s.rearm(s.ctx))
	for done := false; !done; {
		s.harm("proven", func(snap rotation.Snapshot) bool {
			return snap.Phase == rotation.PhaseProven && snap.Certificate || snap.Phase == rotation.PhaseRevoked
		})
		s.heal()
		done = breach || s.revoked()
	}
	s.harm("checked after the revoke", func(snap rotation.Snapshot) bool {
		return snap.Phase == rotation.PhaseRevoked && snap.Revocation.Done()
	})
	s.heal()
	s.judge()
}

// bind moves the fleet into a table of the app's.
func (s *soaked) bind() {
	s.t.Helper()
	for _, statement := range []string{
		`create table public.app_shops (id bigint generated always as identity primary key, shop text not null, access_token text)`,
		`delete from rotator.shops`,
	} {
		_, err := s.db.Pool.Exec(s.ctx, statement)
		s.must(err)
	}
	for shop := range s.sim.Shops {
		_, err := s.db.Pool.Exec(s.ctx, `insert into public.app_shops (shop, access_token) values ($1, $2)`, shop.Domain, shop.AccessToken)
		s.must(err)
	}
	s.must(s.db.Bind(s.ctx, storetest.Actor, s.app, store.Binding{
		Schema: "public", Table: "app_shops", Key: "id", Domain: "shop", Access: "access_token", Codec: store.CodecPlain,
	}))
}

// forgetful is an app that fails now and then, before or after it took a token in.
func forgetful(seed uint64) func(http.ResponseWriter, told) {
	var mu sync.Mutex
	draw := rand.New(rand.NewPCG(seed, 1))
	return func(w http.ResponseWriter, _ told) {
		mu.Lock()
		defer mu.Unlock()
		switch draw.IntN(20) {
		case 0:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 1:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusTooManyRequests)
		default:
			w.WriteHeader(http.StatusNoContent)
		}
	}
}

// harm goes on doing harm until the run is as wanted, and acts as its operator.
func (s *soaked) harm(what string, done func(rotation.Snapshot) bool) {
	s.t.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	next := time.Now()
	for {
		s.cure(time.Now())
		s.hire()
		if !s.serverIll {
			if snap, _, err := s.db.Snapshot(s.ctx, s.run.ID, store.Counted); err == nil {
				if done(snap) {
					return
				}
				s.operate(snap)
			}
		}
		if now := time.Now(); now.After(next) && s.left > 0 {
			harms := s.harms()
			names := slices.Sorted(maps.Keys(harms))
			name := names[s.IntN(len(names))]
			if harms[name]() {
				s.did[name]++
				s.left--
			}
			next = now.Add(time.Duration(100+s.IntN(1200)) * time.Millisecond)
		}
		select {
		case <-ticker.C:
		case <-s.ctx.Done():
			s.heal()
			s.ctx = context.Background()
			snap, _, err := s.db.Snapshot(s.ctx, s.run.ID, store.Counted)
			open, _ := s.db.Items(s.ctx, s.run.ID, []rotation.ItemState{
				rotation.ItemPending, rotation.ItemClaimed, rotation.ItemExchanged, rotation.ItemRetrying, rotation.ItemUnknown, rotation.ItemParked,
			}, 0, 10)
			s.t.Fatalf("never %s: %v; phase %s held %q (%s) next %+v gate %+v counts %+v after %v\nopen: %+v",
				what, err, snap.Phase, snap.Held, snap.HeldWhy, rotation.Next(snap), rotation.Gate(snap), snap.Counts, s.did, open)
		}
	}
}

// operate does what a person would who reads `next`; that it fails is the next
// look's matter.
func (s *soaked) operate(snap rotation.Snapshot) {
	if s.platformIll {
		return
	}
	ctx, cancel := context.WithTimeout(s.ctx, 2*time.Second)
	defer cancel()
	var err error
	switch {
	case snap.Held == rotation.HeldPaused:
		return // whoever paused it resumes it
	case snap.Held == rotation.HeldWindowExpired, snap.Held != rotation.HeldNot && snap.Window.Refused:
		err = s.rearm(ctx)
	case snap.Held != rotation.HeldNot:
		err = s.op.ResumeWith(ctx, s.run.ID, operate.ResumeOptions{AcceptWindows: rotation.VerdictIsWhy(snap)})
	case (snap.Phase == rotation.PhaseExchanging || snap.Phase == rotation.PhaseCutover) && snap.Counts.Open() == 0 && snap.Counts.Parked > 0:
		_, err = s.op.Retry(ctx, s.run.ID, "", "")
	case snap.Phase == rotation.PhaseRevoked && snap.Revocation.Done() && snap.Revocation.OldAlive > 0:
		err = s.op.Confirm(ctx, s.run.ID, rotation.PhaseRevoked, "in a soak", s.app.Name, func(int64, int64) {})
	}
	if err != nil {
		s.log.Info("the operator failed", "error", err)
	}
}

// hire keeps the workers at their number, as a supervisor of services would.
func (s *soaked) hire() {
	s.workers = slices.DeleteFunc(s.workers, func(w *soakedWorker) bool {
		select {
		case how := <-w.ended:
			if !w.expected {
				s.t.Errorf("a worker ended by itself: %s", how)
			}
			return true
		default:
			return false
		}
	})
	for len(s.workers) < s.wanted && !s.serverIll {
		w := &soakedWorker{Cmd: s.process(), ended: make(chan string, 1)}
		go func() {
			// Not of the command, for which the end of the test waits.
			state, err := w.Process.Wait()
			w.ended <- fmt.Sprint(state, err)
		}()
		s.workers = append(s.workers, w)
	}
}

func (s *soaked) cure(now time.Time) {
	for i := 0; i < len(s.cures); i++ {
		if c := s.cures[i]; !c.at.After(now) {
			s.cures = slices.Delete(s.cures, i, i+1)
			i--
			c.do()
		}
	}
}

// heal ends every harm that is not over.
func (s *soaked) heal() {
	s.t.Helper()
	s.cure(time.Now().Add(time.Hour))
}

// after plans a cure within some time of at most the given one.
func (s *soaked) after(most time.Duration, do func()) {
	s.cures = append(s.cures, cure{time.Now().Add(time.Duration(s.Int64N(int64(most)))), do})
}

// revoked revokes the old secret and says so, to a server that may just be coming
// back. It reports false when a shop came in between, for which the run goes on.
func (s *soaked) revoked() bool {
	s.t.Helper()
	if s.sim.Secrets()[0].RevokedAt.IsZero() {
		_, err := s.sim.RevokeSecret(1)
		s.must(err)
	}
	for {
		var refused *operate.Refused
		err := s.op.Confirm(s.ctx, s.run.ID, rotation.PhaseRevoked, "in a soak", s.app.Name, func(int64, int64) {})
		switch {
		case err == nil:
			return true
		case errors.As(err, &refused):
			s.log.Info("the revoke is not confirmed", "error", err)
			return false
		}
		s.must(s.ctx.Err())
	}
}

func (s *soaked) signal(w *soakedWorker, sig syscall.Signal) {
	if err := w.Process.Signal(sig); err != nil {
		s.log.Info("a worker could not be told", "error", err)
	}
}
