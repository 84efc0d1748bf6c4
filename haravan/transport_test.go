package haravan

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

func TestRedirectsAreNotFollowed(t *testing.T) {
	t.Parallel()
	trap := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		t.Errorf("the redirect was followed: %s %s", r.Method, r.URL)
	}))
	t.Cleanup(trap.Close)
	for _, status := range []int{301, 302, 303, 307, 308} {
		client := serve(t, func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, trap.URL+"/admin/oauth/access_token", status)
		})
		_, err := client.Exchange(t.Context(), exchangeRequest())
		failed(t, err, rotation.ClassBadAnswer)
		_, err = client.Identity(t.Context(), testShop, secret.New("t"))
		failed(t, err, rotation.ClassBadAnswer)
	}
}

func TestConnectionsAreReused(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	remotes := map[string]bool{}
	status := 200
	client := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		remotes[r.RemoteAddr] = true
		status++
		rw.WriteHeader(200 + 100*(status%4)) // 200 to 500
		_, _ = io.WriteString(rw, strings.Repeat("x", 20<<10))
	})
	for range 12 {
		if _, err := client.Exchange(t.Context(), exchangeRequest()); err == nil {
			t.Fatal("an answer of rubbish was accepted")
		}
	}
	if len(remotes) != 1 {
		t.Errorf("%d connections for 12 calls in a row, want 1", len(remotes))
	}
}

func TestHostPerShop(t *testing.T) {
	t.Parallel()
	// A proxy in the small: every name leads to the one TLS server, whose
	// certificate is for another name than the shop's.
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, `{"access_token":"new-token"}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0) // a refused handshake is wanted
	server.StartTLS()
	t.Cleanup(server.Close)
	at, err := url.Parse(server.URL)
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	client := clientOf(t, "https://{shop}", func(c *Config) { c.RootCAs = pool })
	client.transport.Proxy = nil // the machine may have one
	dial := client.transport.DialContext
	var dialled string
	client.transport.DialContext = func(ctx context.Context, network, addr string) (net.Conn, error) {
		dialled = addr
		return dial(ctx, network, at.Host)
	}
	_, err = client.Exchange(t.Context(), exchangeRequest())
	e := failed(t, err, rotation.ClassNetwork)
	if !errors.Is(err, ErrUntrusted) || e.Acted || !strings.Contains(e.Detail, "another name") {
		t.Errorf("%+v", e)
	}
	if dialled != testShop+":443" {
		t.Errorf("dialled %s", dialled)
	}
	// The test server's certificate is for example.com: under that name, and
	// with HTTP/2 or not, the call is verified and passes.
	client.transport.TLSClientConfig.ServerName = "example.com"
	if _, err := client.Exchange(t.Context(), exchangeRequest()); err != nil {
		t.Error(err)
	}
}

func TestHTTP2(t *testing.T) {
	t.Parallel()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if r.ProtoMajor != 2 || r.Host != testShop || len(body) == 0 {
			t.Errorf("%s at %s with a body of %d bytes", r.Proto, r.Host, len(body))
		}
		_, _ = io.WriteString(rw, `{"access_token":"new-token"}`)
	}))
	server.Config.ErrorLog = log.New(io.Discard, "", 0)
	server.EnableHTTP2 = true
	server.StartTLS()
	t.Cleanup(server.Close)
	pool := x509.NewCertPool()
	pool.AddCert(server.Certificate())
	client := clientOf(t, server.URL, func(c *Config) { c.RootCAs = pool })
	if _, err := client.Exchange(t.Context(), exchangeRequest()); err != nil {
		t.Error(err)
	}
	_, err := clientOf(t, server.URL).Exchange(t.Context(), exchangeRequest())
	if e := failed(t, err, rotation.ClassNetwork); !errors.Is(err, ErrUntrusted) || !strings.Contains(e.Detail, "unknown authority") {
		t.Errorf("%+v", e)
	}
}

func TestManyAtOnce(t *testing.T) {
	t.Parallel()
	client := serve(t, func(rw http.ResponseWriter, r *http.Request) {
		name, _, _ := strings.Cut(r.Host, ".")
		if r.URL.Path == identityPath {
			_, _ = fmt.Fprintf(rw, `{"shop":{"id":1,"myharavan_domain":"https://%s"}}`, r.Host)
			return
		}
		_, _ = fmt.Fprintf(rw, `{"access_token":"token-of-%s"}`, name)
	})
	var wg sync.WaitGroup
	for i := range 16 {
		wg.Go(func() {
			for j := range 20 {
				r := exchangeRequest()
				name := fmt.Sprintf("shop-%d-%d", i, j)
				r.Shop = name
				got, err := client.Exchange(t.Context(), r)
				if err != nil || got.AccessToken.Reveal() != "token-of-"+name {
					t.Errorf("%s got %q, %v", name, got.AccessToken.Reveal(), err)
					return
				}
				if _, err := client.Identity(t.Context(), name, got.AccessToken); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
}
