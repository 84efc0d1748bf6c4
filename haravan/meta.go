package haravan

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

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

// maxBucket is the largest bucket that is believed: what is reckoned with it must
// not overflow.
const maxBucket = 1 << 20

// parseCallLimit reads "32/80". A bucket may run over (81/80) but has a size.
func parseCallLimit(s string) (used, size int, ok bool) {
	left, right, found := strings.Cut(s, "/")
	if !found {
		return 0, 0, false
	}
	used, errUsed := strconv.Atoi(strings.TrimSpace(left))
	size, errSize := strconv.Atoi(strings.TrimSpace(right))
	if errUsed != nil || errSize != nil || used < 0 || size <= 0 || max(used, size) > maxBucket {
		return 0, 0, false
	}
	return used, size, true
}
