package outbound_test

import (
	"crypto/tls"
	"net/http"
	"reflect"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/outbound"
)

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 11, 22, 8, 0, 0, 0, time.UTC)
	for s, want := range map[string]time.Duration{
		"":                               0,
		"2":                              2 * time.Second,
		"2.0":                            2 * time.Second,
		" 0.25 ":                         250 * time.Millisecond,
		"0":                              0,
		"-1":                             0,
		"NaN":                            0,
		"+Inf":                           outbound.MaxRetryAfter,
		"-Inf":                           0,
		"1e300":                          outbound.MaxRetryAfter,
		"1e400":                          outbound.MaxRetryAfter,
		"-1e400":                         0,
		"599.5":                          599500 * time.Millisecond,
		"600":                            outbound.MaxRetryAfter,
		"soon":                           0,
		"2,0":                            0,
		"Sun, 22 Nov 2026 08:00:05 GMT":  5 * time.Second,
		"Sun, 22 Nov 2026 07:59:00 GMT":  0,
		"Mon, 22 Nov 2027 08:00:00 GMT":  outbound.MaxRetryAfter,
		"Sunday, 22-Nov-26 08:00:05 GMT": 5 * time.Second,
	} {
		if got := outbound.RetryAfter(s, now); got != want {
			t.Errorf("RetryAfter(%q) = %s, want %s", s, got, want)
		}
	}
}

func FuzzRetryAfter(f *testing.F) {
	for _, s := range []string{"", "1", "0.5", "2.0", "-3", "1e99", "NaN", "Inf", " 7 ", "Wed, 21 Oct 2026 07:28:00 GMT", "0x1p4"} {
		f.Add(s)
	}
	now := time.Date(2026, 10, 21, 7, 27, 0, 0, time.UTC)
	if got := outbound.RetryAfter("Wed, 21 Oct 2026 07:28:00 GMT", now); got != time.Minute {
		f.Errorf("a date: %s", got)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if d := outbound.RetryAfter(s, now); d < 0 || d > outbound.MaxRetryAfter {
			t.Errorf("%q: %s", s, d)
		}
	})
}

func TestLoopback(t *testing.T) {
	t.Parallel()
	for host, want := range map[string]bool{
		"localhost": true, "127.0.0.1": true, "127.8.8.8": true, "::1": true,
		"": false, "localhost.example.com": false, "127.0.0.1.example.com": false, "10.0.0.1": false, "0.0.0.0": false, "::": false,
	} {
		if got := outbound.Loopback(host); got != want {
			t.Errorf("Loopback(%q) = %t", host, got)
		}
	}
}

// TestTransport holds what no test of a caller would miss: a proxy that is passed
// over, and an answer that unpacks into a longer one than was bounded.
func TestTransport(t *testing.T) {
	t.Parallel()
	tr := outbound.Transport(nil, 4<<10)
	if tr.Proxy == nil || reflect.ValueOf(tr.Proxy).Pointer() != reflect.ValueOf(http.ProxyFromEnvironment).Pointer() {
		t.Error("the environment's proxy is passed over")
	}
	if !tr.DisableCompression {
		t.Error("answers may come compressed")
	}
	if c := tr.TLSClientConfig; c.InsecureSkipVerify || c.MinVersion < tls.VersionTLS12 {
		t.Errorf("TLS is %+v", c)
	}
	if tr.MaxResponseHeaderBytes != 4<<10 {
		t.Errorf("heads of %d bytes are read", tr.MaxResponseHeaderBytes)
	}
}
