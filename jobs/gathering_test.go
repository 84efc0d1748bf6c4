package jobs

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/store"
)

func TestAGroupIsReadyWhenItIsFullOldOrNobodyIsLeft(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		g := newGathering()
		begin := time.Now()
		add := func(n int) {
			for range n {
				g.add(store.Outcome{}, func(store.Verdict) {})
			}
		}
		next := func(when string, rows int, after time.Duration) {
			t.Helper()
			got := g.next()
			if len(got.outcomes) != rows || len(got.thens) != rows || time.Since(begin) != after {
				t.Errorf("%s: %d outcomes and %d thens after %s", when, len(got.outcomes), len(got.thens), time.Since(begin))
			}
			g.done(got)
			begin = time.Now()
		}
		add(3)
		next("it waited for company", 3, flushDelay)
		add(2)
		time.Sleep(3 * flushDelay)
		next("it waited while nobody could take it", 2, 3*flushDelay)
		add(flushRows)
		next("it is full", flushRows, 0)
		add(flushRows + 1)
		next("more than a group", flushRows, 0)
		next("what a group had no room for", 1, flushDelay)
		add(2)
		g.hurry()
		next("nobody is left", 2, 0)
		g.hurry() // nothing waits: the next group is not meant
		add(1)
		next("somebody is at work again", 1, flushDelay)
		go func() {
			time.Sleep(flushDelay / 2)
			add(1)
			time.Sleep(flushDelay / 4)
			g.hurry()
		}()
		next("it came while somebody waited for it", 1, flushDelay*3/4)
		add(1)
		g.end()
		next("the last", 1, 0)
		if got := g.next(); got != nil {
			t.Errorf("after the last: %d outcomes", len(got.outcomes))
		}
		if got := g.next(); got != nil {
			t.Error("the end was seen by one flusher only")
		}
	})
}

func TestAGroupThatIsDoneKeepsNoToken(t *testing.T) {
	t.Parallel()
	g := newGathering()
	g.add(store.Outcome{New: secret.New("minted")}, func(store.Verdict) {})
	g.hurry()
	done := g.next()
	g.done(done)
	if held := done.outcomes[:1][0].New; !held.IsZero() {
		t.Errorf("it holds a token of %d bytes", len(held.Reveal()))
	}
}
