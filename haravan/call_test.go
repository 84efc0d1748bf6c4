package haravan

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

const testShop = "some-shop.myharavan.com"

func exchangeRequest() ExchangeRequest {
	return ExchangeRequest{
		Shop: testShop, ClientID: "client", Secret: secret.New("new-secret"),
		RefreshToken: secret.New("refresh-token"), AccessToken: secret.New("old-token"),
	}
}

// serve starts a server and a client whose every call goes to it.
func serve(t *testing.T, h http.HandlerFunc, change ...func(*Config)) *Client {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return clientOf(t, server.URL, change...)
}

func clientOf(t *testing.T, apiURL string, change ...func(*Config)) *Client {
	t.Helper()
	config := Config{APIURL: apiURL}
	for _, f := range change {
		f(&config)
	}
	client, err := New(config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.CloseIdle)
	return client
}

// failed asserts that err is an *Error of a class.
func failed(t *testing.T, err error, want rotation.Class) *Error {
	t.Helper()
	var e *Error
	if !errors.As(err, &e) {
		t.Fatalf("error %v (%T) is no *Error", err, err)
	}
	if e.Class != want {
		t.Fatalf("class %q, want %q: %v", e.Class, want, e)
	}
	return e
}

func TestExchange(t *testing.T) {
	t.Parallel()
	for _, w := range Wires() {
		t.Run(fmt.Sprintf("%+v", w), func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(rw http.ResponseWriter, r *http.Request) {
				body, err := io.ReadAll(r.Body)
				if err != nil || r.ContentLength != int64(len(body)) {
					t.Errorf("body of %d bytes, announced %d: %v", len(body), r.ContentLength, err)
				}
				if r.Method != http.MethodPost || r.Host != testShop || r.URL.String() != w.Path {
					t.Errorf("%s %s at %s", r.Method, r.URL, r.Host)
				}
				want := map[string]string{BodyForm: "application/x-www-form-urlencoded", BodyJSON: "application/json"}[w.Body]
				if got := r.Header.Get("Content-Type"); got != want {
					t.Errorf("Content-Type %q, want %q", got, want)
				}
				if got := r.Header.Get("User-Agent"); got != "agent/1" {
					t.Errorf("User-Agent %q", got)
				}
				if got := decode(t, w, body)["refresh_token"]; got != "refresh-token" {
					t.Errorf("refresh_token %q", got)
				}
				rw.Header().Set("X-Haravan-Api-Call-Limit", "3/80")
				_, _ = io.WriteString(rw, `{"access_token":"new-token"}`)
			}, func(c *Config) { c.UserAgent = "agent/1" })
			r := exchangeRequest()
			r.Wire, r.Shop = &w, "https://Some-Shop.myharavan.com/"
			got, err := client.Exchange(t.Context(), r)
			if err != nil {
				t.Fatal(err)
			}
			if got.AccessToken.Reveal() != "new-token" || got.Same {
				t.Errorf("token %q, same %v", got.AccessToken.Reveal(), got.Same)
			}
			if m := got.Meta; m.Status != 200 || m.Used != 3 || m.Size != 80 || m.Latency <= 0 || time.Since(m.Date) > time.Minute {
				t.Errorf("meta %+v", m)
			}
		})
	}
}

func TestExchangeSame(t *testing.T) {
	t.Parallel()
	client := serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(rw, `{"access_token":"old-token"}`)
	})
	got, err := client.Exchange(t.Context(), exchangeRequest())
	if err != nil || !got.Same {
		t.Errorf("same %v, %v", got.Same, err)
	}
	r := exchangeRequest()
	r.Wire = &Wire{RejectSame: true}
	_, err = client.Exchange(t.Context(), r)
	if e := failed(t, err, rotation.ClassBadAnswer); !e.Acted || e.Status != 200 {
		t.Errorf("%+v", e)
	}
	r.AccessToken = secret.String{}
	if got, err := client.Exchange(t.Context(), r); err != nil || got.Same {
		t.Errorf("without a current token: same %v, %v", got.Same, err)
	}
}

func TestExchangeRefusesBeforeSending(t *testing.T) {
	t.Parallel()
	client := serve(t, func(http.ResponseWriter, *http.Request) { t.Error("a request was sent") })
	for name, tt := range map[string]struct {
		change func(*ExchangeRequest)
		want   rotation.Class
	}{
		"shop":          {func(r *ExchangeRequest) { r.Shop = "evil.com" }, rotation.ClassNotFound},
		"client id":     {func(r *ExchangeRequest) { r.ClientID = "" }, rotation.ClassOurs},
		"secret":        {func(r *ExchangeRequest) { r.Secret = secret.String{} }, rotation.ClassOurs},
		"refresh token": {func(r *ExchangeRequest) { r.RefreshToken = secret.String{} }, rotation.ClassOurs},
		"wire":          {func(r *ExchangeRequest) { r.Wire = &Wire{Body: "xml"} }, rotation.ClassOurs},
	} {
		r := exchangeRequest()
		tt.change(&r)
		_, err := client.Exchange(t.Context(), r)
		if e := failed(t, err, tt.want); e.Acted || e.Detail == "" {
			t.Errorf("%s: %+v", name, e)
		}
	}
	_, err := client.Identity(t.Context(), "evil.com", secret.New("t"))
	failed(t, err, rotation.ClassNotFound)
	for _, token := range []string{"", "a b", "a\r\nX-Evil: 1", "ă"} {
		_, err := client.Identity(t.Context(), testShop, secret.New(token))
		failed(t, err, rotation.ClassUnauthorized)
	}
}

