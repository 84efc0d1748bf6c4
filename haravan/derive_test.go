package haravan_test

import (
	"crypto/md5"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/haravan"
	"github.com/haravan-rotator/rotator/internal/secret"
)

func TestDeriveTokenKnownAnswers(t *testing.T) {
	t.Parallel()
	if err := haravan.CheckVectors(); err != nil {
		t.Fatal(err)
	}
	// Computed with `printf '%s%s' SECRET LEGACY | md5sum`.
	tests := []struct{ secret, legacy, want string }{
		{"hush", "0123456789abcdef", "1475b7ac2793f29e9af6be6563f0991b"},
		{"sécret ü!", strings.Repeat("0", 64), "47e96e1ef0f8a8b2349c90f5857dbb15"},
	}
	for _, tt := range tests {
		got, err := haravan.DeriveToken(secret.New(tt.secret), secret.New(tt.legacy))
		if err != nil || got.Reveal() != tt.want {
			t.Errorf("derived %q (%v), want %q", got.Reveal(), err, tt.want)
		}
	}
}

func TestDeriveTokenRefusesWhatWasNotIssued(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"":                  "is empty",
		"plantedlegacy ":    "white space at byte 14 of 14",
		"\tplantedlegacy":   "white space at byte 1 of 14",
		"planted\nlegacy":   "white space at byte 8",
		"planted\x00legacy": "a NUL byte at byte 8",
		"planted\x1blegacy": "a control character at byte 8",
		"planted\x7flegacy": "a control character at byte 8",
		"plantedlegacé":     "a character beyond ASCII at byte 13",
		"planted\xfflegacy": "a character beyond ASCII at byte 8",
		"\u00a0planted":     "a character beyond ASCII at byte 1",
	}
	for legacy, want := range tests {
		token, err := haravan.DeriveToken(secret.New("hush"), secret.New(legacy))
		if err == nil || !token.IsZero() || !strings.Contains(err.Error(), want) {
			t.Errorf("legacy %q: %v, want %q", legacy, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "planted") {
			t.Errorf("the error shows the value: %v", err)
		}
	}
	if _, err := haravan.DeriveToken(secret.String{}, secret.New("legacy")); err == nil {
		t.Error("a token is derived without a secret")
	}
}

func TestMissingScopes(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ needed, want []string }{
		"none needed":         {nil, nil},
		"all carried":         {haravan.DerivedScopes, nil},
		"writing is reading":  {[]string{"read_products", "write_products", "read_script_tags"}, nil},
		"what is not carried": {[]string{"read_orders", "read_shop", "com.read_shop", "read_shop", "write_inventory"}, []string{"read_shop", "com.read_shop", "write_inventory"}},
		"not a prefix":        {[]string{"products", "read_write_products"}, []string{"products", "read_write_products"}},
	}
	for name, tt := range tests {
		if diff := cmp.Diff(tt.want, haravan.MissingScopes(tt.needed)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

func FuzzDeriveToken(f *testing.F) {
	f.Add("hush", "0123456789abcdef")
	f.Add("", "")
	f.Add("hush", "a b")
	f.Fuzz(func(t *testing.T, appSecret, legacy string) {
		got, err := haravan.DeriveToken(secret.New(appSecret), secret.New(legacy))
		printable := appSecret != "" && legacy != "" && strings.IndexFunc(legacy, func(r rune) bool { return r <= ' ' || r > '~' }) < 0
		if (err == nil) != printable {
			t.Fatalf("secret %q, legacy %q: %v", appSecret, legacy, err)
		}
		if err == nil && got.Reveal() != fmt.Sprintf("%x", md5.Sum([]byte(appSecret+legacy))) {
			t.Fatalf("secret %q, legacy %q: %s", appSecret, legacy, got.Reveal())
		}
	})
}
