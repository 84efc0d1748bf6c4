package jobs

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
	"github.com/haravan-rotator/rotator/store"
)

// A run that was slowed down must not keep its claims past their time: what
// waits behind one slow call is not sent, except proofs.
func TestWhoseTurnComesTooLateIsNotSent(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const patience = time.Minute
		e := &Engine{pace: NewPace(1), shops: newShopLimits(), crew: newCrew(1, 1), flusher: &Flusher{}, begin: time.Now()}
		r := &runState{id: 1, control: &store.Control{RunID: 1, Phase: rotation.PhaseExchanging, RefreshTokenID: 1}, windowEnds: time.Now().Add(time.Hour)}
		sent := make(chan int64, 4)
		outcome := make(chan error, 4)
		try := func(position int64, exchange bool, took time.Duration) {
			a := &attempt{engine: e, run: r, claim: store.Claim{Position: position}, until: time.Now().Add(patience)}
			outcome <- a.call(t.Context(), exchange, func(context.Context) (haravan.Meta, error) {
				sent <- position
				time.Sleep(took)
				e.beaten()
				return haravan.Meta{}, nil
			})
		}
		go try(1, true, 2*patience)
		synctest.Wait()
		for position := range int64(2) {
			go try(2+position, true, 0)
		}
		go try(4, false, 0)
		time.Sleep(3 * patience)
		synctest.Wait()
		late := 0
		for range 4 {
			if err := <-outcome; errors.Is(err, errLate) {
				late++
			} else if err != nil {
				t.Error(err)
			}
		}
		if late != 2 || len(sent) != 2 || <-sent != 1 || <-sent != 4 {
			t.Errorf("%d came too late", late)
		}
		if s := e.pace.State(); s.InFlight != 0 {
			t.Errorf("%d places are kept", s.InFlight)
		}
	})
}

// A batch that waits for room under a small rate is left in time, however many
// others keep the rate full.
func TestABatchWaitsForRoomNoLongerThanItsTime(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		e := &Engine{pace: NewPace(1), begin: time.Now()}
		r := &runState{id: 1, control: &store.Control{RunID: 1, Phase: rotation.PhaseExchanging}}
		r.rate.Set(0.01)
		r.begun.Store(2)
		begin := time.Now()
		if e.roomFor(r, begin.Add(time.Second)) {
			t.Error("there is room")
		}
		if took := time.Since(begin); took > 2*time.Second {
			t.Errorf("it waited for %s", took)
		}
	})
}

// River neither cancels nor doubles the job of a batch within any run's time.
func TestABatchIsNotTakenFromALivingWorker(t *testing.T) {
	t.Parallel()
	if got := new(batchWorker).Timeout(nil); got <= rotation.WindowLength {
		t.Errorf("the job of a batch may take %s, a window is %s long", got, rotation.WindowLength)
	}
}
