package haravan

import (
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"
)

func TestNewReportsEveryMistake(t *testing.T) {
	t.Parallel()
	_, err := New(Config{
		APIURL: "https://user:hush@host", InFlight: -1, Timeout: -time.Second, UserAgent: "a\nb",
		Wire: Wire{SecretParam: "x", Body: "y"},
	})
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"api url", "in flight", "timeout", "user agent", "secret_param", "body"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("the error does not name %q:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hush") {
		t.Errorf("the error repeats the password:\n%v", err)
	}
}

func TestParseAddress(t *testing.T) {
	t.Parallel()
	const shop = "some-shop.myharavan.com"
	for raw, want := range map[string]string{
		"https://{shop}":        "https://some-shop.myharavan.com/admin/x",
		"https://{shop}/":       "https://some-shop.myharavan.com/admin/x",
		"https://{shop}:8443":   "https://some-shop.myharavan.com:8443/admin/x",
		"https://apis.example":  "https://apis.example/admin/x",
		"http://127.0.0.1:8080": "http://127.0.0.1:8080/admin/x",
		"http://127.8.8.8/":     "http://127.8.8.8/admin/x",
		"http://[::1]:8080":     "http://[::1]:8080/admin/x",
		"http://localhost:8080": "http://localhost:8080/admin/x",
		"https://10.0.0.1:8443": "https://10.0.0.1:8443/admin/x",
	} {
		at, err := parseAddress(raw)
		if err != nil {
			t.Errorf("%s: %v", raw, err)
			continue
		}
		if got := at.url(shop, "/admin/x").String(); got != want {
			t.Errorf("%s: %s, want %s", raw, got, want)
		}
		if at.perShop != strings.Contains(raw, "{shop}") {
			t.Errorf("%s: perShop %v", raw, at.perShop)
		}
	}
	for _, raw := range []string{
		"", "x", "{shop}", "//host", "https://", "https://:443", "ftp://host", "https:host", "https://h/x", "https://h?x", "https://h?",
		"https://h#x", "https://u@h", "https://u:p@h", "https://u:p@{shop}", "http://example.com", "http://10.0.0.1",
		"http://{shop}", "http://localhost.evil.com", "http://127.0.0.1.evil.com", "https://{shop}{shop}", "https://{shop}.evil.com",
		"https://evil.com/{shop}", "https://x.{shop}", "https://{shop", "https://{shop}/admin", "https://{shop}evil", "https://h:x", "https://{shop}:99x",
	} {
		if at, err := parseAddress(raw); err == nil {
			t.Errorf("%q accepted as %+v", raw, at)
		} else if strings.Contains(err.Error(), "u:p") {
			t.Errorf("%q: the error repeats the password: %v", raw, err)
		}
	}
}

func TestTransportIsTuned(t *testing.T) {
	t.Parallel()
	one, err := New(Config{APIURL: "https://one.example", InFlight: 1024})
	if err != nil {
		t.Fatal(err)
	}
	if tr := one.transport; tr.MaxIdleConns != 1024 || tr.MaxIdleConnsPerHost != 1024 {
		t.Errorf("one host: %d kept, %d per host, want 1024", tr.MaxIdleConns, tr.MaxIdleConnsPerHost)
	}
	many, err := New(Config{})
	if err != nil {
		t.Fatal(err)
	}
	if tr := many.transport; tr.MaxIdleConns != DefaultInFlight || tr.IdleConnTimeout > 5*time.Second {
		t.Errorf("host per shop: %d kept for %s", tr.MaxIdleConns, tr.IdleConnTimeout)
	}
	if tr := many.transport; tr.TLSClientConfig.InsecureSkipVerify || tr.TLSClientConfig.MinVersion < 0x0303 {
		t.Errorf("TLS config %+v", tr.TLSClientConfig)
	}
}

// net/http reads the environment once in a process, so this is a process of its
// own: the test runs itself again.
func TestProxyAddressIsNotRepeated(t *testing.T) {
	t.Parallel()
	const inner = "HARAVAN_TEST_INNER"
	if os.Getenv(inner) != "" {
		_, err := New(Config{})
		if err == nil || !strings.Contains(err.Error(), "HTTPS_PROXY") || strings.Contains(err.Error(), "pass") {
			t.Errorf("error %v", err)
		}
		return
	}
	again := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestProxyAddressIsNotRepeated$", "-test.count=1")
	again.Env = append(os.Environ(), inner+"=1", "HTTPS_PROXY=http://user:pass%zz@proxy.example:3128", "NO_PROXY=", "no_proxy=", "https_proxy=")
	if out, err := again.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
