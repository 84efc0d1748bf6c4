package haravan_test

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/rotation"
)

// platform answers an exchange as one that takes some spellings only.
type platform func(haravan.Wire) *haravan.Error

func refusal(status int, code, detail string, class rotation.Class) *haravan.Error {
	return &haravan.Error{Op: haravan.OpExchange, Status: status, Code: code, Detail: detail, Class: class}
}

// search probes one living shop and tells what it came to.
func search(first haravan.Wire, h *haravan.Hints, answer platform) (taken *haravan.Wire, tried int, last haravan.Hearing) {
	p := haravan.NewProbe(first, h)
	for {
		w, ok := p.Next()
		if !ok || p.Refused() {
			return nil, p.Tried(), last
		}
		e := answer(w)
		if e == nil {
			return &w, p.Tried(), last
		}
		switch last = p.Hear(w, e); last {
		case haravan.HeardShop:
			p.ShopLives()
		case haravan.HeardRefusal, haravan.HeardNothing:
			return nil, p.Tried(), last
		}
	}
}

func TestAProbeFindsEverySpellingThatOnlyOneIsTaken(t *testing.T) {
	t.Parallel()
	// What a platform may say to every other spelling.
	manners := map[string]func(got, want haravan.Wire) *haravan.Error{
		"says what is missing": func(got, want haravan.Wire) *haravan.Error {
			switch {
			case got.Path != want.Path:
				return refusal(404, "", "Not Found", rotation.ClassNotFound)
			case got.Body != want.Body:
				return refusal(400, "invalid_request", "the body must be sent as "+want.Body, rotation.ClassOurs)
			case got.SecretParam != want.SecretParam:
				return refusal(400, "invalid_request", "the secret's parameter is missing", rotation.ClassOurs)
			case got.SendGrantType != want.SendGrantType:
				return refusal(400, "invalid_request", "grant_type is missing", rotation.ClassOurs)
			}
			return refusal(400, "invalid_request", "access_token must be a living token of this shop", rotation.ClassOurs)
		},
		"says nothing":          func(haravan.Wire, haravan.Wire) *haravan.Error { return refusal(400, "", "", rotation.ClassOurs) },
		"calls the media wrong": func(haravan.Wire, haravan.Wire) *haravan.Error { return refusal(415, "", "", rotation.ClassOurs) },
		"calls it unauthorized": func(haravan.Wire, haravan.Wire) *haravan.Error {
			return refusal(401, "", "", rotation.ClassUnauthorized)
		},
	}
	for name, answer := range manners {
		for _, want := range haravan.Wires() {
			t.Run(name+"/"+want.String(), func(t *testing.T) {
				t.Parallel()
				got, tried, _ := search(haravan.DefaultWire(), &haravan.Hints{}, func(w haravan.Wire) *haravan.Error {
					if w == want {
						return nil
					}
					return answer(w, want)
				})
				if got == nil || *got != want {
					t.Fatalf("found %v after %d spellings", got, tried)
				}
				if most := 12; name == "says what is missing" && tried > most {
					t.Errorf("%d spellings were tried", tried)
				}
			})
		}
	}
}

func TestAPlatformThatReadsEitherNameIsAnsweredAtOnce(t *testing.T) {
	t.Parallel()
	own := haravan.Wire{SecretParam: haravan.SecretParamShared, Path: haravan.PathJSON, Body: haravan.BodyJSON, RejectSame: true}
	got, tried, _ := search(own, &haravan.Hints{}, func(haravan.Wire) *haravan.Error { return nil })
	if tried != 1 || got == nil || *got != own {
		t.Errorf("%v after %d spellings: the app's own was to be tried first", got, tried)
	}
}

