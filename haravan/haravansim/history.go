package haravansim

import (
	"fmt"
	"sync"
	"time"
)

// Call is one request to the platform port. It carries no query, no header, no
// body and no path that names a credential, so it can be printed.
type Call struct {
	// Seq counts arrivals from 1; At is the simulator's clock on arrival.
	Seq uint64    `json:"seq"`
	At  time.Time `json:"at"`
	// Op is empty for a call that is none of the operations.
	Op     Op     `json:"op,omitempty"`
	Method string `json:"method"`
	Path   string `json:"path"`
	Shop   string `json:"shop"`
	// Status is what was answered, 0 if the connection was broken instead.
	Status int `json:"status"`
	// Fault is what went wrong on purpose, empty for nothing.
	Fault Fault `json:"fault,omitempty"`
	// TokenVersionMinted is the secret version of the token that this call
	// minted, whether or not its answer arrived; 0 if it minted none.
	TokenVersionMinted int `json:"token_version_minted,omitempty"`
	// Took is the time from arrival to answer, delays included.
	Took time.Duration `json:"took_ns"`
}

// ring keeps the last calls.
type ring struct {
	mu    sync.Mutex
	calls []Call
	next  int // where the next one goes, once calls is full
	size  int // 0: keep none
}

func (h *ring) init(history int) {
	switch history {
	case -1:
	case 0:
		h.size = defaultHistory
	default:
		h.size = history
	}
}

func (h *ring) add(c Call) {
	if h.size == 0 {
		return
	}
	h.mu.Lock()
	defer h.mu.Unlock()
	if len(h.calls) < h.size {
		h.calls = append(h.calls, c)
		return
	}
	h.calls[h.next] = c
	h.next = (h.next + 1) % h.size
}

// History returns the kept calls in the order in which they were answered.
func (s *Sim) History() []Call {
	h := &s.history
	h.mu.Lock()
	defer h.mu.Unlock()
	out := make([]Call, 0, len(h.calls))
	out = append(out, h.calls[h.next:]...)
	return append(out, h.calls[:h.next]...)
}

// maxMisuse bounds the sentences kept; a client gone wild repeats itself.
const maxMisuse = 1000

type misuses struct {
	mu    sync.Mutex
	words []string
	total int
}

func (m *misuses) add(c *Call, words string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.total++
	if len(m.words) < maxMisuse {
		m.words = append(m.words, fmt.Sprintf("call %d, %s %s of %s: %s", c.Seq, c.Method, c.Path, c.Shop, words))
	}
}

// Misuse returns a sentence for each call that a correct client never makes,
// the first 1,000 of them; Totals.Misuse counts all.
func (s *Sim) Misuse() []string {
	s.misuse.mu.Lock()
	defer s.misuse.mu.Unlock()
	return append([]string(nil), s.misuse.words...)
}