func TestIdentity(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body  string
		class rotation.Class
		want  Identity
	}{
		"documented": {
			`{"shop":{"id":1000113763,"name":"Cửa hàng","email":"x","domain":"www.example.com","myharavan_domain":"https://some-shop.myharavan.com/"}}`, "",
			Identity{ID: 1000113763, Name: "Cửa hàng", Domain: "www.example.com", MyharavanDomain: testShop},
		},
		"id as a string, capitals": {
			`{"shop":{"id":"200000000001","name":null,"myharavan_domain":"http://SOME-SHOP.myharavan.com"}}`, "",
			Identity{ID: 200000000001, MyharavanDomain: testShop},
		},
		"odd types": {
			`{"shop":{"id":{},"name":5,"domain":[],"myharavan_domain":"some-shop.myharavan.com"}}`, "",
			Identity{MyharavanDomain: testShop},
		},
		"another shop": {`{"shop":{"id":1,"myharavan_domain":"https://other.myharavan.com"}}`, rotation.ClassWrongShop, Identity{}},
		"no shop":      {`{"shop":{"id":1,"myharavan_domain":"https://evil.com"}}`, rotation.ClassWrongShop, Identity{}},
		"silent":       {`{"shop":{"id":1}}`, rotation.ClassBadAnswer, Identity{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(rw http.ResponseWriter, r *http.Request) {
				if r.Method != http.MethodGet || r.Host != testShop || r.URL.String() != "/admin/shop.json" {
					t.Errorf("%s %s at %s", r.Method, r.URL, r.Host)
				}
				if got := r.Header.Get("Authorization"); got != "Bearer the-token" {
					t.Errorf("Authorization %q", got)
				}
				_, _ = io.WriteString(rw, tt.body)
			})
			got, err := client.Identity(t.Context(), testShop, secret.New("the-token"))
			if tt.class != "" {
				if e := failed(t, err, tt.class); e.Acted || e.Op != OpIdentity || e.Shop != testShop || e.Status != 200 {
					t.Errorf("%+v", e)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			got.Meta = Meta{}
			if diff := cmp.Diff(tt.want, got); diff != "" {
				t.Errorf("-want +got:\n%s", diff)
			}
		})
	}
}

func TestErrorOfAnAnswer(t *testing.T) {
	t.Parallel()
	client := serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Retry-After", "2.0")
		rw.Header().Set("X-Haravan-Api-Call-Limit", "80/80")
		rw.WriteHeader(400)
		_, _ = io.WriteString(rw, `{"error":"invalid_grant","error_description":"It has expired"}`)
	})
	_, err := client.Exchange(t.Context(), exchangeRequest())
	e := failed(t, err, rotation.ClassWindow)
	if e.Status != 400 || e.Code != "invalid_grant" || e.RetryAfter != 2*time.Second || e.Acted || e.Meta.Used != 80 {
		t.Errorf("%+v", e)
	}
	const want = "exchange for some-shop.myharavan.com: the refresh token is refused or expired [400 invalid_grant]: " +
		"It has expired; it asks to wait 2s; create a new refresh token on the app's page in the Partners dashboard and arm the run with it"
	if e.Error() != want {
		t.Errorf("got  %s\nwant %s", e, want)
	}
}

func TestActed(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		status int
		body   string
		want   bool
	}{
		"refused":          {400, `{"error":"invalid_grant"}`, false},
		"refused in a 200": {200, `{"error":"invalid_grant"}`, false},
		"unreadable 200":   {200, `{"access_tok`, true},
		"empty 200":        {200, ``, true},
		"page in a 200":    {200, htmlPage, true},
		"platform":         {500, `Something went wrong. Please try again later.`, false},
		"gateway":          {502, htmlPage, true},
		"gateway timeout":  {504, ``, true},
		"busy":             {429, ``, false},
		"redirect":         {302, ``, false},
		"too long":         {200, `{"access_token":"t","x":"` + strings.Repeat("x", maxBody) + `"}`, true},
		"too long refusal": {404, strings.Repeat("x", maxBody+1), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client := serve(t, func(rw http.ResponseWriter, _ *http.Request) {
				rw.WriteHeader(tt.status)
				_, _ = io.WriteString(rw, tt.body)
			})
			_, err := client.Exchange(t.Context(), exchangeRequest())
			var e *Error
			if !errors.As(err, &e) || e.Acted != tt.want {
				t.Errorf("%+v", e)
			}
			_, err = client.Identity(t.Context(), testShop, secret.New("t"))
			if !errors.As(err, &e) || e.Acted {
				t.Errorf("an identity read acted: %+v", e)
			}
		})
	}
}

func TestLargestBodyIsRead(t *testing.T) {
	t.Parallel()
	body := `{"access_token":"new-token","x":"`
	body += strings.Repeat("x", maxBody-len(body)-2) + `"}`
	client := serve(t, func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, body) })
	if got, err := client.Exchange(t.Context(), exchangeRequest()); err != nil || got.AccessToken.Reveal() != "new-token" {
		t.Errorf("a body of exactly %d bytes: %v", len(body), err)
	}
}
