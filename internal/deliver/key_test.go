package deliver

import (
	"encoding/base64"
	"strings"
	"testing"
	"time"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// The vector of the specification's own libraries (standard-webhooks, function
// sign in their tests).
func TestSignatureOfTheSpecification(t *testing.T) {
	t.Parallel()
	key, err := base64.StdEncoding.DecodeString("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
	if err != nil {
		t.Fatal(err)
	}
	const want = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
	got := sign(key, "msg_p5jXN8AQM9LWM0D4loKWxJek", time.Unix(1614265330, 999), []byte(`{"test": 2432232314}`))
	if got != want {
		t.Errorf("signature %s, want %s", got, want)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	one, two := NewKey(), NewKey()
	if one.Equal(two) || CheckKey(one) != nil {
		t.Errorf("two new keys: equal %v, %v", one.Equal(two), CheckKey(one))
	}
	bytes := func(n int) string { return base64.StdEncoding.EncodeToString([]byte(strings.Repeat("k", n))) }
	for text, fine := range map[string]bool{
		"whsec_" + bytes(32): true, "whsec_" + bytes(64): true,
		"whsec_" + bytes(31): false, "whsec_" + bytes(65): false, "whsec_": false, "": false,
		bytes(32): false, "WHSEC_" + bytes(32): false, "whsec_" + bytes(32) + "!": false, "whsk_" + bytes(32): false,
	} {
		err := CheckKey(secret.New(text))
		if (err == nil) != fine {
			t.Errorf("a key of %d characters: %v", len(text), err)
		}
		if err != nil && len(text) > 10 && strings.Contains(err.Error(), text) {
			t.Errorf("the error repeats the key: %v", err)
		}
	}
}

func TestURLs(t *testing.T) {
	t.Parallel()
	for raw, want := range map[string]string{
		"https://app.example.com/tokens":         "",
		"https://app.example.com:8443/t?app=a":   "",
		"http://127.0.0.1:9/x":                   "",
		"http://localhost/x":                     "",
		"http://[::1]:80/":                       "",
		"http://app.example.com/":                "plain http",
		"http://10.0.0.1/":                       "plain http",
		"http://localhost.example.com/":          "plain http",
		"https://planted-user@h/":                "user name",
		"https://planted-user:planted-pass@h/":   "user name",
		"http://planted-user@127.0.0.1/":         "user name",
		"https://h/#planted":                     "fragment",
		"https://h/#":                            "fragment",
		"ftp://h/":                               "scheme",
		"file:///planted":                        "host",
		"https:///planted":                       "host",
		"https:planted":                          "host",
		"h/planted":                              "host",
		"https://h/a planted":                    "host",
		"https://h/plänted":                      "host",
		"https://h/\nplanted":                    "host",
		"https://h:planted/":                     "host",
		"https://h/" + strings.Repeat("a", 2000): "longer",
		"":                                       "host",
	} {
		err := CheckURL(raw)
		switch {
		case want == "" && err != nil, want != "" && (err == nil || !strings.Contains(err.Error(), want)):
			t.Errorf("%.40q: %v, want %q", raw, err, want)
		case err != nil && strings.Contains(err.Error(), "planted"):
			t.Errorf("%q: the error repeats it: %v", raw, err)
		}
	}
}
