package outbound

import (
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/http"
	"net/netip"
	"time"
)

// Transport makes a transport that reads heads of at most maxHead bytes and
// trusts roots, nil for the system's. How many connections it keeps is the
// caller's to set.
//
// The environment's proxy is honoured: networks that have one let nothing out
// beside it, and it sees host names only, since every call that leaves the
// machine is TLS through CONNECT and loopback is never proxied.
func Transport(roots *x509.CertPool, maxHead int64) *http.Transport {
	dialer := net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         dialer.DialContext,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: roots},
		TLSHandshakeTimeout: 10 * time.Second,
		// A TLSClientConfig switches HTTP/2 off unless it is asked for.
		ForceAttemptHTTP2: true,
		// Answers are a hundred bytes, and a bounded body must not unpack into
		// an unbounded one.
		DisableCompression:     true,
		MaxResponseHeaderBytes: maxHead,
		IdleConnTimeout:        30 * time.Second,
	}
}

// Loopback reports whether a host is this machine, so that plain http to it
// leaves nothing in clear.
func Loopback(host string) bool {
	if host == "localhost" {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.IsLoopback()
}
