package haravan

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/internal/outbound"
	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/rotation"
)

// Answer is what came back of one call, whole or in part.
type Answer struct {
	Op Op
	// Status is the HTTP status, 0 when no answer came.
	Status int
	Header http.Header
	// Body is at most 64 KiB; it is not trusted when Err is set.
	Body []byte
	// Err is the transport's error: with Status 0, why no answer came, otherwise
	// why the body is not whole.
	Err error
	// Date is the platform's clock, for a Retry-After given as a date; the local
	// clock is used when it is zero.
	Date time.Time
}

// Verdict is the meaning of an Answer. An empty Class is success.
type Verdict struct {
	Class rotation.Class
	// Code, Detail, RetryAfter are as in Error.
	Code       string
	Detail     string
	RetryAfter time.Duration
	// Cause is safe to wrap: a known error of the transport, or nil.
	Cause error
}

// Classify turns an answer into its outcome class. It is the one place that
// knows what the platform's answers mean.
//
// The error in the body counts before the status, as OAuth has it (RFC 6749,
// section 5.2), with one exception: 429 is always about pace. Haravan documents
// no error bodies for this call, so every shape that its public clients and its
// other pages show is read: error and error_description, errors as a string, a
// list or an object, message, plain text and HTML.
//
// The credentials in sent are masked in Detail and Code.
func Classify(a Answer, sent ...secret.String) Verdict {
	if a.Status == 0 {
		class, words, cause := readTransport(a.Err)
		return Verdict{Class: class, Detail: limited(mask(words, sent...)), Cause: cause}
	}
	v := a.classify()
	if a.Status/100 != 2 {
		v.RetryAfter = outbound.RetryAfter(first(a.Header, "Retry-After"), a.clock())
	}
	v.Detail = limited(mask(v.Detail, sent...))
	if mask(v.Code, sent...) != v.Code {
		v.Code = ""
	}
	return v
}

func (a Answer) clock() time.Time {
	if a.Date.IsZero() {
		return time.Now()
	}
	return a.Date
}

func (a Answer) classify() Verdict {
	if a.Err != nil {
		return a.brokenOff()
	}
	said := readBody(a.Body)
	if coding := first(a.Header, "Content-Encoding"); said.kind == bodyText && coding != "" && coding != "identity" {
		said.kind, said.text = bodyPacked, ""
	}
	if a.Status/100 == 2 && a.succeeds() {
		return Verdict{}
	}
	v := Verdict{Code: said.code, Detail: said.text}
	if a.Status == http.StatusTooManyRequests {
		v.Class = rotation.ClassRateLimited
		return v
	}
	if v.Class = a.byCode(said); v.Class != "" {
		return v
	}
	if v.Class = a.byText(said.text); v.Class != "" {
		return v
	}
	switch {
	case a.Status/100 == 3:
		v.Class, v.Detail = a.redirect()
	case a.Status/100 == 2:
		v.Class = rotation.ClassBadAnswer
		v.Detail = said.whyNoSuccess(a.Op)
	default:
		v.Class = a.byStatus(said.kind)
	}
	return v
}

// brokenOff judges an answer whose body is missing in part or too long. What is
// there of the body is ignored: half an error message can say the opposite.
func (a Answer) brokenOff() Verdict {
	class, words, cause := readTransport(a.Err)
	v := Verdict{Class: class, Detail: "the answer broke off: " + words, Cause: cause}
	if errors.Is(a.Err, errTooLong) {
		v = Verdict{Class: rotation.ClassBadAnswer, Detail: errTooLong.Error()}
	} else if class == rotation.ClassNetwork && cause != nil && isCut(cause) {
		v.Class = rotation.ClassBadAnswer
	}
	// Pace and platform failures are told by the status alone. So is the rest of
	// an error page that is merely too long.
	if a.Status == http.StatusTooManyRequests || a.Status >= 500 ||
		errors.Is(a.Err, errTooLong) && a.Status/100 == 4 {
		v.Class = a.byStatus(bodyHTML)
	}
	return v
}

func (a Answer) succeeds() bool {
	if a.Op == OpExchange {
		_, ok := readToken(a.Body)
		return ok
	}
	_, ok := readIdentity(a.Body)
	return ok
}

