package outbound

import (
	"errors"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// MaxRetryAfter caps what a Retry-After header may ask for. The longest block
// that Haravan documents after a 429 is five minutes; anything far beyond that
// would let one answer park a shop past the refresh token's hour.
const MaxRetryAfter = 10 * time.Minute

// RetryAfter reads seconds, with decimals as Haravan sends them ("2.0"), or an
// HTTP date, which it compares with now (RFC 9110, section 10.2.3). It is zero
// when s is neither or lies in the past, and at most MaxRetryAfter.
func RetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	// A number too large for a float is infinite.
	if seconds, err := strconv.ParseFloat(s, 64); err == nil || errors.Is(err, strconv.ErrRange) {
		switch {
		case math.IsNaN(seconds) || seconds <= 0:
			return 0
		case seconds >= MaxRetryAfter.Seconds():
			return MaxRetryAfter
		}
		return time.Duration(seconds * float64(time.Second))
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), MaxRetryAfter)
}
