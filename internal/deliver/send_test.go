package deliver

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/outbound"
	"github.com/haravan-rotator/rotator/internal/secret"
)

var message = Message{
	ID: "msg_0a1b", App: "main", Shop: "some-shop.myharavan.com", OrgID: 200000123456,
	Token: secret.New("planted-token"), Generation: 7, Run: 3, At: time.Date(2026, 3, 1, 12, 0, 0, 5000, time.FixedZone("", 7*3600)),
}

// server answers as the handler says.
func server(t *testing.T, h http.HandlerFunc) string {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL + "/hook"
}

func send(t *testing.T, c Config, url string) Answer {
	t.Helper()
	s := NewSender(c)
	t.Cleanup(s.CloseIdle)
	return s.Send(t.Context(), url, NewKey(), message)
}

func TestRequest(t *testing.T) {
	t.Parallel()
	key := NewKey()
	raw, err := base64.StdEncoding.DecodeString(strings.TrimPrefix(key.Reveal(), "whsec_"))
	if err != nil {
		t.Fatal(err)
	}
	seen := make(chan string, 1)
	url := server(t, func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		at := r.Header.Get("webhook-timestamp")
		mac := hmac.New(sha256.New, raw)
		fmt.Fprintf(mac, "%s.%s.%s", r.Header.Get("webhook-id"), at, body)
		if want := "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil)); r.Header.Get("webhook-signature") != want {
			t.Errorf("signature %q, want %q", r.Header.Get("webhook-signature"), want)
		}
		if seconds, err := strconv.ParseInt(at, 10, 64); err != nil || time.Since(time.Unix(seconds, 0)).Abs() > time.Minute {
			t.Errorf("timestamp %q", at)
		}
		seen <- strings.Join([]string{r.Method, r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("User-Agent"), r.Header.Get("webhook-id"), string(body)}, "\n")
		w.WriteHeader(http.StatusNoContent)
	})
	s := NewSender(Config{UserAgent: "rotator/test"})
	t.Cleanup(s.CloseIdle)
	if got := s.Send(t.Context(), url, key, message); !got.Acknowledged() || got.Problem != "" {
		t.Errorf("answer %+v", got)
	}
	want := strings.Join([]string{
		"POST", "/hook", "application/json", "rotator/test", "msg_0a1b",
		`{"id":"msg_0a1b","type":"token.rotated","app":"main","shop":"some-shop.myharavan.com","org_id":200000123456,` +
			`"access_token":"planted-token","generation":7,"run":3,"at":"2026-03-01T05:00:00.000005Z"}`,
	}, "\n")
	if diff := cmp.Diff(want, <-seen); diff != "" {
		t.Error(diff)
	}
	bare := message
	bare.OrgID = 0
	body, err := bare.body()
	if err != nil || strings.Contains(string(body), "org_id") || !json.Valid(body) {
		t.Errorf("a message without an org id: %s, %v", body, err)
	}
}

func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status     int
		retryAfter string
		want       Answer
	}{
		"200":               {200, "", Answer{Status: 200}},
		"202 with a pause":  {202, "5", Answer{Status: 202}},
		"299":               {299, "", Answer{Status: 299}},
		"301":               {301, "", Answer{Status: 301, Problem: "the app answered 301 Moved Permanently: redirects are not followed, set the URL that it leads to"}},
		"304":               {304, "", Answer{Status: 304, Problem: "the app answered 304 Not Modified: redirects are not followed, set the URL that it leads to"}},
		"401":               {401, "", Answer{Status: 401, Problem: "the app answered 401 Unauthorized"}},
		"410":               {410, "9", Answer{Status: 410, Problem: "the app answered 410 Gone"}},
		"429":               {429, "2.5", Answer{Status: 429, Problem: "the app answered 429 Too Many Requests", RetryAfter: 2500 * time.Millisecond}},
		"500":               {500, "", Answer{Status: 500, Problem: "the app answered 500 Internal Server Error"}},
		"503 for long":      {503, "86400", Answer{Status: 503, Problem: "the app answered 503 Service Unavailable", RetryAfter: 10 * time.Minute}},
		"503, nonsense":     {503, "soon", Answer{Status: 503, Problem: "the app answered 503 Service Unavailable"}},
		"a status of none":  {599, "-1", Answer{Status: 599, Problem: "the app answered 599"}},
		"200 and something": {200, "", Answer{Status: 200}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := server(t, func(w http.ResponseWriter, r *http.Request) {
				w.Header().Set("Retry-After", tt.retryAfter)
				w.WriteHeader(tt.status)
				_, _ = io.Copy(w, r.Body) // repeats the token
			})
			got := send(t, Config{}, url)
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Error(diff)
			}
			if got.Acknowledged() != (tt.status/100 == 2) || got.Gone() != (tt.status == 410) {
				t.Errorf("acknowledged %v, gone %v", got.Acknowledged(), got.Gone())
			}
		})
	}
}

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	var reached atomic.Int32
	elsewhere := server(t, func(http.ResponseWriter, *http.Request) { reached.Add(1) })
	for _, status := range []int{301, 302, 303, 307, 308} {
		url := server(t, func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, elsewhere, status) })
		if got := send(t, Config{}, url); got.Status != status || got.Acknowledged() {
			t.Errorf("%d: %+v", status, got)
		}
	}
	if reached.Load() != 0 {
		t.Error("a redirect was followed")
	}
}