// What is wrong with the credentials must not be taken for the spelling.
func TestRefusedCredentialsEndAProbeSoon(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		answer platform
		most   int
		last   haravan.Hearing
	}{
		"refresh token refused": {func(haravan.Wire) *haravan.Error {
			return refusal(400, "invalid_grant", "refresh token expired, a new one is required", rotation.ClassWindow)
		}, 1, haravan.HeardRefusal},
		"refresh token refused in words": {func(haravan.Wire) *haravan.Error {
			return refusal(401, "", "the refresh token is invalid", rotation.ClassWindow)
		}, 1, haravan.HeardRefusal},
		"client refused whatever the name": {func(haravan.Wire) *haravan.Error {
			return refusal(401, "invalid_client", "client authentication failed", rotation.ClassOurs)
		}, 8, haravan.HeardSpelling},
		"client refused under the name that is read": {func(w haravan.Wire) *haravan.Error {
			if w.SecretParam == haravan.SecretParamShared {
				return refusal(400, "invalid_request", "the secret's parameter is missing", rotation.ClassOurs)
			}
			return refusal(401, "invalid_client", "client authentication failed", rotation.ClassOurs)
		}, 6, haravan.HeardSpelling},
		"neither path is there": {func(haravan.Wire) *haravan.Error {
			return refusal(404, "", "Not Found", rotation.ClassNotFound)
		}, 3, haravan.HeardShop},
		"an outage": {func(haravan.Wire) *haravan.Error {
			return refusal(500, "", "Something went wrong", rotation.ClassPlatform)
		}, 4, haravan.HeardNothing},
		"pace": {func(haravan.Wire) *haravan.Error {
			return refusal(429, "", "", rotation.ClassRateLimited)
		}, 1, haravan.HeardNothing},
		"a lost answer": {func(haravan.Wire) *haravan.Error {
			return &haravan.Error{Class: rotation.ClassNetwork, Acted: true}
		}, 1, haravan.HeardNothing},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			taken, tried, last := search(haravan.DefaultWire(), &haravan.Hints{}, tt.answer)
			if taken != nil || tried > tt.most || last != tt.last {
				t.Errorf("took %v after %d spellings, the last heard as %d", taken, tried, last)
			}
		})
	}
}

func TestAnOutageIsProbedOnce(t *testing.T) {
	t.Parallel()
	down := func(haravan.Wire) *haravan.Error { return refusal(500, "", "", rotation.ClassPlatform) }
	h := &haravan.Hints{}
	search(haravan.DefaultWire(), h, down)
	if _, tried, _ := search(haravan.DefaultWire(), h, down); tried != 1 {
		t.Errorf("the second shop was asked %d times", tried)
	}
}

func TestADeadShopTeachesNothingWrong(t *testing.T) {
	t.Parallel()
	h := &haravan.Hints{}
	p := haravan.NewProbe(haravan.DefaultWire(), h)
	w, _ := p.Next()
	if got := p.Hear(w, refusal(404, "", "Not Found", rotation.ClassNotFound)); got != haravan.HeardShop {
		t.Fatalf("heard %d", got)
	}
	// The shop was dead: the next one begins with the app's own spelling again.
	if next, _ := haravan.NewProbe(haravan.DefaultWire(), h).Next(); next != haravan.DefaultWire() {
		t.Errorf("the next shop begins with %v", next)
	}
}

// Whatever a platform answers, a probe ends, and tries no spelling twice.
func TestAProbeEnds(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		seen := map[haravan.Wire]bool{}
		search(haravan.DefaultWire(), &haravan.Hints{}, func(w haravan.Wire) *haravan.Error {
			if seen[w] {
				t.Fatalf("%v was tried twice", w)
			}
			seen[w] = true
			return refusal(
				rapid.SampledFrom([]int{200, 302, 400, 401, 403, 404, 405, 415, 422, 500}).Draw(t, "status"),
				rapid.SampledFrom([]string{"", "invalid_request", "invalid_client", "unsupported_grant_type"}).Draw(t, "code"),
				rapid.SampledFrom([]string{"", "secret is missing", "grant_type is required", "access token", "form"}).Draw(t, "detail"),
				rapid.SampledFrom([]rotation.Class{rotation.ClassOurs, rotation.ClassUnauthorized, rotation.ClassNotFound, rotation.ClassPlatform, rotation.ClassBadAnswer}).Draw(t, "class"))
		})
		if len(seen) == 0 || len(seen) > len(haravan.Wires()) {
			t.Fatal(fmt.Sprint(len(seen), " spellings were tried"))
		}
	})
}
