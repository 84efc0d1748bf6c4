package haravan

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// maxRetryAfter caps what a Retry-After header may ask for. The longest block
// that Haravan documents after a 429 is five minutes; anything far beyond that
// would let one answer park a shop past the refresh token's hour.
const maxRetryAfter = 10 * time.Minute

// The rate bucket's header, in its current and in its old spelling, as
// net/http canonicalises them.
const (
	callLimitHeader    = "X-Haravan-Api-Call-Limit"
	oldCallLimitHeader = "X-Haravan-Shop-Api-Call-Limit"
)

// Meta is what an answer tells beside its body. It is filled as far as the call
// got, on success and in an Error.
type Meta struct {
	// Status is the HTTP status, 0 when no answer came.
	Status int
	// Latency runs from the start of the call to the last byte of the body.
	Latency time.Duration
	// Used and Size are the shop's rate bucket after this call: 32 of 80. Size
	// is 0 when the header is absent or unreadable.
	Used, Size int
	// Date is the platform's clock when it answered, to the second; zero when
	// the header is absent. Compare it with ours to find skew.
	Date time.Time
}

func (m *Meta) read(h http.Header) {
	if used, size, ok := parseCallLimit(first(h, callLimitHeader)); ok {
		m.Used, m.Size = used, size
	} else if used, size, ok := parseCallLimit(first(h, oldCallLimitHeader)); ok {
		m.Used, m.Size = used, size
	}
	if date, err := http.ParseTime(first(h, "Date")); err == nil {
		m.Date = date
	}
}

// first returns the first value of a header whose name is canonical already.
func first(h http.Header, name string) string {
	if values := h[name]; len(values) > 0 {
		return values[0]
	}
	return ""
}

// parseCallLimit reads "32/80". A bucket may run over (81/80) but has a size.
func parseCallLimit(s string) (used, size int, ok bool) {
	left, right, found := strings.Cut(s, "/")
	if !found {
		return 0, 0, false
	}
	used, errUsed := strconv.Atoi(strings.TrimSpace(left))
	size, errSize := strconv.Atoi(strings.TrimSpace(right))
	if errUsed != nil || errSize != nil || used < 0 || size <= 0 {
		return 0, 0, false
	}
	return used, size, true
}

// parseRetryAfter reads seconds, with decimals as Haravan sends them ("2.0"),
// or an HTTP date, which it compares with now (RFC 9110, section 10.2.3). It is
// zero when s is neither or lies in the past, and at most maxRetryAfter.
func parseRetryAfter(s string, now time.Time) time.Duration {
	s = strings.TrimSpace(s)
	if s == "" {
		return 0
	}
	if seconds, err := strconv.ParseFloat(s, 64); err == nil {
		switch {
		case math.IsNaN(seconds) || seconds <= 0:
			return 0
		case seconds >= maxRetryAfter.Seconds():
			return maxRetryAfter
		}
		return time.Duration(seconds * float64(time.Second))
	}
	at, err := http.ParseTime(s)
	if err != nil {
		return 0
	}
	return min(max(at.Sub(now), 0), maxRetryAfter)
}
