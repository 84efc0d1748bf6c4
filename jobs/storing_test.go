package jobs

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// One group that cannot be written, for a locked row or its own fault, must not
// stop the exchanges of all; a database that answers nothing must.
func TestWhatCountsAsADatabaseThatTakesNoWrites(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{flusher: &Flusher{}, begin: time.Now()}
		is := func(want bool, when string) {
			t.Helper()
			if e.storing() != want {
				t.Errorf("%s: storing is %v", when, !want)
			}
		}
		time.Sleep(time.Second)
		is(true, "at first")
		since := time.Now()
		e.flusher.failing.Store(&since)
		is(false, "when a group failed")
		time.Sleep(time.Second)
		e.beaten()
		is(true, "when a beat got through after it")
		e.flusher.failing.Store(nil)
		time.Sleep(beatPatience + time.Second)
		is(false, "without a beat for long")
		e.beaten()
		is(true, "with a beat again")
	})
}

func TestAnExchangeWaitsUntilItCanBeStored(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{flusher: &Flusher{}, begin: time.Now(), pace: NewPace(1)}
		r := &runState{id: 1, control: &store.Control{RunID: 1, Phase: rotation.PhaseExchanging, RefreshTokenID: 1}, windowEnds: time.Now().Add(time.Hour)}
		a := &attempt{engine: e, run: r, until: time.Now().Add(time.Minute)}
		if waited, err := a.storable(); waited || err != nil {
			t.Fatalf("waited %v, %v", waited, err)
		}
		time.Sleep(time.Second)
		since := time.Now()
		e.flusher.failing.Store(&since)
		time.AfterFunc(3*time.Second, func() { e.flusher.failing.Store(nil) })
		waited, err := a.storable()
		if took := time.Since(since); !waited || err != nil || took < 3*time.Second || took > 4*time.Second {
			t.Errorf("waited %v for %s, %v", waited, took, err)
		}
		e.flusher.failing.Store(&since)
		e.draining.Store(true)
		if _, err := a.storable(); err != errDraining {
			t.Errorf("a drain: %v", err)
		}
	})
}

func TestAPanicSetsOneShopAside(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	e := &Engine{flusher: &Flusher{gather: newGathering()}, crew: newCrew(1, 1), log: slog.New(slog.NewTextHandler(&log, nil))}
	for tries, want := range map[int]rotation.ItemState{1: rotation.ItemUnknown, attemptsNetwork: rotation.ItemParked} {
		a := &attempt{engine: e, run: &runState{id: 1}, claim: store.Claim{Domain: "shop.myharavan.com", Tries: tries}}
		ended := make(chan bool)
		go func() {
			ended <- a.guard(func(context.Context) bool { panic("shpat_planted") })
		}()
		g := e.flusher.gather.next()
		outcome := g.outcomes[0]
		g.thens[0](store.Written)
		if !<-ended || outcome.State != want || outcome.Class != rotation.ClassOurs {
			t.Errorf("try %d: %+v", tries, outcome.State)
		}
	}
	if strings.Contains(log.String(), "planted") || !strings.Contains(log.String(), "shop.myharavan.com") {
		t.Errorf("log: %s", &log)
	}
}

// A token that is stored outlives a fault in its proof: the one before may be dead.
func TestAPanicInAProofKeepsTheToken(t *testing.T) {
	t.Parallel()
	e := &Engine{flusher: &Flusher{gather: newGathering()}, crew: newCrew(1, 1), log: slog.New(slog.DiscardHandler)}
	for what, a := range map[string]*attempt{
		"of this attempt":    {mintedAt: time.Now()},
		"of the one before":  {claim: store.Claim{New: secret.New("minted")}},
		"at its first tries": {claim: store.Claim{Tries: attemptsNetwork - 1}, mintedAt: time.Now()},
	} {
		a.engine, a.run = e, &runState{id: 1}
		ended := make(chan bool)
		go func() {
			ended <- a.guard(func(context.Context) bool { panic("in a proof") })
		}()
		g := e.flusher.gather.next()
		outcome := g.outcomes[0]
		g.thens[0](store.Written)
		if !<-ended || outcome.State != rotation.ItemExchanged || outcome.Delay == 0 {
			t.Errorf("a token %s: %s after %s", what, outcome.State, outcome.Delay)
		}
	}
}

func TestAPanicKeepsNoPlace(t *testing.T) {
	t.Parallel()
	e := &Engine{pace: NewPace(1), shops: newShopLimits(), flusher: &Flusher{}, crew: newCrew(1, 1), begin: time.Now()}
	r := &runState{id: 1, control: &store.Control{RunID: 1, Phase: rotation.PhaseExchanging, RefreshTokenID: 1}, windowEnds: time.Now().Add(time.Hour)}
	a := &attempt{engine: e, run: r}
	func() {
		defer func() { _ = recover() }()
		_ = a.call(t.Context(), true, func(context.Context) (haravan.Meta, error) { panic("in a call") })
		t.Error("the panic was swallowed")
	}()
	if s := e.pace.State(); s.InFlight != 0 {
		t.Errorf("%d places are kept", s.InFlight)
	}
}

// Controls are read by several goroutines: what was overtaken counts no more.
func TestOvertakenControlsAreLeftOut(t *testing.T) {
	t.Parallel()
	r := &runState{id: 1, control: &store.Control{}, breaker: rotation.NewBreaker(), found: make(chan struct{})}
	looks := store.Control{RunID: 1}
	looks.Settings.WireProbe = true
	at := time.Now()
	r.update(looks, at, at)
	r.update(store.Control{RunID: 1}, at.Add(2*time.Second), at.Add(3*time.Second))
	select {
	case <-r.found:
	default:
		t.Error("the variant was found, and nobody is told")
	}
	r.update(looks, at.Add(time.Second), at.Add(4*time.Second))
	if r.probing() {
		t.Error("it is looked for again")
	}
}