// byCode reads the OAuth error codes (RFC 6749, sections 4.1.2.1 and 5.2; RFC
// 6750, section 3.1) and the few of Shopify's, whose platform this one copies.
// It is empty for a code that says nothing.
func (a Answer) byCode(s said) rotation.Class {
	exchange := a.Op == OpExchange
	switch s.code {
	case "invalid_grant", "expired_token", "invalid_token":
		// In an exchange the grant is the refresh token. A wire variant may send
		// the shop's own token beside it: only words tell which one is meant.
		if exchange && !strings.Contains(strings.ToLower(s.text), "access token") {
			return rotation.ClassWindow
		}
		return rotation.ClassUnauthorized
	case "invalid_client", "unauthorized_client", "invalid_request", "unsupported_grant_type",
		"invalid_scope", "application_cannot_be_found":
		if exchange {
			return rotation.ClassOurs
		}
	case "access_denied":
		return rotation.ClassUnauthorized
	case "insufficient_scope":
		return rotation.ClassScope
	case "temporarily_unavailable", "server_error":
		return rotation.ClassPlatform
	case "slow_down", "rate_limited", "too_many_requests":
		return rotation.ClassRateLimited
	case "app_not_installed", "app_uninstalled":
		return rotation.ClassUninstalled
	case "shop_frozen", "shop_locked", "shop_closed":
		return rotation.ClassFrozen
	}
	return ""
}

// byText reads sentences where the protocol wants a code. Only words that can
// hardly mean anything else count, and only in an answer that blames the
// request: "api key" and "access token" are left to the status, because shops
// without the app are told that theirs is invalid, and one such shop must not
// stop a run.
func (a Answer) byText(text string) rotation.Class {
	if a.Status/100 != 4 && a.Status/100 != 2 {
		return ""
	}
	text = strings.ToLower(text)
	says := func(parts ...string) bool {
		for _, p := range parts {
			if strings.Contains(text, p) {
				return true
			}
		}
		return false
	}
	switch {
	case says("not installed", "uninstalled"):
		return rotation.ClassUninstalled
	case a.Op != OpExchange:
		return ""
	case says("refresh token", "refresh_token", "invalid_grant"):
		return rotation.ClassWindow
	case says("invalid_client", "client secret", "client_secret", "shared secret", "shared_secret", "client id", "client_id"):
		return rotation.ClassOurs
	}
	return ""
}

func (a Answer) byStatus(kind bodyKind) rotation.Class {
	switch a.Status {
	case http.StatusUnauthorized:
		return rotation.ClassUnauthorized
	case http.StatusPaymentRequired, http.StatusLocked:
		return rotation.ClassFrozen
	case http.StatusNotFound, http.StatusGone:
		// A page in HTML too: unknown shops are answered by the storefront.
		return rotation.ClassNotFound
	case http.StatusTooManyRequests, 430: // 430: Shopify's block of a client that is too fast
		return rotation.ClassRateLimited
	case http.StatusUnprocessableEntity, http.StatusRequestTimeout, http.StatusConflict, http.StatusTooEarly:
		return rotation.ClassPlatform
	case http.StatusMethodNotAllowed, http.StatusNotAcceptable, http.StatusUnsupportedMediaType:
		if a.Op == OpExchange {
			return rotation.ClassOurs // the wire variant is not this platform's
		}
	}
	switch {
	case a.Status >= 500:
		return rotation.ClassPlatform
	case kind == bodyHTML:
		// A page instead of the protocol: a firewall or a proxy spoke.
		return rotation.ClassBadAnswer
	case a.Status == http.StatusForbidden && a.Op == OpIdentity:
		return rotation.ClassScope
	case a.Status == http.StatusForbidden:
		return rotation.ClassUnauthorized
	case a.Status == http.StatusBadRequest && a.Op == OpExchange:
		return rotation.ClassOurs
	}
	return rotation.ClassBadAnswer
}

// redirect judges a redirect, which is never followed. The platform sends a
// browser to the install prompt when the shop does not have the app (Haravan,
// OAuth, step 2), so a target of the platform's own that is this prompt means
// uninstalled. Every other target, a login page or a foreign host, says nothing
// about the shop: anybody on the way can redirect.
func (a Answer) redirect() (rotation.Class, string) {
	target, err := url.Parse(first(a.Header, "Location"))
	if err != nil || a.Header["Location"] == nil {
		return rotation.ClassBadAnswer, "a redirect without a readable target"
	}
	if !ownHost(target) {
		return rotation.ClassBadAnswer, "a redirect to another host"
	}
	path := strings.ToLower(target.Path)
	for segment := range strings.SplitSeq(path, "/") {
		switch segment {
		case "install", "uninstalled", "app_uninstalled":
			return rotation.ClassUninstalled, "a redirect to the install page"
		}
	}
	if strings.HasSuffix(path, "/oauth/authorize") || strings.HasPrefix(path, "/admin/api/auth") {
		return rotation.ClassUninstalled, "a redirect to the install prompt"
	}
	return rotation.ClassBadAnswer, "a redirect to " + target.Path
}

// ownHost reports whether the target is relative or one of Haravan's hosts.
func ownHost(target *url.URL) bool {
	host := strings.ToLower(target.Hostname())
	for _, own := range []string{"myharavan.com", "haravan.com", "hara.vn"} {
		if host == own || strings.HasSuffix(host, "."+own) {
			return true
		}
	}
	return host == "" && target.Opaque == ""
}
