package jobs

import (
	"slices"
	"testing"
	"testing/synctest"

	"github.com/google/go-cmp/cmp"
)

func TestCrewProvesBeforeItExchangesAndGoesByPosition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(1, 10)
		defer c.stop()
		busy := make(chan struct{})
		c.exchange(place{1, 1}, func() { <-busy })
		var order []string
		note := func(what string) func() { return func() { order = append(order, what) } }
		c.exchange(place{1, 9}, note("exchange 9"))
		c.exchange(place{1, 3}, note("exchange 3"))
		c.prove(place{1, 8}, note("prove 8"))
		c.prove(place{1, 2}, note("prove 2"))
		close(busy)
		synctest.Wait()
		if diff := cmp.Diff([]string{"prove 2", "prove 8", "exchange 3", "exchange 9"}, order); diff != "" {
			t.Errorf("worked (-want +got):\n%s", diff)
		}
	})
}

func TestCrewWorksNoMoreThanItsHands(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(2, 10)
		defer c.stop()
		var begun []int64
		ends := make([]chan struct{}, 5)
		for i := range ends {
			ends[i] = make(chan struct{})
			at := place{1, int64(i)}
			c.exchange(at, func() {
				c.mu.Lock()
				begun = append(begun, at.position)
				c.mu.Unlock()
				<-ends[i]
			})
			synctest.Wait()
		}
		saw := func(when string, want ...int64) {
			t.Helper()
			synctest.Wait()
			if !slices.Equal(begun, want) {
				t.Errorf("%s: %d were begun, want %d", when, begun, want)
			}
		}
		saw("at first", 0, 1)
		c.aside() // for one of the two
		saw("while one rests", 0, 1, 2)
		c.back()
		close(ends[0])
		saw("when one too many ended", 0, 1, 2)
		close(ends[1])
		saw("when the next ended", 0, 1, 2, 3)
		close(ends[2])
		close(ends[3])
		close(ends[4])
		saw("at last", 0, 1, 2, 3, 4)
		// Idle hands are used again.
		c.exchange(place{1, 7}, func() { begun = append(begun, 7) })
		saw("later", 0, 1, 2, 3, 4, 7)
		if c.hands != 0 || len(c.idle) == 0 || len(c.idle) > 3 {
			t.Errorf("%d hands work and %d wait with nothing to do", c.hands, len(c.idle))
		}
	})
}

func TestCrewLetsShopsGetUnderWayByPosition(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(1, 1)
		c.enter(place{1, 5})
		var entered []int64
		for _, position := range []int64{9, 4, 6} {
			go func() {
				c.enter(place{1, position})
				entered = append(entered, position)
				c.leave()
			}()
			synctest.Wait()
		}
		if len(entered) > 0 {
			t.Fatalf("%d got under way although there was no place", entered)
		}
		c.leave()
		synctest.Wait()
		if !slices.Equal(entered, []int64{4, 6, 9}) || c.places != 1 {
			t.Errorf("%d got under way, %d places are left", entered, c.places)
		}
	})
}

// After an outage more may be at work than hands: no proof waits until they are
// fewer.
func TestCrewProvesAlsoWithTooMany(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(1, 10)
		defer c.stop()
		outage := make(chan struct{})
		ends := [3]chan struct{}{make(chan struct{}), make(chan struct{}), make(chan struct{})}
		for i, end := range ends {
			c.exchange(place{1, int64(i)}, func() {
				c.aside()
				<-outage
				c.back()
				<-end
			})
		}
		synctest.Wait()
		close(outage)
		synctest.Wait()
		proved, exchanged := false, false
		c.exchange(place{1, 8}, func() { exchanged = true })
		c.prove(place{1, 9}, func() { proved = true })
		close(ends[0])
		synctest.Wait()
		if !proved || exchanged {
			t.Errorf("proved %v, exchanged %v", proved, exchanged)
		}
		close(ends[1])
		close(ends[2])
		synctest.Wait()
		if !exchanged || c.hands != 0 {
			t.Errorf("exchanged %v, %d hands", exchanged, c.hands)
		}
	})
}

func TestCrewTellsWhenNoHandIsAtWork(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		c := newCrew(2, 10)
		defer c.stop()
		rests := 0
		c.rests = func() { rests++ }
		ends := make(chan struct{})
		saw := func(when string, want int) {
			t.Helper()
			synctest.Wait()
			if rests != want {
				t.Errorf("%s: told %d times, want %d", when, rests, want)
			}
		}
		for i := range int64(3) {
			c.exchange(place{1, i}, func() { <-ends })
		}
		ends <- struct{}{}
		ends <- struct{}{}
		saw("while one works", 0)
		ends <- struct{}{}
		saw("after the last", 1)
		other := make(chan struct{})
		c.exchange(place{1, 4}, func() {
			c.aside()
			<-other
			c.back()
		})
		saw("while the only one waits for something else", 2)
		c.exchange(place{1, 5}, func() { <-ends })
		close(other)
		saw("when it is done and another works", 2)
		ends <- struct{}{}
		saw("after both", 3)
	})
}
