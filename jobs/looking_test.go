package jobs

import (
	"context"
	"errors"
	"log/slog"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/store"
)

// pages returns one page after the other.
func pages(all ...[]int) func() ([]int, error) {
	return func() (page []int, err error) {
		if len(all) > 0 {
			page, all = all[0], all[1:]
		}
		return page, nil
	}
}

func TestAShopThatAnswersLateHoldsUpNoOther(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		var early []int
		l := looking[int, int]{
			read: pages([]int{1, 2, 3}, []int{4, 5}, []int{6}),
			look: func(shop int) (int, bool) {
				if shop == 1 {
					time.Sleep(time.Hour)
				}
				return shop, shop != 5
			},
			write: func(seen []int) error {
				if time.Since(begin) < time.Minute {
					early = append(early, seen...)
				}
				return nil
			},
		}
		unclear, err := l.all(2)
		if err != nil || unclear != 1 {
			t.Errorf("%d unclear, %v", unclear, err)
		}
		slices.Sort(early)
		if diff := cmp.Diff([]int{2, 3, 4, 6}, early); diff != "" {
			t.Errorf("written before the late one (-want +got):\n%s", diff)
		}
	})
}

func TestLookingWaitsForWhatIsUnderWayWhenItFails(t *testing.T) {
	t.Parallel()
	broken := errors.New("broken")
	for what, l := range map[string]looking[int, int]{
		"read":  {read: func() ([]int, error) { return nil, broken }},
		"write": {read: func() ([]int, error) { return []int{1}, nil }, write: func([]int) error { return broken }},
	} {
		synctest.Test(t, func(t *testing.T) {
			looks, ended := 0, 0
			l.look = func(shop int) (int, bool) {
				looks++
				time.Sleep(time.Second)
				ended++
				return shop, true
			}
			if _, err := l.all(1); !errors.Is(err, broken) {
				t.Errorf("%s: %v", what, err)
			}
			if looks != ended {
				t.Errorf("%s: %d of %d looks ended", what, ended, looks)
			}
		})
	}
}

// A fault in rotator must not take down one worker after the other.
func TestAPanicInALookIsNoAnswer(t *testing.T) {
	t.Parallel()
	var log strings.Builder
	e := &Engine{log: slog.New(slog.NewTextHandler(&log, nil))}
	l := looking[int, int]{
		read:  pages([]int{1, 2}),
		look:  unharmed(e, 7, func(shop int) (int, bool) { return shop / (shop - 1), true }),
		write: func([]int) error { return nil },
	}
	if unclear, err := l.all(1); unclear != 1 || err != nil {
		t.Errorf("%d unclear, %v", unclear, err)
	}
	if !strings.Contains(log.String(), "run=7") {
		t.Errorf("log: %s", &log)
	}
	d := &delivery{engine: e, to: store.Receiver{App: "tea"}}
	o := d.unharmed(context.Background(), store.Delivery{Domain: "shop.myharavan.com", Tries: 1}) // it has no receiver
	if o.Delivery.Domain != "shop.myharavan.com" || o.Problem == "" || o.Delay == 0 || o.Acknowledged {
		t.Errorf("a delivery: %+v", o)
	}
}
