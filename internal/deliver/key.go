package deliver

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
)

const (
	// keyPrefix marks a signing key (Standard Webhooks, Signature scheme).
	keyPrefix = "whsec_"
	// The specification allows 24 to 64 bytes; tokens are worth 32 at least.
	keyLeast, keyMost = 32, 64
)

// NewKey makes a random key of 32 bytes in the specification's spelling:
// whsec_ and base64.
func NewKey() secret.String {
	b := make([]byte, keyLeast)
	_, _ = rand.Read(b) // never fails (crypto/rand, Read)
	return secret.New(keyPrefix + base64.StdEncoding.EncodeToString(b))
}

var errKey = errors.New("is not a signing key: whsec_ and the base64 of 32 to 64 random bytes, as --deliver-key-new makes one")

// CheckKey tells what is wrong with a key. Its errors never repeat it.
func CheckKey(key secret.String) error {
	_, err := keyBytes(key)
	return err
}

func keyBytes(key secret.String) ([]byte, error) {
	text, ok := strings.CutPrefix(key.Reveal(), keyPrefix)
	b, err := base64.StdEncoding.Strict().DecodeString(text)
	if !ok || err != nil || len(b) < keyLeast || len(b) > keyMost {
		return nil, errKey
	}
	return b, nil
}

// sign is the value of the header webhook-signature: v1, and the base64 of
// HMAC-SHA256 over id, seconds and body, joined by full stops (Standard
// Webhooks, Signature scheme).
func sign(key []byte, id string, at time.Time, body []byte) string {
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
	mac.Write(body)
	return "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
