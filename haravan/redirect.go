package haravan

import (
	"encoding/hex"
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
	"github.com/haravan-rotator/rotator/internal/shopdomain"
)

const (
	// redirectLife is how long a signed redirect is believed; public clients
	// use the same. Without it a redirect from a log would be good for ever.
	redirectLife = 24 * time.Hour
	// redirectSkew allows for clocks that differ.
	redirectSkew = 10 * time.Minute
)

// Redirect is what a verified redirect from the platform to the app says.
type Redirect struct {
	// Shop is the shop's domain, normalised.
	Shop string
	// Code is the authorization code; zero when the redirect opens the app and
	// does not confirm an installation.
	Code secret.String
	// State is what InstallURL's caller added, if it did.
	State string
	// SignedAt is the signature's time.
	SignedAt time.Time
	// SignedBy is the index of the secret that validated the signature.
	SignedBy int
}

// VerifyRedirect checks the signature of a redirect's raw query (Haravan,
// OAuth, Verification) against each of secrets, in constant time, and its age
// against now.
//
// The signature is lower-case hex HMAC-SHA256 over the other parameters sorted
// by name. Real redirects carry it in "signature" over name=value without any
// separator, as the document's PHP sample does and its text does not; clients
// that take "hmac" join with &. Without separators the message does not say
// where a value ends, so a value of shop, code or timestamp that contains = is
// refused: it could hide another parameter in itself.
//
// Errors: ErrUnsigned, ErrBadSignature, ErrStale, or what is wrong with the
// query. None repeats a value of it.
func VerifyRedirect(rawQuery string, now time.Time, secrets ...secret.String) (Redirect, error) {
	params, err := url.ParseQuery(rawQuery)
	if err != nil {
		return Redirect{}, errors.New("read redirect: the query is not escaped properly")
	}
	for _, values := range params {
		if len(values) != 1 {
			return Redirect{}, errors.New("read redirect: a parameter occurs more than once")
		}
	}
	given, separator := params.Get("signature"), ""
	if mac := params.Get("hmac"); mac != "" {
		if given != "" {
			return Redirect{}, fmt.Errorf("read redirect: %w", ErrUnsigned)
		}
		given, separator = mac, "&"
	}
	if given == "" {
		return Redirect{}, fmt.Errorf("read redirect: %w", ErrUnsigned)
	}
	for _, name := range []string{"shop", "code", "timestamp"} {
		if strings.Contains(params.Get(name), "=") {
			return Redirect{}, fmt.Errorf("read redirect: the value of %s contains =", name)
		}
	}
	mac, err := hex.DecodeString(given)
	if err != nil || given != strings.ToLower(given) {
		return Redirect{}, fmt.Errorf("verify redirect: %w", ErrBadSignature)
	}
	by, err := whose(mac, redirectMessage(params, separator), secrets)
	if err != nil {
		return Redirect{}, fmt.Errorf("verify redirect: %w", err)
	}
	r := Redirect{Code: secret.New(params.Get("code")), State: params.Get("state"), SignedBy: by}
	return r.placed(params, now)
}

// placed fills in shop and time, which only now are worth an error of their own.
func (r Redirect) placed(params url.Values, now time.Time) (Redirect, error) {
	shop, err := shopdomain.Parse(params.Get("shop"))
	if err != nil {
		return Redirect{}, fmt.Errorf("read redirect: %w", err)
	}
	seconds, err := strconv.ParseInt(params.Get("timestamp"), 10, 64)
	if err != nil || seconds < 0 || seconds > 1<<40 {
		return Redirect{}, errors.New("read redirect: the timestamp is not a number of seconds")
	}
	r.Shop, r.SignedAt = shop, time.Unix(seconds, 0).UTC()
	if age := now.Sub(r.SignedAt); age > redirectLife || age < -redirectSkew {
		return Redirect{}, fmt.Errorf("verify redirect: %w", ErrStale)
	}
	return r, nil
}

// RedirectSignature signs params as the platform signs a redirect's
// "signature"; signature and hmac among them are left out.
func RedirectSignature(params url.Values, key secret.String) string {
	return hex.EncodeToString(sign(redirectMessage(params, ""), key))
}

func redirectMessage(params url.Values, separator string) []byte {
	names := make([]string, 0, len(params))
	for name := range params {
		if name != "signature" && name != "hmac" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	var message []byte
	for i, name := range names {
		if i > 0 {
			message = append(message, separator...)
		}
		message = append(append(append(message, name...), '='), params.Get(name)...)
	}
	return message
}
