package deliver

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"syscall"
	"time"

	"github.com/haravan-rotator/rotator/internal/outbound"
)

// Answer is what one try came to.
type Answer struct {
	// Status is the HTTP status, 0 without an answer.
	Status int
	// Problem says in words why the message is not acknowledged; "" if it is.
	// It never has a word of the answer's own.
	Problem string
	// RetryAfter is how long the receiver asked to be left alone, 0 if it did
	// not, ten minutes at most.
	RetryAfter time.Duration
}

// Acknowledged reports whether the receiver took the message (Standard
// Webhooks, Delivery success and failure: 2xx, nothing else).
func (a Answer) Acknowledged() bool { return a.Status/100 == 2 }

// Gone reports whether the receiver wants no more messages like this one.
func (a Answer) Gone() bool { return a.Status == http.StatusGone }

// read turns an answer's head into words.
func read(status int, header http.Header, now time.Time) Answer {
	a := Answer{Status: status}
	if a.Acknowledged() {
		return a
	}
	name := http.StatusText(status)
	if name != "" {
		name = " " + name
	}
	a.Problem = fmt.Sprintf("the app answered %d%s", status, name)
	if status/100 == 3 {
		a.Problem += ": redirects are not followed, set the URL that it leads to"
	}
	if !a.Gone() {
		a.RetryAfter = outbound.RetryAfter(header.Get("Retry-After"), now)
	}
	return a
}

// problem puts a failed request into words of our own: the transport's may
// repeat what a peer or a proxy said.
func problem(ctx context.Context, err error) string {
	var dns *net.DNSError
	var timeout net.Error
	var verify *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var record tls.RecordHeaderError
	var alert tls.AlertError
	switch {
	case errors.As(err, &dns):
		return "the host name of the app's URL cannot be resolved"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the app's host refused the connection"
	case errors.As(err, &verify), errors.As(err, &authority), errors.As(err, &hostname):
		return "the certificate of the app's host is not valid for it"
	case errors.As(err, &record), errors.As(err, &alert):
		return "no TLS connection to the app's host came about"
	case errors.Is(ctx.Err(), context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		return "the app did not answer in time"
	case ctx.Err() != nil:
		return "the try was given up"
	}
	return "the connection to the app broke"
}
