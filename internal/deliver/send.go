package deliver

import (
	"bytes"
	"context"
	"crypto/x509"
	"io"
	"net/http"
	"strconv"
	"time"

	"github.com/haravan-rotator/rotator/internal/outbound"
	"github.com/haravan-rotator/rotator/internal/secret"
)

const (
	// DefaultTimeout bounds one try (Standard Webhooks, Request timeouts: 15 to
	// 30 seconds).
	DefaultTimeout = 15 * time.Second
	// maxAnswer is how much of an answer is read, to keep its connection.
	maxAnswer = 16 << 10
	maxIdle   = 16
)

// Config configures a Sender. The zero Config is right but for tests.
type Config struct {
	// Timeout bounds one try, DefaultTimeout when 0.
	Timeout time.Duration
	// UserAgent names us; "rotator" when empty.
	UserAgent string
	// RootCAs are trusted instead of the system's; nil for the system's.
	RootCAs *x509.CertPool
}

// Sender sends messages. It is safe for concurrent use and owns its connections.
type Sender struct {
	transport *http.Transport
	timeout   time.Duration
	agent     string
	now       func() time.Time
}

// NewSender makes a Sender.
func NewSender(c Config) *Sender {
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.UserAgent == "" {
		c.UserAgent = "rotator"
	}
	transport := outbound.Transport(c.RootCAs, maxAnswer)
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 4*maxIdle, maxIdle
	return &Sender{timeout: c.Timeout, agent: c.UserAgent, now: time.Now, transport: transport}
}

// Send makes one try. It always comes back with an Answer: whatever went wrong
// is one, too.
func (s *Sender) Send(ctx context.Context, receiver string, key secret.String, m Message) Answer {
	at, err := parseURL(receiver)
	if err != nil {
		return Answer{Problem: err.Error()}
	}
	signing, err := keyBytes(key)
	if err != nil {
		return Answer{Problem: "the stored key " + err.Error()}
	}
	body, err := m.body()
	if err != nil {
		return Answer{Problem: err.Error()}
	}
	ctx, cancel := context.WithTimeout(ctx, s.timeout)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, at.String(), bytes.NewReader(body))
	if err != nil {
		return Answer{Problem: "the request cannot be made"}
	}
	now := s.now()
	req.Header = http.Header{
		"Content-Type": {"application/json"}, "Accept": {"*/*"}, "User-Agent": {s.agent},
		"Webhook-Id":        {m.ID},
		"Webhook-Timestamp": {strconv.FormatInt(now.Unix(), 10)},
		"Webhook-Signature": {sign(signing, m.ID, now, body)},
	}
	// The transport itself: an http.Client would follow redirects.
	resp, err := s.transport.RoundTrip(req)
	if err != nil {
		return Answer{Problem: problem(ctx, err)}
	}
	// Reading to the end keeps the connection; a longer answer loses it.
	_, _ = io.CopyN(io.Discard, resp.Body, maxAnswer)
	_ = resp.Body.Close() // closing early is how an answer that is too long is left
	return read(resp.StatusCode, resp.Header, s.now())
}

// CloseIdle closes the connections that no try is using.
func (s *Sender) CloseIdle() { s.transport.CloseIdleConnections() }
