package jobs

import (
	"fmt"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
)

func TestShopLimits(t *testing.T) {
	t.Parallel()
	shop := bucket{1, "a.myharavan.com"}
	for _, tt := range []struct {
		name       string
		headroom   int
		used, size int
		throttled  bool
		retryAfter time.Duration
		after      time.Duration
		want       time.Duration
	}{
		{"no header", 0, 0, 0, false, 0, 0, 0},
		{"an idle bucket needs no limiter", 0, 10, 80, false, 0, 0, 0},
		{"room is left", 0, 60, 80, false, 0, 0, 0},
		{"a full bucket waits for one leak", 0, 80, 80, false, 0, 0, 250 * time.Millisecond},
		{"an old, slower bucket leaks slower", 0, 40, 40, false, 0, 0, 500 * time.Millisecond},
		{"a full bucket leaks", 0, 80, 80, false, 0, time.Second, 0},
		{"429 is a floor, however empty the bucket looks", 0, 1, 80, true, 2 * time.Second, time.Second, time.Second},
		{"429 without a time", 0, 0, 0, true, 0, 0, quietDefault},
		{"the app's quarter is not touched", 25, 60, 80, false, 0, 0, 250 * time.Millisecond},
		{"what is beside it may be", 25, 59, 80, false, 0, 0, 0},
		{"the app filled it", 25, 80, 80, false, 0, 0, 5250 * time.Millisecond},
		{"an odd bucket is rounded for the app", 25, 30, 41, false, 0, 0, 500 * time.Millisecond},
		{"nine tenths are the app's", 90, 8, 80, false, 0, 0, 250 * time.Millisecond},
		{"a small share is watched early", 90, 4, 80, false, 0, 0, 0},
		{"429 is over", 0, 1, 80, true, 2 * time.Second, 2 * time.Second, 0},
		{"a bucket that runs over leaks to its brim first", 0, 83, 80, false, 0, 0, time.Second},
		{"no bucket runs over without end", 0, 1 << 40, 80, false, 0, 0, 81 * 250 * time.Millisecond},
		{"whatever asks for a pause gets it", 0, 0, 0, false, 30 * time.Second, 10 * time.Second, 20 * time.Second},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			l := newShopLimits()
			l.now = func() time.Time { return now }
			l.Learn(shop, tt.headroom, haravan.Meta{Used: tt.used, Size: tt.size}, tt.throttled, tt.retryAfter)
			now = now.Add(tt.after)
			if got := l.Wait(shop, tt.headroom); got.Round(time.Millisecond) != tt.want {
				t.Errorf("waits %s, want %s", got, tt.want)
			}
			if got := l.Wait(bucket{1, "other.myharavan.com"}, tt.headroom); got != 0 {
				t.Errorf("another shop waits %s", got)
			}
			if got := l.Wait(bucket{2, shop.shop}, tt.headroom); got != 0 {
				t.Errorf("the shop waits %s for another app", got)
			}
		})
	}
}

func TestShopLimitKeepsTheLongestPauseThatWasAskedFor(t *testing.T) {
	t.Parallel()
	shop, now, l := bucket{1, "a.myharavan.com"}, time.Now(), newShopLimits()
	l.now = func() time.Time { return now }
	for _, asked := range []time.Duration{time.Minute, time.Second, 0} { // of calls that were under way side by side
		l.Learn(shop, 0, haravan.Meta{}, true, asked)
	}
	if got := l.Quiet(shop); got != time.Minute {
		t.Errorf("quiet for %s", got)
	}
}

func TestShopLimitTakesTheSizeThatItIsTold(t *testing.T) {
	t.Parallel()
	shop, now, l := bucket{1, "a.myharavan.com"}, time.Now(), newShopLimits()
	l.now = func() time.Time { return now }
	l.Learn(shop, 0, haravan.Meta{}, true, time.Second)
	now = now.Add(time.Second)
	l.Learn(shop, 0, haravan.Meta{Used: 40, Size: 40}, false, 0)
	if got := l.Wait(shop, 0); got.Round(time.Millisecond) != 500*time.Millisecond {
		t.Errorf("a bucket of 40 that is full waits %s", got)
	}
}

func TestShopLimitsStaySmall(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := newShopLimits()
	l.now = func() time.Time { return now }
	for i := range 5000 {
		l.Learn(bucket{1, fmt.Sprintf("shop-%d", i)}, 0, haravan.Meta{Used: 80, Size: 80}, false, 0)
		now = now.Add(shopLimitLife / 1000)
	}
	if n := len(l.limits); n > 2100 {
		t.Errorf("%d limiters are kept", n)
	}
}

func TestShopLimitFollowsATuneAndAnOverride(t *testing.T) {
	t.Parallel()
	shop, now, l := bucket{1, "a.myharavan.com"}, time.Now(), newShopLimits()
	l.now = func() time.Time { return now }
	l.Learn(shop, 25, haravan.Meta{Used: 70, Size: 80}, false, 0)
	if got := l.Wait(shop, 25); got.Round(time.Millisecond) != 2750*time.Millisecond {
		t.Errorf("waits %s", got)
	}
	if got := l.Wait(shop, 10); got != 0 {
		t.Errorf("with less headroom it waits %s", got)
	}
	l.Learn(shop, 25, haravan.Meta{Used: 80, Size: 80}, true, time.Hour)
	if l.Wait(shop, 0) != time.Hour || l.Quiet(shop) != time.Hour {
		t.Error("an hour was asked for")
	}
	l.Forget(shop)
	if l.Wait(shop, 25) != 0 || l.Quiet(shop) != 0 {
		t.Error("the override left something to wait for")
	}
}
