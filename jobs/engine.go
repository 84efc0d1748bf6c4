package jobs

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/riverqueue/river"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// Config is what a worker process needs.
type Config struct {
	Store *store.Store
	// Client makes the platform's client for an app; its pool must be sized for
	// InFlight calls.
	Client func(store.App, store.RunSettings) (*haravan.Client, error)
	Log    *slog.Logger
	// InFlight caps this process's calls; 0 is store.DefaultInFlight.
	InFlight int
	// Version names the binary in the list of workers.
	Version string
	// Once makes Run return when nothing is left that this worker could do.
	Once bool
	// Started is called once the worker takes jobs; nil for none.
	Started func()
}

// Engine is one worker process.
type Engine struct {
	store  *store.Store
	client func(store.App, store.RunSettings) (*haravan.Client, error)
	log    *slog.Logger
	// loops is the log of what is tried again and again.
	loops *slog.Logger
	// chatter is River's log.
	chatter  *slog.Logger
	inflight int
	version  string
	once     bool
	started  func()

	id        uuid.UUID
	river     *river.Client[pgx.Tx]
	pace      *Pace
	shops     *shopLimits
	flusher   *Flusher
	crew      *crew
	runs      runs
	receivers receivers
	// tails are batches that wait for their last answers.
	tails sync.WaitGroup
	// gaveUp tells that nobody waits for them any more.
	gaveUp atomic.Bool
	here   jobsHere
	clock  databaseClock

	lastBeat atomic.Int64 // nanoseconds since begin
	begin    time.Time
	draining atomic.Bool
	proven   atomic.Int64
	// shared tells that the run's cap, not this process's own, bounds its calls.
	shared atomic.Bool
	waits  waits
	// resumed asks the supervisor to look for batches without a job at once.
	resumed atomic.Bool
	kicked  chan struct{}
	// hurried makes it look even if it has only just done so.
	hurried chan struct{}
	// walked and checked are where the supervisor saw each run's walk and check at
	// its last repair.
	walked, checked stood
	// planned are its last counts of derived tokens to look at, by run.
	planned map[int64]int
	// vectors compares known answers before anything is derived, once.
	vectors func() error
}

const (
	// controlEvery bounds how long an arming, a pause or a tune takes to be seen.
	controlEvery = 100 * time.Millisecond
	beatEvery    = 2 * time.Second
	// beatPatience is how long after a beat the database counts as writable.
	beatPatience = 3 * beatEvery
	// leaseMargin: this worker stops calling before others may take over.
	leaseMargin = 4 * time.Second
	// A batch is left to a fresh job after batchBudget: it claims no more, and
	// after batchPatience besides, whose turn has not come is not sent.
	batchBudget   = 45 * time.Second
	batchPatience = 30 * time.Second
	// batchTimeout is out of any run's reach: a batch that waits for a database
	// that is away must not be given to another job. jobTimeout only guards
	// against bugs. rescueAfter is out of reach: River compares its time.Now with what
	// the server stamped, and would take the jobs of live workers when a clock is set
	// back. Those of dead ones the supervisor finds by their heartbeats.
	batchTimeout = 2 * rotation.WindowLength
	jobTimeout   = 2 * time.Minute
	rescueAfter  = 10 * 365 * 24 * time.Hour
	// itemLease outlives jobTimeout, after which its attempt begins no exchange, so
	// that a live one is never doubled.
	itemLease = jobTimeout + 30*time.Second
	// claimChunk shops are read in one statement, ahead of their calls.
	claimChunk = 500
	// attemptsPerCall is how many shops are under way for each call in flight:
	// while some wait for their commit, others call.
	attemptsPerCall = 4
)

// New prepares a worker. Nothing runs before Run.
func New(c Config) *Engine {
	if c.InFlight == 0 {
		c.InFlight = store.DefaultInFlight
	}
	if c.Started == nil {
		c.Started = func() {}
	}
	e := &Engine{
		store: c.Store, client: c.Client, log: c.Log, inflight: c.InFlight, version: c.Version, once: c.Once, started: c.Started,
		vectors: sync.OnceValue(haravan.CheckVectors),
		id:      uuid.New(), pace: NewPace(c.InFlight), shops: newShopLimits(),
		walked: stood{}, checked: stood{}, planned: map[int64]int{},
		crew: newCrew(c.InFlight, c.InFlight*attemptsPerCall), runs: newRuns(), receivers: newReceivers(c.Version), begin: time.Now(), kicked: make(chan struct{}, 1), hurried: make(chan struct{}, 1),
	}
	sparingly := newSparing(c.Log.Handler())
	e.loops = slog.New(sparingly)
	e.clock.log = c.Log
	e.chatter = slog.New(quiet{sparingly})
	return e
}

