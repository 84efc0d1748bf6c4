package jobs

import (
	"fmt"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/haravan"
)

func TestShopLimits(t *testing.T) {
	t.Parallel()
	const shop = "a.myharavan.com"
	for _, tt := range []struct {
		name       string
		used, size int
		throttled  bool
		retryAfter time.Duration
		after      time.Duration
		want       time.Duration
	}{
		{"no header", 0, 0, false, 0, 0, 0},
		{"an idle bucket needs no limiter", 10, 80, false, 0, 0, 0},
		{"room is left", 60, 80, false, 0, 0, 0},
		{"a full bucket waits for one leak", 80, 80, false, 0, 0, 250 * time.Millisecond},
		{"an old, slower bucket leaks slower", 40, 40, false, 0, 0, 500 * time.Millisecond},
		{"a full bucket leaks", 80, 80, false, 0, time.Second, 0},
		{"429 is a floor, however empty the bucket looks", 1, 80, true, 2 * time.Second, time.Second, time.Second},
		{"429 without a time", 0, 0, true, 0, 0, quietDefault},
		{"429 is over", 1, 80, true, 2 * time.Second, 2 * time.Second, 0},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			now := time.Now()
			l := newShopLimits()
			l.now = func() time.Time { return now }
			l.Learn(shop, haravan.Meta{Used: tt.used, Size: tt.size}, tt.throttled, tt.retryAfter)
			now = now.Add(tt.after)
			if got := l.Wait(shop); got.Round(time.Millisecond) != tt.want {
				t.Errorf("waits %s, want %s", got, tt.want)
			}
			if got := l.Wait("other.myharavan.com"); got != 0 {
				t.Errorf("another shop waits %s", got)
			}
		})
	}
}

func TestShopLimitsStaySmall(t *testing.T) {
	t.Parallel()
	now := time.Now()
	l := newShopLimits()
	l.now = func() time.Time { return now }
	for i := range 5000 {
		l.Learn(fmt.Sprintf("shop-%d", i), haravan.Meta{Used: 80, Size: 80}, false, 0)
		now = now.Add(shopLimitLife / 1000)
	}
	if n := len(l.limits); n > 2100 {
		t.Errorf("%d limiters are kept", n)
	}
}
