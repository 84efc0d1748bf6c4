package haravan

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// BenchmarkExchangeAndIdentity is one shop's two calls against a server in the
// same process, which takes part of the machine: compare runs, not machines.
func BenchmarkExchangeAndIdentity(b *testing.B) {
	token, shop := []byte(`{"access_token":"f85632530bf277ec9ac6f649fc327f17"}`),
		[]byte(`{"shop":{"id":1000113763,"name":"Some shop","domain":"www.example.com","myharavan_domain":"https://some-shop.myharavan.com"}}`)
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		rw.Header()["X-Haravan-Api-Call-Limit"] = []string{"1/80"}
		if r.Method == http.MethodPost {
			_, _ = rw.Write(token)
		} else {
			_, _ = rw.Write(shop)
		}
	}))
	defer server.Close()
	client, err := New(Config{APIURL: server.URL, InFlight: 64})
	if err != nil {
		b.Fatal(err)
	}
	defer client.CloseIdle()
	r := exchangeRequest()
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			got, err := client.Exchange(b.Context(), r)
			if err != nil {
				b.Error(err)
				return
			}
			if _, err := client.Identity(b.Context(), testShop, got.AccessToken); err != nil {
				b.Error(err)
				return
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "shops/s")
}

// BenchmarkRoundTripOnly is the floor: the same two calls by net/http alone,
// with no meaning read into the answers.
func BenchmarkRoundTripOnly(b *testing.B) {
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		_, _ = io.Copy(io.Discard, r.Body)
		_, _ = io.WriteString(rw, `{"access_token":"f85632530bf277ec9ac6f649fc327f17"}`)
	}))
	defer server.Close()
	client, err := New(Config{APIURL: server.URL, InFlight: 64})
	if err != nil {
		b.Fatal(err)
	}
	defer client.CloseIdle()
	r := exchangeRequest()
	b.ReportAllocs()
	b.SetParallelism(32)
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			for range 2 {
				req, _ := client.exchangeRequest(testShop, client.wire, r)
				resp, err := client.transport.RoundTrip(req)
				if err != nil {
					b.Error(err)
					return
				}
				_, _ = io.Copy(io.Discard, resp.Body)
				_ = resp.Body.Close()
			}
		}
	})
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "shops/s")
}

func BenchmarkFailure(b *testing.B) {
	answer := reply{meta: Meta{Status: 400}, body: []byte(`{"error":"invalid_grant","error_description":"The refresh token has expired"}`)}
	sent := []secret.String{secret.New("f85632530bf277ec9ac6f649fc327f17"), secret.New("a94a110d86d2452eb3e2af4cfb8a3828")}
	b.ReportAllocs()
	for b.Loop() {
		if answer.failure(OpExchange, testShop, sent...).Detail == "" {
			b.Fatal("no detail")
		}
	}
}
