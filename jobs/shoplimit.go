package jobs

import (
	"cmp"
	"sync"
	"time"

	"golang.org/x/time/rate"

	"github.com/haravan-rotator/rotator/haravan"
)

// The documented bucket of a shop and app: 80 calls, 4 leak out per second
// (Haravan, API call limit).
const (
	bucketSize = 80
	bucketLeak = 4
)

// shopLimits keeps a limiter for each shop whose bucket is worth watching: one
// that was seen more than half full or that answered 429. Shops that nobody
// else calls need none, which keeps the map small however large the fleet is.
type shopLimits struct {
	mu     sync.Mutex
	limits map[string]*shopLimit
	now    func() time.Time
}

type shopLimit struct {
	*rate.Limiter
	usedAt time.Time
	// quietUntil is the end of the last 429's Retry-After: a floor, whatever
	// the bucket seems to allow.
	quietUntil time.Time
}

// shopLimitLife is how long an idle limiter is kept: a full bucket of the
// slowest documented kind (40 at 2/s) has leaked out by then.
const shopLimitLife = 30 * time.Second

// quietDefault is how long a shop is left alone after a 429 that does not say.
const quietDefault = 2 * time.Second

func newShopLimits() *shopLimits {
	return &shopLimits{limits: map[string]*shopLimit{}, now: time.Now}
}

// Learn takes what the platform's header said about the shop's bucket, and what
// a 429 asked for.
func (l *shopLimits) Learn(shop string, m haravan.Meta, throttled bool, retryAfter time.Duration) {
	if !throttled && (m.Size <= 0 || m.Used*2 < m.Size) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	limit := l.limits[shop]
	if limit == nil {
		l.forget(now)
		size := cmp.Or(m.Size, bucketSize)
		limit = &shopLimit{Limiter: rate.NewLimiter(rate.Limit(max(1, size*bucketLeak/bucketSize)), size)}
		l.limits[shop] = limit
	}
	limit.usedAt = now
	if throttled {
		limit.quietUntil = now.Add(cmp.Or(retryAfter, quietDefault))
	}
	if m.Size <= 0 {
		return
	}
	// Set the limiter's tokens to what is left in the bucket.
	if excess := limit.TokensAt(now) - float64(m.Size-m.Used); excess >= 1 {
		limit.ReserveN(now, int(excess))
	}
}

// Wait tells how long the shop's next call must wait.
func (l *shopLimits) Wait(shop string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit := l.limits[shop]
	if limit == nil {
		return 0
	}
	now := l.now()
	limit.usedAt = now
	if quiet := limit.quietUntil.Sub(now); quiet > 0 {
		return quiet
	}
	r := limit.ReserveN(now, 1)
	delay := r.DelayFrom(now)
	if delay > 0 {
		r.CancelAt(now) // the caller comes back later; it must not pay twice
	}
	return delay
}

// Quiet tells how long the shop still wants to be left alone after a 429.
func (l *shopLimits) Quiet(shop string) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit := l.limits[shop]; limit != nil {
		return max(0, limit.quietUntil.Sub(l.now()))
	}
	return 0
}

// forget drops limiters that nobody used for long, when the map grows.
func (l *shopLimits) forget(now time.Time) {
	if len(l.limits) < 1024 {
		return
	}
	for shop, limit := range l.limits {
		if now.Sub(limit.usedAt) > shopLimitLife && now.After(limit.quietUntil) {
			delete(l.limits, shop)
		}
	}
}
