package haravan

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"strings"
)

// The spellings that a Wire chooses from.
const (
	SecretParamClient = "client_secret" // both code samples of the rotation document
	SecretParamShared = "shared_secret" // its parameter table
	SecretParamBoth   = "both"

	PathPlain = "/admin/oauth/access_token"
	PathJSON  = "/admin/oauth/access_token.json"

	BodyForm = "form" // application/x-www-form-urlencoded
	BodyJSON = "json" // application/json
)

// Wire is one spelling of the exchange request. Haravan, API Credential
// Rotation, step 5 contradicts itself: its parameter table says shared_secret
// and both samples send client_secret; the path is given with and without
// .json; one sample posts a form, the other JSON. Which one the live platform
// takes is found by trying (Wires), so it is data and not code.
//
// An empty field means its default, so the zero Wire is DefaultWire.
type Wire struct {
	// SecretParam names the parameter of the shared secret: SecretParamClient
	// (default), SecretParamShared or SecretParamBoth.
	SecretParam string `json:"secret_param,omitempty"`
	// Path of the token endpoint: PathPlain (default), PathJSON, or another
	// absolute path.
	Path string `json:"path,omitempty"`
	// Body is BodyForm (default) or BodyJSON.
	Body string `json:"body,omitempty"`
	// SendAccessToken adds the shop's current token, as later editions of this
	// call on Shopify's platform do. Shops without a token omit it.
	SendAccessToken bool `json:"send_access_token,omitempty"`
	// SendGrantType adds grant_type=refresh_token (RFC 6749, section 6).
	SendGrantType bool `json:"send_grant_type,omitempty"`
	// RejectSame makes an answer that repeats the shop's current token an
	// error. By default it is accepted and told in Exchanged.Same.
	RejectSame bool `json:"reject_same,omitempty"`
}

// DefaultWire is the spelling of the documents' code samples, written out.
func DefaultWire() Wire {
	return Wire{SecretParam: SecretParamClient, Path: PathPlain, Body: BodyForm}
}

// Wires lists every spelling of the request, the likelier first, for a probe
// that looks for the one the platform takes. RejectSame is false in all.
func Wires() []Wire {
	var all []Wire
	for _, extra := range []Wire{
		{}, {SendGrantType: true}, {SendAccessToken: true}, {SendGrantType: true, SendAccessToken: true},
	} {
		for _, param := range []string{SecretParamClient, SecretParamShared, SecretParamBoth} {
			for _, body := range []string{BodyForm, BodyJSON} {
				for _, path := range []string{PathPlain, PathJSON} {
					w := extra
					w.SecretParam, w.Body, w.Path = param, body, path
					all = append(all, w)
				}
			}
		}
	}
	return all
}

// Validate reports every mistake of w at once.
func (w Wire) Validate() error {
	w = w.filled()
	var errs []error
	switch w.SecretParam {
	case SecretParamClient, SecretParamShared, SecretParamBoth:
	default:
		errs = append(errs, fmt.Errorf("wire secret_param %.40q: use %s, %s or %s",
			w.SecretParam, SecretParamClient, SecretParamShared, SecretParamBoth))
	}
	switch w.Body {
	case BodyForm, BodyJSON:
	default:
		errs = append(errs, fmt.Errorf("wire body %.40q: use %s or %s", w.Body, BodyForm, BodyJSON))
	}
	if !plainPath(w.Path) {
		errs = append(errs, fmt.Errorf("wire path %.40q: use %s, %s or another absolute path of letters, digits and -._",
			w.Path, PathPlain, PathJSON))
	}
	return errors.Join(errs...)
}

// plainPath reports whether p needs no escaping and cannot leave its place: no
// empty or dotted segment, no query.
func plainPath(p string) bool {
	rest, absolute := strings.CutPrefix(p, "/")
	if !absolute || len(p) > 200 {
		return false
	}
	for segment := range strings.SplitSeq(rest, "/") {
		if strings.Trim(segment, ".") == "" {
			return false
		}
	}
	return !strings.ContainsFunc(p, func(c rune) bool {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9'
		return !letter && !strings.ContainsRune("/-._", c)
	})
}

// filled returns w with the defaults in place of its empty fields.
func (w Wire) filled() Wire {
	d := DefaultWire()
	if w.SecretParam == "" {
		w.SecretParam = d.SecretParam
	}
	if w.Path == "" {
		w.Path = d.Path
	}
	if w.Body == "" {
		w.Body = d.Body
	}
	return w
}

// encode writes the request's body. Hand-written, because url.Values and a map
// for encoding/json cost more than the rest of building the request; w is
// filled and valid.
func (w Wire) encode(r ExchangeRequest) []byte {
	e := encoder{json: w.Body == BodyJSON, buf: make([]byte, 0, 256)}
	e.add("client_id", r.ClientID)
	if w.SecretParam != SecretParamShared {
		e.add(SecretParamClient, r.Secret.Reveal())
	}
	if w.SecretParam != SecretParamClient {
		e.add(SecretParamShared, r.Secret.Reveal())
	}
	e.add("refresh_token", r.RefreshToken.Reveal())
	if w.SendAccessToken && !r.AccessToken.IsZero() {
		e.add("access_token", r.AccessToken.Reveal())
	}
	if w.SendGrantType {
		e.add("grant_type", "refresh_token")
	}
	if e.json {
		e.buf = append(e.buf, '}')
	}
	return e.buf
}

type encoder struct {
	json bool
	buf  []byte
}

// add appends one parameter. Names are constants that need no escaping.
func (e *encoder) add(name, value string) {
	if !e.json {
		if len(e.buf) > 0 {
			e.buf = append(e.buf, '&')
		}
		e.buf = append(append(e.buf, name...), '=')
		e.buf = append(e.buf, url.QueryEscape(value)...)
		return
	}
	separator := byte('{')
	if len(e.buf) > 0 {
		separator = ','
	}
	e.buf = append(append(append(e.buf, separator, '"'), name...), '"', ':')
	quoted, err := json.Marshal(value)
	if err != nil {
		panic("haravan: encode a string: " + err.Error()) // encoding/json never fails on one
	}
	e.buf = append(e.buf, quoted...)
}
