package haravan

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopdomain"
	"github.com/haravan-rotator/rotator/rotation"
)

const identityPath = "/admin/shop.json"

// Identity is whose token it is, as the platform says.
type Identity struct {
	// ID is the shop's number (the organisation's id); 0 when unreadable.
	ID   int64
	Name string
	// Domain is the merchant's own host name, as the platform wrote it.
	Domain string
	// MyharavanDomain is the shop's domain, normalised: equal to the shop asked.
	MyharavanDomain string
	Meta            Meta
}

// Identity reads shop.json with token and checks that it is shop's. An answer
// for another shop is an *Error of ClassWrongShop: that token must not be
// stored for this shop. 401 means that the token is dead, 403 that it lives but
// lacks a scope. (Haravan, OAuth, step 4.)
func (c *Client) Identity(ctx context.Context, shop string, token secret.String) (Identity, error) {
	domain, err := shopdomain.Parse(shop)
	if err != nil {
		return Identity{}, &Error{Op: OpIdentity, Class: rotation.ClassNotFound, Detail: err.Error()}
	}
	if !usableToken(token.Reveal()) {
		return Identity{}, &Error{
			Op: OpIdentity, Shop: domain, Class: rotation.ClassUnauthorized,
			Detail: "the token is empty or has characters that no header can carry",
		}
	}
	at := c.shopURL
	if at == nil {
		at = c.address.url(domain, identityPath)
	}
	got := c.roundTrip(ctx, &http.Request{
		Method: http.MethodGet, URL: at, Host: domain, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Authorization": {"Bearer " + token.Reveal()},
			// Documented for every authenticated request, a GET included.
			"Content-Type": c.jsonHeader["Content-Type"], "Accept": c.jsonHeader["Accept"], "User-Agent": c.agent,
			"Accept-Encoding": c.jsonHeader["Accept-Encoding"],
		},
	})
	defer got.release()
	if got.err == nil && got.meta.Status/100 == 2 {
		if identity, ok := readIdentity(got.body); ok {
			return identity.belongingTo(domain, token, got.meta)
		}
	}
	return Identity{}, got.failure(OpIdentity, domain, token)
}

// belongingTo compares by normalised domain: the platform writes
// myharavan_domain with a scheme and sometimes with a trailing slash.
func (i Identity) belongingTo(shop string, token secret.String, meta Meta) (Identity, error) {
	i.Meta = meta
	answered, err := shopdomain.Parse(i.MyharavanDomain)
	if err == nil && answered == shop {
		i.MyharavanDomain = answered
		return i, nil
	}
	detail := "its domain is no shop's domain"
	if err == nil {
		detail = "it is " + answered
	}
	return Identity{}, &Error{
		Op: OpIdentity, Shop: shop, Class: rotation.ClassWrongShop, Status: meta.Status,
		Detail: limited(mask(detail, token)), Meta: meta,
	}
}

// readIdentity reads the body of shop.json. Only the domain is proof; the rest
// is taken where it has the expected shape, since an id written as a string or
// a name of null is no reason to doubt a token.
func readIdentity(body []byte) (Identity, bool) {
	var answer struct {
		Shop struct {
			ID              json.RawMessage `json:"id"`
			Name            string          `json:"name"`
			Domain          string          `json:"domain"`
			MyharavanDomain string          `json:"myharavan_domain"`
		} `json:"shop"`
	}
	var wrongType *json.UnmarshalTypeError
	if err := json.Unmarshal(unmarked(body), &answer); err != nil && !errors.As(err, &wrongType) {
		return Identity{}, false
	}
	shop := answer.Shop
	id, err := strconv.ParseInt(strings.Trim(string(shop.ID), `"`), 10, 64)
	if err != nil {
		id = 0
	}
	return Identity{ID: id, Name: shop.Name, Domain: shop.Domain, MyharavanDomain: shop.MyharavanDomain},
		shop.MyharavanDomain != ""
}