// Run works until ctx ends, then drains: calls in flight finish and their
// outcomes are committed, claims that were not sent go back. With Once it ends
// by itself when nothing is left to do.
func (e *Engine) Run(ctx context.Context) error {
	if err := e.signOn(ctx); err != nil {
		return err
	}
	e.beaten()
	e.flusher = NewFlusher(e.store, e.log)
	e.crew.rests = e.flusher.Hurry
	if err := e.takeJobs(ctx); err != nil {
		e.flusher.Close()
		return errors.Join(err, e.signOff(ctx))
	}
	e.started()
	loops, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	beats := make(chan struct{})
	go func() { defer close(beats); e.beatLoop(loops) }()
	polls := make(chan struct{})
	go func() { defer close(polls); newHealthPoller(e).loop(loops) }()
	queues, leave := context.WithCancel(loops)
	left := make(chan struct{})
	go func() { defer close(left); e.queueLoop(queues) }()
	err := e.superviseLoop(ctx)
	e.draining.Store(true)
	// No queue may come or go while River stops.
	leave()
	<-left
	drainErr := e.drain(context.WithoutCancel(ctx))
	stop()
	<-beats
	<-polls
	return errors.Join(err, drainErr, e.signOff(ctx))
}

func (e *Engine) takeJobs(ctx context.Context) (err error) {
	if e.river, err = newClient(e.store, e.chatter, e); err != nil {
		return err
	}
	if err := e.refreshControls(ctx); err != nil {
		return err
	}
	// River's own context must outlive ctx: draining is not cancelling.
	if err := e.river.Start(context.WithoutCancel(ctx)); err != nil {
		return fmt.Errorf("start River: %w", err)
	}
	return nil
}

// signOn makes this worker known to the others.
func (e *Engine) signOn(ctx context.Context) error {
	host, err := os.Hostname()
	if err != nil {
		host = "unknown"
	}
	begin := time.Now()
	now, err := e.store.StartWorker(ctx, store.WorkerInfo{ID: e.id, Host: host, PID: os.Getpid(), Version: e.version, Cap: e.inflight})
	if err == nil {
		e.clock.read(begin, time.Now(), now)
	}
	return err
}

// signOff tells the others that this worker is gone.
func (e *Engine) signOff(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	return e.store.StopWorker(ctx, e.id)
}

// drain lets running jobs end, which they do soon once draining is set.
func (e *Engine) drain(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, jobTimeout)
	defer cancel()
	err := e.river.Stop(ctx)
	if err != nil {
		e.gaveUp.Store(true)
		return fmt.Errorf("stop River: %w", err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); e.tails.Wait() }()
	select {
	case <-ended:
	case <-ctx.Done():
		e.gaveUp.Store(true)
		return fmt.Errorf("wait for the last answers: %w", ctx.Err())
	}
	e.crew.stop()
	e.flusher.Close()
	e.receivers.sender.CloseIdle()
	return nil
}

// beatLoop keeps the controls fresh and the others informed.
func (e *Engine) beatLoop(ctx context.Context) {
	ticker := time.NewTicker(controlEvery)
	defer ticker.Stop()
	var beatAt, away time.Time
	var provenThen int64
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if err := e.refreshControls(ctx); err != nil {
			e.quietly(ctx, "cannot read the runs' controls", err)
			if away.IsZero() {
				away = time.Now()
			}
			continue
		}
		if !away.IsZero() {
			e.log.Info("the database answers again", "after", time.Since(away).Round(time.Second/10))
			away = time.Time{}
		}
		if since := time.Since(beatAt); since >= beatEvery {
			proven := e.proven.Load()
			rate := float64(proven-provenThen) / since.Seconds()
			if beatAt.IsZero() {
				since, rate = 0, 0
			}
			beatAt, provenThen = time.Now(), proven
			e.beat(ctx, rate, since)
		}
	}
}

func (e *Engine) beat(ctx context.Context, rate float64, since time.Duration) {
	sent := time.Now()
	state := e.pace.State()
	now, err := e.store.Beat(ctx, store.WorkerInfo{
		ID: e.id, InFlight: state.InFlight, Limit: state.Limit, ShopsPerS: rate, ThrottledBy: e.throttledBy(state, since),
	})
	switch {
	case err == nil:
		e.clock.read(sent, time.Now(), now)
	case errors.Is(err, store.ErrConflict):
		// It was silent for long enough to be forgotten, with all that it held.
		err = e.signOn(ctx)
	}
	if err != nil {
		e.quietly(ctx, "cannot send the heartbeat", err)
		return
	}
	e.lastBeat.Store(int64(sent.Sub(e.begin)))
}

func (e *Engine) beaten() { e.lastBeat.Store(int64(time.Since(e.begin))) }

// leased reports whether the others still take this worker for alive.
func (e *Engine) leased() bool {
	return time.Since(e.begin)-time.Duration(e.lastBeat.Load()) < store.LiveWithin-leaseMargin
}

// storing reports whether the database takes writes, as far as is known. A beat
// is one: where it gets through, a group that cannot be written is not the
// database's matter, and where none has for long the server may only hang.
func (e *Engine) storing() bool {
	beat := e.begin.Add(time.Duration(e.lastBeat.Load()))
	since, failing := e.flusher.Failing()
	return time.Since(beat) < beatPatience && !(failing && beat.Before(since))
}

// quietly logs, now and then, an error of a loop that goes on; the end of ctx is
// none.
func (e *Engine) quietly(ctx context.Context, what string, err error) {
	if ctx.Err() == nil {
		e.loops.Warn(what, "error", err)
	}
}

// kick makes the supervisor look soon, kickNow at once: for the few moments
// when nobody has anything to do until it did.
func (e *Engine) kick() { knock(e.kicked) }

func (e *Engine) kickNow() { knock(e.hurried) }

// knock leaves one signal, if none is waiting.
func knock(on chan struct{}) {
	select {
	case on <- struct{}{}:
	default:
	}
}
