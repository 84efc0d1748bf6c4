package jobs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// window makes n calls, of which bad end in class, all taking latency.
func window(t *testing.T, p *Pace, n, bad int, class rotation.Class, latency time.Duration) {
	t.Helper()
	for i := range n {
		if err := p.Acquire(t.Context(), true, place{}); err != nil {
			t.Fatal(err)
		}
		c := rotation.Class("")
		if i < bad {
			c = class
		}
		p.Release(c, latency)
	}
}

func TestPaceFollowsThePlatform(t *testing.T) {
	t.Parallel()
	const fast = 50 * time.Millisecond
	p := NewPace(256)
	if s := p.State(); s.Limit != paceStart || s.Reason != reasonRamp {
		t.Fatalf("begins at %+v", s)
	}
	for _, step := range []struct {
		name      string
		calls     int
		bad       int
		class     rotation.Class
		latency   time.Duration
		want      int
		wantCause string
	}{
		{"doubles at first", 20, 0, "", fast, 32, reasonRamp},
		{"doubles again", 32, 0, "", fast, 64, reasonRamp},
		{"a few 429 end the doubling", 64, 5, rotation.ClassRateLimited, fast, 64, reasonRamp},
		{"a good window adds a little", 64, 0, "", fast, 68, reasonRamp},
		{"many 429 cost a third", 68, 20, rotation.ClassRateLimited, fast, 45, reason429},
		{"so do many failures", 45, 20, rotation.ClassPlatform, fast, 30, reasonFailures},
		{"and no answers", 30, 20, rotation.ClassNetwork, fast, 20, reasonFailures},
		{"and latency several times the usual", 20, 0, "", 2 * time.Second, 13, reasonSlow},
		{"dead shops are no sign of trouble", 20, 20, rotation.ClassUninstalled, fast, 14, reasonSlow},
	} {
		window(t, p, step.calls, step.bad, step.class, step.latency)
		if s := p.State(); s.Limit != step.want || s.Reason != step.wantCause || s.InFlight != 0 {
			t.Errorf("%s: %+v, want limit %d because of %q", step.name, s, step.want, step.wantCause)
		}
	}
}

// paceUntil makes windows of calls until ok.
func paceUntil(t *testing.T, what string, p *Pace, latency time.Duration, most int, ok func(PaceState) bool) {
	t.Helper()
	for windows := 0; !ok(p.State()); windows++ {
		if windows == most {
			t.Fatalf("%s: %+v after %d windows", what, p.State(), windows)
		}
		window(t, p, max(20, p.State().Limit), 0, "", latency)
	}
}

// A platform that goes from 50 ms to 2 s in mid-run, and back.
func TestPaceYieldsToASlowPlatformAndComesBack(t *testing.T) {
	t.Parallel()
	const fast, late = 50 * time.Millisecond, 2 * time.Second
	full := func(s PaceState) bool { return s.Limit == 256 && s.Reason == reasonCap }
	slowed := func(t *testing.T) *Pace {
		p := NewPace(256)
		paceUntil(t, "up", p, fast, 6, full)
		for range 200 { // an hour's drift must not make slow calls look usual
			window(t, p, 256, 0, "", fast)
		}
		paceUntil(t, "down", p, late, 6, func(s PaceState) bool { return s.Limit == 32 && s.Reason == reasonSlow })
		for range slowPatience - 2 {
			window(t, p, 32, 0, "", late)
			if s := p.State(); s.Limit != 32 || s.Reason != reasonSlow {
				t.Fatalf("while calls are slow: %+v", s)
			}
		}
		return p
	}
	t.Run("it recovers", func(t *testing.T) {
		t.Parallel()
		paceUntil(t, "usual again", slowed(t), fast, 60, full)
	})
	t.Run("it stays slow", func(t *testing.T) {
		t.Parallel()
		p := slowed(t)
		// Giving up did not help, so the limit grows with care.
		paceUntil(t, "patience", p, late, 4, func(s PaceState) bool { return s.Limit > 32 })
		paceUntil(t, "another fall", p, 8*time.Second, 3, func(s PaceState) bool { return s.Limit < 32 && s.Reason == reasonSlow })
		paceUntil(t, "usual again", p, fast, 80, full)
	})
}

func TestPaceStaysWithinFloorAndCap(t *testing.T) {
	t.Parallel()
	p := NewPace(40)
	for range 10 {
		window(t, p, 40, 0, "", time.Millisecond)
	}
	if s := p.State(); s.Limit != 40 || s.Reason != reasonCap {
		t.Errorf("at the cap: %+v", s)
	}
	for range 20 {
		window(t, p, 40, 40, rotation.ClassNetwork, time.Millisecond)
	}
	if s := p.State(); s.Limit != paceFloor {
		t.Errorf("at the floor: %+v", s)
	}
	p.SetCap(1)
	if s := p.State(); s.Limit != 1 {
		t.Errorf("under a cap of one: %+v", s)
	}
}

func TestPaceLetsTheLimitInAndNoMore(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(2)
		for range 2 {
			if err := p.Acquire(t.Context(), true, place{}); err != nil {
				t.Fatal(err)
			}
		}
		order := make(chan int, 2)
		for i := range 2 {
			go func() {
				if p.Acquire(t.Context(), true, place{}) == nil {
					order <- i
				}
			}()
			synctest.Wait()
		}
		if len(order) != 0 {
			t.Fatal("a third call was let in")
		}
		p.Return()
		synctest.Wait()
		p.Return()
		synctest.Wait()
		if a, b := <-order, <-order; a != 0 || b != 1 {
			t.Errorf("let in %d before %d", a, b)
		}
		ctx, cancel := context.WithCancel(t.Context())
		refused := make(chan error)
		go func() { refused <- p.Acquire(ctx, true, place{}) }()
		synctest.Wait()
		cancel()
		if err := <-refused; !errors.Is(err, context.Canceled) {
			t.Errorf("a cancelled wait ended with %v", err)
		}
		p.Return()
		if err := p.Acquire(t.Context(), true, place{}); err != nil {
			t.Errorf("a cancelled wait kept its place: %v", err)
		}
	})
}

func TestATokenIsProvenBeforeAnotherIsMinted(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		p := NewPace(1)
		if err := p.Acquire(t.Context(), true, place{}); err != nil {
			t.Fatal(err)
		}
		order := make(chan bool, 2)
		for _, exchange := range []bool{true, false} {
			go func() {
				if p.Acquire(t.Context(), exchange, place{}) == nil {
					order <- exchange
				}
			}()
			synctest.Wait()
		}
		for range 2 {
			p.Return()
			synctest.Wait()
		}
		if first := <-order; first {
			t.Error("an exchange that came first was let in before a proof")
		}
	})
}

func TestPaceKnowsItsSlowestCalls(t *testing.T) {
	t.Parallel()
	p := NewPace(64)
	if p.P99() != paceP99 {
		t.Errorf("before the first window: %s", p.P99())
	}
	window(t, p, 98, 0, "", 10*time.Millisecond)
	window(t, p, 4, 0, "", time.Second)
	window(t, p, 98, 0, "", 10*time.Millisecond)
	if got := p.P99(); got != time.Second {
		t.Errorf("p99 is %s", got)
	}
}
