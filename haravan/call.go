package haravan

import (
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

// maxBody bounds what is read of an answer. The protocol's answers have a few
// hundred bytes; the largest shop.json seen in public has four thousand.
const maxBody = 64 << 10

var (
	errTooLong = errors.New("the answer is longer than 64 KiB")
	errNotOver = errors.New("the answer's status is none that ends a call")
)

// buffers holds bodies for reuse, at least 4 KiB, at most maxBody each.
var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 4<<10); return &b }}

// reply is what one request came to.
type reply struct {
	meta    Meta
	header  http.Header
	body    []byte // valid until release
	pooled  *[]byte
	err     error // no answer (Status 0), or the body broke off
	written bool  // without an answer: the request may have reached the host
}

// roundTrip sends one request under the client's deadline and reads the whole
// answer, so that its connection can be used again. It uses the transport
// itself: an http.Client adds redirects, cookies and URLs in errors, none of
// which is wanted here.
func (c *Client) roundTrip(ctx context.Context, req *http.Request) reply {
	ctx, cancel := context.WithTimeout(ctx, c.timeout)
	defer cancel()
	start := time.Now()
	resp, err := c.transport.RoundTrip(req.WithContext(ctx))
	if err != nil {
		return reply{meta: Meta{Latency: time.Since(start)}, err: preferContext(ctx, err)}
	}
	if resp.StatusCode < 200 {
		// The transport hands the connection of a 101 over, and with it the duty
		// to end it: no deadline holds for its body any more.
		_ = resp.Body.Close()
		return reply{meta: Meta{Latency: time.Since(start)}, err: preferContext(ctx, errNotOver)}
	}
	r := reply{meta: Meta{Status: resp.StatusCode}, header: resp.Header}
	r.meta.read(resp.Header)
	r.pooled = buffers.Get().(*[]byte)
	r.body, err = readBounded((*r.pooled)[:0], resp.Body)
	_ = resp.Body.Close() // closing early is how an answer that is too long is left
	*r.pooled = r.body
	if err != nil {
		r.err = preferContext(ctx, err)
	}
	r.meta.Latency = time.Since(start)
	return r
}

// preferContext returns the context's own error once it is over: the transport
// returns the cause that the caller gave, which may be any text.
func preferContext(ctx context.Context, err error) error {
	if over := ctx.Err(); over != nil && !errors.Is(err, errTooLong) {
		return over
	}
	return err
}

func readBounded(buf []byte, from io.Reader) ([]byte, error) {
	for {
		if len(buf) == cap(buf) {
			buf = append(buf, 0)[:len(buf)]
		}
		n, err := from.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+n]
		switch {
		case len(buf) > maxBody:
			return buf, errTooLong
		case errors.Is(err, io.EOF):
			return buf, nil
		case err != nil:
			return buf, err
		}
	}
}

// release gives the body's buffer back; the body is dead afterwards.
func (r *reply) release() {
	if r.pooled != nil && cap(*r.pooled) <= maxBody {
		buffers.Put(r.pooled)
	}
	r.pooled, r.body = nil, nil
}

// failure makes the Error of a reply that was no success. The credentials sent
// are masked wherever the answer repeats them.
func (r *reply) failure(op Op, shop string, sent ...secret.String) *Error {
	v := Classify(Answer{
		Op: op, Status: r.meta.Status, Header: r.header, Body: r.body, Err: r.err, Date: r.meta.Date,
	}, sent...)
	return &Error{
		Op: op, Shop: shop, Class: v.Class, Status: r.meta.Status, Code: v.Code, Detail: v.Detail,
		RetryAfter: v.RetryAfter, Acted: op == OpExchange && r.mayHaveActed(v), Meta: r.meta, Err: v.Cause,
	}
}

func (r *reply) mayHaveActed(v Verdict) bool {
	switch status := r.meta.Status; {
	case status == 0:
		return r.written
	case r.err != nil:
		return status/100 == 2 || status >= 500
	case status/100 == 2:
		// A success that says in the protocol's words that it is none did nothing.
		return v.Class == rotation.ClassBadAnswer
	case status == http.StatusBadGateway, status == http.StatusGatewayTimeout:
		// A gateway answered for a platform that may have been at work.
		return true
	}
	return false
}

// outgoing is a request's body that knows whether any of it was taken, which is
// the earliest that the host can have seen of it. The transport may still be
// starting to write when a call is given up; revoke settles it.
type outgoing struct {
	data  []byte
	state atomic.Int32
}

const (
	untouched int32 = iota
	taken
	revoked
)

var errRevoked = errors.New("the call was given up")

// revoke forbids the transport to take the body from now on, and reports
// whether it has taken any before.
func (o *outgoing) revoke() bool { return !o.state.CompareAndSwap(untouched, revoked) }

func (o *outgoing) open() io.ReadCloser            { return &outgoingReader{from: o} }
func (o *outgoing) reopen() (io.ReadCloser, error) { return o.open(), nil }

type outgoingReader struct {
	from *outgoing
	read int
}

// Read implements io.Reader.
func (r *outgoingReader) Read(p []byte) (int, error) {
	if !r.from.state.CompareAndSwap(untouched, taken) && r.from.state.Load() == revoked {
		return 0, errRevoked
	}
	if r.read == len(r.from.data) {
		return 0, io.EOF
	}
	n := copy(p, r.from.data[r.read:])
	r.read += n
	return n, nil
}

// Close implements io.Closer. The transport closes a body when it is done with
// it, which may be after the call returned.
func (r *outgoingReader) Close() error { return nil }
