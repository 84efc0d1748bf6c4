package haravan

import (
	"encoding/base64"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/internal/secret"
)

var (
	oldSecret, newSecret = secret.New("old-secret"), secret.New("new-secret")
	webhookBody          = []byte("{\"id\": 1, \"name\": \"Cửa hàng\"}\n")
)

// Computed with: printf '%s' '{"id":1}' | openssl dgst -sha256 -hmac hush -binary | base64
const opensslSignature = "VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY="

func TestSignWebhookAgreesWithOpenSSL(t *testing.T) {
	t.Parallel()
	if got := SignWebhook([]byte(`{"id":1}`), secret.New("hush")); got != opensslSignature {
		t.Errorf("got %s", got)
	}
}

func TestVerifyWebhook(t *testing.T) {
	t.Parallel()
	signedOld, signedNew := SignWebhook(webhookBody, oldSecret), SignWebhook(webhookBody, newSecret)
	header := func(pairs ...string) http.Header {
		h := http.Header{}
		for i := 0; i < len(pairs); i += 2 {
			h.Add(pairs[i], pairs[i+1])
		}
		return h
	}
	both := []secret.String{newSecret, oldSecret}
	for name, tt := range map[string]struct {
		header  http.Header
		secrets []secret.String
		by      int
		err     error
	}{
		"new":             {header("X-Haravan-Hmacsha256", signedNew), both, 0, nil},
		"old":             {header("X-Haravan-Hmacsha256", signedOld), both, 1, nil},
		"gen 1 spelling":  {header("X-Haravan-Hmac-SHA256", signedNew), both, 0, nil},
		"odd case":        {header("x-HARAVAN-hmacSHA256", signedNew), both, 0, nil},
		"both, agreeing":  {header("X-Haravan-Hmac-SHA256", signedNew, "X-Haravan-Hmacsha256", signedNew), both, 0, nil},
		"both, differing": {header("X-Haravan-Hmac-SHA256", signedNew, "X-Haravan-Hmacsha256", signedOld), both, -1, ErrUnsigned},
		"twice":           {header("X-Haravan-Hmacsha256", signedNew, "X-Haravan-Hmacsha256", "x"), both, -1, ErrUnsigned},
		"same secret":     {header("X-Haravan-Hmacsha256", signedNew), []secret.String{newSecret, newSecret}, 0, nil},
		"only the other":  {header("X-Haravan-Hmacsha256", signedOld), both[:1], -1, ErrBadSignature},
		"no secrets":      {header("X-Haravan-Hmacsha256", signedNew), nil, -1, ErrBadSignature},
		"no header":       {header(), both, -1, ErrUnsigned},
		"empty header":    {header("X-Haravan-Hmacsha256", ""), both, -1, ErrBadSignature},
		"not base64":      {header("X-Haravan-Hmacsha256", "*"+signedNew[1:]), both, -1, ErrBadSignature},
		"blank":           {header("X-Haravan-Hmacsha256", " "+signedNew), both, -1, ErrBadSignature},
		"cut":             {header("X-Haravan-Hmacsha256", base64.StdEncoding.EncodeToString([]byte("short"))), both, -1, ErrBadSignature},
		"loose last bits": {header("X-Haravan-Hmacsha256", loosened(signedNew)), both, -1, ErrBadSignature},
		"hex":             {header("X-Haravan-Hmacsha256", strings.Repeat("ab", 32)), both, -1, ErrBadSignature},
		"empty secret signs nothing": {
			header("X-Haravan-Hmacsha256", SignWebhook(webhookBody, secret.String{})), []secret.String{{}, newSecret}, -1, ErrBadSignature,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			by, err := VerifyWebhook(tt.header, webhookBody, tt.secrets...)
			if by != tt.by || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
				t.Errorf("by %d, %v, want %d, %v", by, err, tt.by, tt.err)
			}
			if err == nil {
				tampered := append([]byte(" "), webhookBody...)
				if _, err := VerifyWebhook(tt.header, tampered, tt.secrets...); !errors.Is(err, ErrBadSignature) {
					t.Errorf("a tampered body: %v", err)
				}
			}
		})
	}
}

// loosened changes the bits of a signature's last character that carry nothing:
// the same bytes in another spelling.
func loosened(signature string) string {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
	last := len(signature) - 2
	return signature[:last] + string(alphabet[strings.IndexByte(alphabet, signature[last])+1]) + "="
}

func FuzzVerifyWebhook(f *testing.F) {
	f.Add("VnKUjZsLuN5iZWjn5EntcBVCF9kMN43LglzCE1/GSeY=", []byte(`{"id":1}`))
	f.Add("", []byte{})
	f.Fuzz(func(t *testing.T, signature string, body []byte) {
		by, err := VerifyWebhook(http.Header{WebhookSignatureHeader: {signature}}, body, newSecret)
		if err == nil && (by != 0 || signature != SignWebhook(body, newSecret)) {
			t.Fatalf("%q accepted for %q", signature, body)
		}
	})
}
