package jobs

import (
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// callers make calls as fast as they are let, until the test's time is over.
func callers(g *callRate, n int, begun *atomic.Int64, stopped func() error) {
	for range n {
		go func() {
			for {
				if stopped() != nil || g.Wait(true, place{}, stopped) != nil {
					return
				}
				begun.Add(1)
				g.Begun()
				time.Sleep(time.Millisecond)
			}
		}()
	}
}

func TestCallRateIsKeptAndTunedAtOnce(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g callRate
		var begun atomic.Int64
		var over atomic.Bool
		stopped := func() error {
			if over.Load() {
				return errHeld
			}
			return nil
		}
		g.Set(0.1)
		callers(&g, 20, &begun, stopped)
		for _, step := range []struct {
			share       float64
			least, most int64
		}{{20, 195, 205}, {200, 1990, 2030}, {0.5, 4, 30}, {50, 490, 510}} {
			g.Set(step.share)
			before := begun.Load()
			time.Sleep(10 * time.Second)
			if n := begun.Load() - before; n < step.least || n > step.most {
				t.Errorf("%d calls in ten seconds at %v/s", n, step.share)
			}
		}
		g.Set(0)
		before := begun.Load()
		time.Sleep(time.Second)
		if n := begun.Load() - before; n < 19_000 {
			t.Errorf("%d calls in a second without a cap", n)
		}
		// A hold empties the queue long before the next turn.
		g.Set(0.001)
		synctest.Wait()
		over.Store(true)
		time.Sleep(rateLook)
		synctest.Wait()
		if n := g.Queued(); n != 0 {
			t.Errorf("%d still wait for a turn", n)
		}
		g.Set(0)
	})
}

func TestCallRateProvesFirstAndSavesNoTurns(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		var g callRate
		never := func() error { return nil }
		g.Set(1)
		if err := g.Wait(true, place{}, never); err != nil { // its call does not begin
			t.Fatal(err)
		}
		order := make(chan bool, 4)
		for _, exchange := range []bool{true, true, false, false} {
			go func() {
				if g.Wait(exchange, place{}, never) == nil {
					order <- exchange
				}
			}()
			synctest.Wait()
		}
		if !g.Full(0) || g.Queued() != 4 {
			t.Errorf("%d wait", g.Queued())
		}
		time.Sleep(10 * time.Second)
		synctest.Wait()
		if len(order) != 0 {
			t.Fatalf("%d turns were given while none was used", len(order))
		}
		for i := range 4 {
			g.Begun()
			time.Sleep(time.Second)
			synctest.Wait()
			if len(order) != 1 {
				t.Fatalf("turn %d: %d at once", i, len(order))
			}
			if exchange := <-order; exchange != (i >= 2) {
				t.Errorf("turn %d went to an exchange: %v", i, exchange)
			}
		}
		g.Begun()
		if g.Wait(true, place{}, func() error { return errors.New("never asked") }) != nil {
			t.Error("the next turn was not given")
		}
	})
}
