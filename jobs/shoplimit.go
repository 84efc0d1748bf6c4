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
	limits map[bucket]*shopLimit
	now    func() time.Time
}

// bucket names what the platform counts a call against: a shop and an app.
type bucket struct {
	app  int64
	shop string
}

type shopLimit struct {
	// Its tokens are what is left in the bucket.
	*rate.Limiter
	usedAt time.Time
	// quietUntil is the latest end of a Retry-After: a floor, whatever the bucket
	// seems to allow.
	quietUntil time.Time
}

// shopLimitLife is how long an idle limiter is kept: a full bucket of the
// slowest documented kind (40 at 2/s) has leaked out by then.
const shopLimitLife = 30 * time.Second

// quietDefault is how long a shop is left alone after a 429 that does not say.
const quietDefault = 2 * time.Second

func newShopLimits() *shopLimits {
	return &shopLimits{limits: map[bucket]*shopLimit{}, now: time.Now}
}

// Learn takes what the platform's header said about the shop's bucket, and what
// an answer asked for: a 429, which may not say for how long, or any other. headroom
// is the percentage of the bucket that is the app's.
func (l *shopLimits) Learn(b bucket, headroom int, m haravan.Meta, throttled bool, retryAfter time.Duration) {
	asked := throttled || retryAfter > 0
	if !asked && (m.Size <= 0 || m.Used*2 < m.Size-reserved(m.Size, headroom)) {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	limit := l.limits[b]
	if limit == nil {
		l.forget(now)
		limit = &shopLimit{Limiter: newBucket(cmp.Or(m.Size, bucketSize))}
		l.limits[b] = limit
	}
	limit.usedAt = now
	if until := now.Add(cmp.Or(retryAfter, quietDefault)); asked && until.After(limit.quietUntil) {
		limit.quietUntil = until
	}
	if m.Size > 0 {
		limit.fill(m, now)
	}
}

func newBucket(size int) *rate.Limiter {
	return rate.NewLimiter(rate.Limit(max(1, size*bucketLeak/bucketSize)), size)
}

// fill sets the limiter's tokens to what is left in the bucket. That is less than
// nothing where it runs over, but no more than once is believed.
func (s *shopLimit) fill(m haravan.Meta, now time.Time) {
	if s.Burst() != m.Size {
		s.Limiter = newBucket(m.Size)
	}
	left := m.Size - min(m.Used, 2*m.Size)
	// No more than a bucket can be taken at once.
	for excess := int(s.TokensAt(now) - float64(left)); excess >= 1; excess -= m.Size {
		s.ReserveN(now, min(excess, m.Size))
	}
}

// reserved is how many calls of a bucket are left to the app.
func reserved(size, headroom int) int { return (size*headroom + 99) / 100 }

// Wait tells how long the shop's next call must wait for its bucket to hold more
// than the app's headroom; a call that need not wait is counted.
func (l *shopLimits) Wait(b bucket, headroom int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	limit, now := l.limits[b], l.now()
	wait := limit.missing(headroom, now)
	if limit != nil {
		limit.usedAt = now
		if wait == 0 {
			limit.AllowN(now, 1)
		}
	}
	return wait
}

// Left is Wait for one who does not call yet.
func (l *shopLimits) Left(b bucket, headroom int) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limits[b].missing(headroom, l.now())
}

// missing tells when a call may be made; no limit knows of no reason to wait.
func (s *shopLimit) missing(headroom int, now time.Time) time.Duration {
	if s == nil {
		return 0
	}
	if quiet := s.quietUntil.Sub(now); quiet > 0 {
		return quiet
	}
	calls := float64(reserved(s.Burst(), headroom)+1) - s.TokensAt(now)
	if calls < 1e-6 { // of rounding
		return 0
	}
	return time.Duration(calls / float64(s.Limit()) * float64(time.Second))
}

// Forget drops what is known of the shop's bucket: an operator says to call.
func (l *shopLimits) Forget(b bucket) {
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.limits, b)
}

// Quiet tells how long the shop still wants to be left alone after a 429.
func (l *shopLimits) Quiet(b bucket) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if limit := l.limits[b]; limit != nil {
		return max(0, limit.quietUntil.Sub(l.now()))
	}
	return 0
}

// forget drops limiters that nobody used for long, when the map grows.
func (l *shopLimits) forget(now time.Time) {
	if len(l.limits) < 1024 {
		return
	}
	for b, limit := range l.limits {
		if now.Sub(limit.usedAt) > shopLimitLife && now.After(limit.quietUntil) {
			delete(l.limits, b)
		}
	}
}
