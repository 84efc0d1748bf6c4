package haravan

import (
	"strconv"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/rotation"
)

// Op names the two calls, for errors and for Classify.
type Op string

// The calls of a rotation.
const (
	// OpExchange asks for a new access token: it changes the platform's state.
	OpExchange Op = "exchange"
	// OpIdentity reads shop.json with a token: it changes nothing.
	OpIdentity Op = "identity"
)

// Error is the failure of one call. It is safe to print, log and store: no
// field holds a credential, and neither does any error it wraps.
type Error struct {
	Op Op
	// Shop is the shop's domain; empty when what was given as one is no
	// shop's domain.
	Shop  string
	Class rotation.Class
	// Status is the HTTP status, 0 when no answer came.
	Status int
	// Code is the OAuth error code (RFC 6749, section 5.2), lower case, or empty.
	Code string
	// Detail says in words what was seen: at most 200 bytes, one line, with
	// every credential of the call masked.
	Detail string
	// RetryAfter is what the platform asked for, capped at ten minutes; a floor
	// and not a promise. Zero when it asked for nothing.
	RetryAfter time.Duration
	// Acted says that the platform may have carried the request out: it was, or
	// may have been, written and no complete answer came, or an answer of
	// success could not be read, or a gateway gave up waiting. Always false for
	// OpIdentity.
	Acted bool
	Meta  Meta
	// Err is the cause in the transport, for errors.Is: context.Canceled,
	// context.DeadlineExceeded, a syscall.Errno, a *net.DNSError,
	// io.ErrUnexpectedEOF, ErrUntrusted, or nil.
	Err error
}

// Error implements error.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(string(e.Op))
	if e.Shop != "" {
		b.WriteString(" for ")
		b.WriteString(e.Shop)
	}
	b.WriteString(": ")
	b.WriteString(e.Class.Words())
	if e.Status != 0 {
		b.WriteString(" [")
		b.WriteString(strconv.Itoa(e.Status))
		if e.Code != "" {
			b.WriteByte(' ')
			b.WriteString(e.Code)
		}
		b.WriteByte(']')
	}
	if e.Detail != "" {
		b.WriteString(": ")
		b.WriteString(e.Detail)
	}
	if e.RetryAfter > 0 {
		b.WriteString("; it asks to wait ")
		b.WriteString(e.RetryAfter.String())
	}
	if next := e.next(); next != "" {
		b.WriteString("; ")
		b.WriteString(next)
	}
	return b.String()
}

// next is what a person does about it, for the classes that no retry cures.
func (e *Error) next() string {
	switch e.Class {
	case rotation.ClassWindow:
		return "create a new refresh token on the app's page in the Partners dashboard and arm the run with it"
	case rotation.ClassOurs:
		return "check the client id, the secret and the wire variant"
	}
	return ""
}

// Unwrap returns Err.
func (e *Error) Unwrap() error { return e.Err }
