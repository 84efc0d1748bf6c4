package haravan

import (
	"crypto/md5" // the platform's algorithm
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// DerivedScopes are what a token derived from a legacy one may do; anything more
// needs the merchant to authorize the app again (Migrating a Haravan App from
// Legacy to OAuth Authentication, the list of permissions).
var DerivedScopes = []string{
	"write_content", "write_themes", "write_products", "write_customers",
	"write_orders", "write_script_tags", "write_shipping",
}

// DeriveToken computes the OAuth token of a shop from its legacy token and the
// app's secret that was current when the legacy token was issued: the lower-case
// hex MD5 of the secret followed by the legacy token (Migrating a Haravan App
// from Legacy to OAuth Authentication). It calls nobody. The error says what is
// wrong with a legacy token that CheckLegacy refuses; it never shows a value.
func DeriveToken(appSecret, legacy secret.String) (secret.String, error) {
	if appSecret.IsZero() {
		return secret.String{}, errors.New("derive a token: the app's secret is empty")
	}
	if err := CheckLegacy(legacy); err != nil {
		return secret.String{}, err
	}
	return derive(appSecret, legacy), nil
}

func derive(appSecret, legacy secret.String) secret.String {
	sum := md5.Sum([]byte(appSecret.Reveal() + legacy.Reveal()))
	return secret.New(hex.EncodeToString(sum[:]))
}

// CheckLegacy refuses a legacy token or password that cannot be what Haravan
// issued: an empty one, one with white space, control characters or bytes beyond
// ASCII. What was lost in an export or a conversion is never guessed at.
func CheckLegacy(legacy secret.String) error {
	v := legacy.Reveal()
	if v == "" {
		return errors.New("the legacy value is empty")
	}
	for i := range len(v) {
		var what string
		switch c := v[i]; {
		case c == ' ' || c >= '\t' && c <= '\r':
			what = "white space"
		case c == 0:
			what = "a NUL byte"
		case c < ' ' || c == 0x7f:
			what = "a control character"
		case c > 0x7f:
			what = "a character beyond ASCII"
		default:
			continue
		}
		return fmt.Errorf("the legacy value has %s at byte %d of %d", what, i+1, len(v))
	}
	return nil
}

// vectors were computed with md5sum of GNU coreutils and OpenSSL.
var vectors = []struct{ secret, legacy, token string }{
	{"hush", "0123456789abcdef", "1475b7ac2793f29e9af6be6563f0991b"},
	{"A", "z", "6163d4d147449f6d66d997b68a412a5a"},
	{"a1b2c3d4e5f60718293a4b5c6d7e8f90", "ffeeddccbbaa99887766554433221100", "7159a941ad7a438b84a1d79a53f1b0ba"},
	{"8fbd0f3c0a4e4f0d9d7c1c2b3a495867", "b1946ac92492d2347c6235b4d2611184", "71e1ef1cafc043a8bb6afda7e9db9c44"},
}

// CheckVectors derives from known values and compares with known answers. It is
// run before anything is derived; an error means that this program must not be
// used for it.
func CheckVectors() error {
	for i, v := range vectors {
		got, err := DeriveToken(secret.New(v.secret), secret.New(v.legacy))
		if err != nil || got.Reveal() != v.token {
			return errors.Join(fmt.Errorf("known answer %d of %d does not come out of the derivation: this build of rotator must not derive tokens", i+1, len(vectors)), err)
		}
	}
	return nil
}

// MissingScopes lists the needed scopes, in their order, that a derived token
// does not carry. A scope to write includes the one to read.
func MissingScopes(needed []string) []string {
	var missing []string
	for _, scope := range needed {
		what, read := strings.CutPrefix(scope, "read_")
		carried := slices.Contains(DerivedScopes, scope) || read && slices.Contains(DerivedScopes, "write_"+what)
		if !carried && !slices.Contains(missing, scope) {
			missing = append(missing, scope)
		}
	}
	return missing
}