func TestEndlessAnswerIsLeft(t *testing.T) {
	t.Parallel()
	left := make(chan struct{})
	url := server(t, func(w http.ResponseWriter, _ *http.Request) {
		defer close(left)
		page := []byte(strings.Repeat("x", 32<<10))
		for range 2 << 10 { // 64 MiB: far more than sockets hold by themselves
			if _, err := w.Write(page); err != nil {
				return
			}
		}
		t.Error("all of a long answer was read")
	})
	if got := send(t, Config{}, url); !got.Acknowledged() {
		t.Errorf("answer %+v", got)
	}
	<-left
}

func TestNoAnswer(t *testing.T) {
	t.Parallel()
	hang := make(chan struct{})
	slow := server(t, func(http.ResponseWriter, *http.Request) { <-hang })
	t.Cleanup(func() { close(hang) })
	breaks := server(t, func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) })
	secure := httptest.NewUnstartedServer(http.NotFoundHandler())
	secure.Config.ErrorLog = nil
	secure.StartTLS()
	t.Cleanup(secure.Close)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	closed := "http://" + listener.Addr().String()
	_ = listener.Close() // nobody listens there now
	for name, tt := range map[string]struct{ url, want string }{
		"slow":              {slow, "the app did not answer in time"},
		"breaks off":        {breaks, "the connection to the app broke"},
		"nobody listens":    {closed, "the app's host refused the connection"},
		"foreign authority": {secure.URL, "the certificate of the app's host is not valid for it"},
		"not TLS":           {strings.Replace(slow, "http:", "https:", 1), "no TLS connection to the app's host came about"},
		"no such host":      {"https://no-such-host.invalid/", "the host name of the app's URL cannot be resolved"},
		"refused url":       {"https://u:planted-password@h/", "deliver url holds a user name or password: remove it, the signature proves who sends"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := Config{}
			if name == "slow" {
				c.Timeout = 50 * time.Millisecond
			}
			if diff := cmp.Diff(Answer{Problem: tt.want}, send(t, c, tt.url)); diff != "" {
				t.Error(diff)
			}
		})
	}
	t.Run("wrong key", func(t *testing.T) {
		t.Parallel()
		got := NewSender(Config{}).Send(t.Context(), "https://h/", secret.New("planted-key"), message)
		if got.Acknowledged() || !strings.HasPrefix(got.Problem, "the stored key is not") || strings.Contains(got.Problem, "planted") {
			t.Errorf("answer %+v", got)
		}
	})
	t.Run("given up", func(t *testing.T) {
		t.Parallel()
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if got := NewSender(Config{}).Send(ctx, slow, NewKey(), message); got.Problem != "the try was given up" {
			t.Errorf("answer %+v", got)
		}
	})
}

func TestTrustedTLS(t *testing.T) {
	t.Parallel()
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.TLS == nil {
			t.Error("not over TLS")
		}
	}))
	t.Cleanup(s.Close)
	pool := x509.NewCertPool()
	pool.AddCert(s.Certificate())
	if got := send(t, Config{RootCAs: pool}, s.URL); !got.Acknowledged() {
		t.Errorf("answer %+v", got)
	}
}

func FuzzURL(f *testing.F) {
	f.Add("https://h/")
	f.Add("http://u:p@[::1%25lo]:8/?q#f")
	f.Fuzz(func(t *testing.T, raw string) {
		u, err := parseURL(raw)
		if err != nil {
			return
		}
		if u.User != nil || u.Host == "" || u.Scheme != "https" && !outbound.Loopback(u.Hostname()) {
			t.Errorf("%q is accepted", raw)
		}
		if _, err := http.NewRequest(http.MethodPost, u.String(), nil); err != nil {
			t.Errorf("%q: no request can be made: %v", raw, err)
		}
	})
}
