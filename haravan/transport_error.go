package haravan

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"github.com/haravan-rotator/rotator/rotation"
)

// ErrUntrusted is wrapped by an Error when the host's TLS certificate does not
// verify.
var ErrUntrusted = errors.New("the host's TLS certificate does not verify")

// readTransport names an error of the transport in fixed words where it can.
// cause is what may be wrapped: the transport's own errors quote what the host
// sent (a status line, a header), and a host can send back what it was sent.
func readTransport(err error) (class rotation.Class, words string, cause error) {
	var dns *net.DNSError
	var errno syscall.Errno
	var timeout net.Error
	switch {
	case err == nil:
		return rotation.ClassNetwork, "no answer", nil
	case errors.Is(err, errNotOver):
		return rotation.ClassBadAnswer, errNotOver.Error(), nil
	case errors.Is(err, context.Canceled):
		return rotation.ClassNetwork, "the call was cancelled", context.Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return rotation.ClassNetwork, "no complete answer before the deadline", context.DeadlineExceeded
	case errors.As(err, &dns):
		if dns.IsNotFound {
			return rotation.ClassNetwork, "the host's name does not resolve", dns
		}
		return rotation.ClassNetwork, "the name server did not answer", dns
	case errors.As(err, &errno):
		return rotation.ClassNetwork, errno.Error(), errno
	case errors.As(err, &timeout) && timeout.Timeout():
		return rotation.ClassNetwork, "connecting took too long", context.DeadlineExceeded
	}
	if words := untrusted(err); words != "" {
		return rotation.ClassNetwork, words, ErrUntrusted
	}
	text := err.Error()
	var record tls.RecordHeaderError
	switch {
	case errors.As(err, &record), strings.Contains(text, "server gave HTTP response to HTTPS client"):
		return rotation.ClassNetwork, "the host does not speak TLS", nil
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), strings.Contains(text, "server closed idle connection"):
		return rotation.ClassNetwork, "the connection closed before a complete answer", io.ErrUnexpectedEOF
	case strings.Contains(text, "malformed"), strings.Contains(text, "HTTP/1.x transport connection broken"),
		strings.Contains(text, "chunk"), strings.Contains(text, "response headers exceeded"):
		return rotation.ClassBadAnswer, "the answer is not HTTP", nil
	}
	return rotation.ClassNetwork, "the connection failed: " + text, nil
}

func untrusted(err error) string {
	var verification *tls.CertificateVerificationError
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority):
		return "the host's TLS certificate is signed by an unknown authority"
	case errors.As(err, &host):
		return "the host's TLS certificate is for another name"
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return "the host's TLS certificate has expired or is not valid yet"
	case errors.As(err, &invalid), errors.As(err, &verification):
		return "the host's TLS certificate is not valid"
	}
	return ""
}

// isCut reports whether the cause is an end of the connection in an orderly
// way: in the middle of a body that is a truncated answer.
func isCut(cause error) bool { return errors.Is(cause, io.ErrUnexpectedEOF) }
