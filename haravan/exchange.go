package haravan

import (
	"context"
	"encoding/json"
	"net/http"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopdomain"
	"github.com/haravan-rotator/rotator/rotation"
)

// maxToken is the longest access token believed to be one. Haravan's are 32 or
// 64 characters; a signed token may be a few kilobytes.
const maxToken = 8 << 10

// ExchangeRequest asks for one shop's new access token.
type ExchangeRequest struct {
	// Shop is the shop's domain, in any spelling that shopdomain.Parse takes.
	Shop string
	// ClientID is the app's API key.
	ClientID string
	// Secret is the new shared secret; the token is pinned to it.
	Secret secret.String
	// RefreshToken is the app-wide one-hour one, the same for every shop.
	RefreshToken secret.String
	// AccessToken is the shop's current token, for Exchanged.Same and
	// Wire.SendAccessToken; zero when there is none.
	AccessToken secret.String
	// Wire replaces the client's for this call, for probing; nil for the client's.
	Wire *Wire
}

// Exchanged is a successful exchange. The token is minted but not proven.
type Exchanged struct {
	AccessToken secret.String
	// Same says that the platform repeated the shop's current token.
	Same bool
	Meta Meta
}

// Exchange asks for a new access token (Haravan, API Credential Rotation,
// step 5). It sends one request; every error is an *Error, and Error.Acted
// tells whether a token may have been minted that nobody holds.
func (c *Client) Exchange(ctx context.Context, r ExchangeRequest) (Exchanged, error) {
	shop, err := shopdomain.Parse(r.Shop)
	if err != nil {
		return Exchanged{}, &Error{Op: OpExchange, Class: rotation.ClassNotFound, Detail: err.Error()}
	}
	wire := c.wire
	if r.Wire != nil {
		if err := r.Wire.Validate(); err != nil {
			return Exchanged{}, oursError(shop, limited(err.Error()))
		}
		wire = r.Wire.filled()
	}
	if missing := r.missing(); missing != "" {
		return Exchanged{}, oursError(shop, "no "+missing+" was given")
	}
	req, body := c.exchangeRequest(shop, wire, r)
	got := c.roundTrip(ctx, req)
	defer got.release()
	if got.err != nil && got.meta.Status == 0 {
		got.written = body.revoke()
	}
	if got.err == nil && got.meta.Status/100 == 2 {
		if token, ok := readToken(got.body); ok {
			return accepted(shop, wire, r, secret.New(token), got.meta)
		}
	}
	return Exchanged{}, got.failure(OpExchange, shop, r.Secret, r.RefreshToken, r.AccessToken)
}

func accepted(shop string, w Wire, r ExchangeRequest, token secret.String, meta Meta) (Exchanged, error) {
	same := token.Equal(r.AccessToken) // token is never empty
	if same && w.RejectSame {
		return Exchanged{}, &Error{
			Op: OpExchange, Shop: shop, Class: rotation.ClassBadAnswer, Status: meta.Status,
			Detail: "the answer repeats the shop's current token, which this app's wire variant rejects",
			Acted:  true, Meta: meta,
		}
	}
	return Exchanged{AccessToken: token, Same: same, Meta: meta}, nil
}

func (r ExchangeRequest) missing() string {
	switch {
	case r.ClientID == "":
		return "client id"
	case r.Secret.IsZero():
		return "secret"
	case r.RefreshToken.IsZero():
		return "refresh token"
	}
	return ""
}

func oursError(shop, detail string) *Error {
	return &Error{Op: OpExchange, Shop: shop, Class: rotation.ClassOurs, Detail: detail}
}

func (c *Client) exchangeRequest(shop string, w Wire, r ExchangeRequest) (*http.Request, *outgoing) {
	header := c.formHeader
	if w.Body == BodyJSON {
		header = c.jsonHeader
	}
	at := c.exchangeURL
	if at == nil || w.Path != c.wire.Path {
		at = c.address.url(shop, w.Path)
	}
	body := &outgoing{data: w.encode(r)}
	return &http.Request{
		Method: http.MethodPost, URL: at, Host: shop, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Body: body.open(), GetBody: body.reopen, ContentLength: int64(len(body.data)),
	}, body
}

// readToken finds the access token in an answer of success. Other fields are
// allowed and ignored; a token that no Authorization header could carry
// (RFC 6750, section 2.1) is none.
func readToken(body []byte) (string, bool) {
	var answer struct {
		AccessToken string `json:"access_token"`
	}
	if err := json.Unmarshal(unmarked(body), &answer); err != nil {
		return "", false
	}
	return answer.AccessToken, usableToken(answer.AccessToken)
}

// usableToken reports whether t can stand in a header: visible ASCII only.
func usableToken(t string) bool {
	for i := range len(t) {
		if t[i] <= ' ' || t[i] > '~' {
			return false
		}
	}
	return t != "" && len(t) <= maxToken
}
