package haravan

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"net/http"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// The webhook signature's header in both spellings, gen 2 and gen 1
// ("X-Haravan-Hmac-SHA256"), as net/http canonicalises them.
const (
	WebhookSignatureHeader    = "X-Haravan-Hmacsha256"
	OldWebhookSignatureHeader = "X-Haravan-Hmac-Sha256"
)

// Errors of VerifyWebhook and VerifyRedirect.
var (
	ErrUnsigned     = errors.New("no signature, or more than one")
	ErrBadSignature = errors.New("the signature is of none of the app's secrets")
	ErrStale        = errors.New("the timestamp is too old or lies in the future")
)

// SignWebhook returns the signature of body under key as the platform writes
// it: base64 of HMAC-SHA256 over the raw bytes.
func SignWebhook(body []byte, key secret.String) string {
	return base64.StdEncoding.EncodeToString(sign(body, key))
}

// VerifyWebhook checks a webhook's signature over its raw body against each of
// secrets and returns the index of the first that validates it, so that the
// caller can count who still signs with the old one. A zero secret validates
// nothing. Haravan does not say which secret signs while two are live (API
// Credential Rotation, step 2), so both are given then.
//
// Errors: ErrUnsigned, ErrBadSignature. Every secret is tried whatever the
// others said, and compared in constant time.
func VerifyWebhook(h http.Header, body []byte, secrets ...secret.String) (int, error) {
	values := append(append([]string(nil), h[WebhookSignatureHeader]...), h[OldWebhookSignatureHeader]...)
	if len(values) == 0 {
		return -1, ErrUnsigned
	}
	for _, v := range values[1:] {
		if v != values[0] {
			return -1, ErrUnsigned
		}
	}
	given, err := base64.StdEncoding.Strict().DecodeString(values[0])
	if err != nil {
		return -1, ErrBadSignature
	}
	return whose(given, body, secrets)
}

// whose returns the index of the first secret under which given signs message.
func whose(given, message []byte, secrets []secret.String) (int, error) {
	found := -1
	for i, key := range secrets {
		if hmac.Equal(given, sign(message, key)) && !key.IsZero() && found < 0 {
			found = i
		}
	}
	if found < 0 {
		return -1, ErrBadSignature
	}
	return found, nil
}

func sign(message []byte, key secret.String) []byte {
	mac := hmac.New(sha256.New, []byte(key.Reveal()))
	mac.Write(message)
	return mac.Sum(nil)
}
