package haravan

import (
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// planted are credentials with everything that an encoding changes.
var planted = []string{
	"Planted+Secret/one=&%20", "planted refresh \"token\" two", "planted-access-token-three", "hush",
}

// echoes are the ways in which a host may send a value back.
var echoes = map[string]func(string) string{
	"raw":         func(v string) string { return v },
	"upper":       strings.ToUpper,
	"query":       url.QueryEscape,
	"path":        url.PathEscape,
	"lower query": func(v string) string { return strings.ToLower(url.QueryEscape(v)) },
	"every byte":  func(v string) string { return "%" + strings.Join(hexBytes(v), "%") },
	"base64":      func(v string) string { return base64.StdEncoding.EncodeToString([]byte(v)) },
	"base64 url":  func(v string) string { return base64.RawURLEncoding.EncodeToString([]byte(v)) },
	"basic":       func(v string) string { return base64.StdEncoding.EncodeToString([]byte("client:" + v)) },
	"basic after": func(v string) string { return base64.StdEncoding.EncodeToString([]byte("id" + v + ":x")) },
	"hex":         func(v string) string { return hex.EncodeToString([]byte(v)) },
	"json":        func(v string) string { b, _ := json.Marshal(v); return string(b) },
	"quoted":      func(v string) string { return fmt.Sprintf("%q", v) },
	"escaped":     func(v string) string { return escapedWith(`\u%04x`, v) },
	"entities":    func(v string) string { return escapedWith("&#%d;", v) },
	// As .NET's encoders write JSON and forms inside of other text.
	"json in json": func(v string) string {
		return strings.NewReplacer("+", `\u002B`, "&", `\u0026`, `"`, `\u0022`).Replace(v)
	},
	"query twice":  func(v string) string { return url.QueryEscape(url.QueryEscape(v)) },
	"split by NUL": func(v string) string { return v[:2] + "\x00\u200b" + v[2:] },
	"in a title":   func(v string) string { return "<html><title>Bad " + v + "</title>" },
	"in a word":    func(v string) string { return "x" + v + "x" },
	"twice":        func(v string) string { return v + v },
	"in groups":    inGroups,
}

func escapedWith(format, v string) string {
	var b strings.Builder
	for _, c := range v {
		fmt.Fprintf(&b, format, c)
	}
	return b.String()
}

// inGroups breaks a value up as people are shown long numbers.
func inGroups(v string) string {
	var b strings.Builder
	for i, c := range v {
		if i > 0 && i%4 == 0 {
			b.WriteString(". ")
		}
		b.WriteRune(c)
	}
	return b.String()
}

func hexBytes(v string) []string {
	var all []string
	for i := range len(v) {
		all = append(all, hex.EncodeToString([]byte{v[i]}))
	}
	return all
}

func TestNoErrorRepeatsACredential(t *testing.T) {
	t.Parallel()
	var body, location string
	var status int
	client := serve(t, func(rw http.ResponseWriter, _ *http.Request) {
		rw.Header().Set("Location", location)
		rw.WriteHeader(status)
		_, _ = io.WriteString(rw, body)
	})
	for name, echo := range echoes {
		for _, value := range planted {
			text := echo(value)
			inJSON, err := json.Marshal(text)
			if err != nil {
				t.Fatal(err)
			}
			location = "/" + url.PathEscape(text) + "?x=" + url.QueryEscape(text)
			for _, status = range []int{200, 302, 400, 429, 500} {
				for _, body = range []string{
					text, "<p>" + text, `{"error":` + string(inJSON) + `}`, `{"errors":{"a":[` + string(inJSON) + `]}}`,
					`{"error":"invalid_client","error_description":` + string(inJSON) + `}`, `[` + string(inJSON) + `]`,
					strings.Repeat(text, 300), strings.Repeat("x ", 90) + text, `{"access_token":"` + text,
					`{"shop":{"myharavan_domain":` + string(inJSON) + `}}`,
				} {
					_, err := client.Exchange(t.Context(), ExchangeRequest{
						Shop: testShop, ClientID: "client", Secret: secret.New(planted[0]),
						RefreshToken: secret.New(planted[1]), AccessToken: secret.New(value),
					})
					assertClean(t, name, value, body, err)
					_, err = client.Identity(t.Context(), testShop, secret.New(strings.ReplaceAll(value, " ", "_")))
					assertClean(t, name, strings.ReplaceAll(value, " ", "_"), body, err)
				}
			}
		}
	}
}

// assertClean searches everything that can be printed of err.
func assertClean(t *testing.T, name, value, body string, err error) {
	t.Helper()
	if err == nil {
		return
	}
	e := err.(*Error)
	if e.Err != nil && strings.Contains(fmt.Sprintf("%+v", e.Err), value) {
		t.Errorf("%s: the cause %T repeats the credential", name, e.Err)
	}
	shown := strings.ToLower(fmt.Sprintf("%v %+v %#v %q %s", err, *e, *e, e.Detail, e.Code))
	for echo, f := range echoes {
		if echo == "basic" || echo == "basic after" || echo == "split by NUL" || echo == "in a title" {
			continue // they hold other text as well
		}
		if hidden := strings.ToLower(f(value)); len(hidden) > 3 && strings.Contains(shown, hidden) {
			t.Errorf("%s: %q shows the %s form of %q\nbody %.200q", name, err, echo, value, body)
		}
	}
}

func TestNoTransportErrorRepeatsACredential(t *testing.T) {
	t.Parallel()
	for name, line := range map[string]string{
		"status line":   "%s\r\n\r\n",
		"status":        "HTTP/1.1 %s x\r\n\r\n",
		"header":        "HTTP/1.1 200 OK\r\n%s\r\n\r\n",
		"length":        "HTTP/1.1 200 OK\r\nContent-Length: %s\r\n\r\n",
		"encoding":      "HTTP/1.1 200 OK\r\nTransfer-Encoding: %s\r\n\r\n",
		"chunk":         "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%s\r\n",
		"reason phrase": "HTTP/1.1 400 %s\r\nContent-Length: 0\r\n\r\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := exchangeRequest()
			r.Secret = secret.New("planted-Secret")
			client := clientOf(t, rawServer(t, func(c *net.TCPConn) {
				readRequest(c)
				_, _ = fmt.Fprintf(c, line, "planted-Secret")
			}))
			_, err := client.Exchange(t.Context(), r)
			if err == nil {
				t.Fatal("no error")
			}
			for cause := err; cause != nil; {
				if shown := fmt.Sprintf("%v %+v", cause, cause); strings.Contains(shown, "planted") {
					t.Errorf("%T shows the credential: %s", cause, shown)
				}
				wrapper, ok := cause.(interface{ Unwrap() error })
				if !ok {
					break
				}
				cause = wrapper.Unwrap()
			}
		})
	}
}

func TestMaskKeepsTheRest(t *testing.T) {
	t.Parallel()
	sent := secret.New("hush")
	for in, want := range map[string]string{
		"":                                 "",
		"nothing to hide":                  "nothing to hide",
		"secret hush is unknown":           "secret [redacted] is unknown",
		"secret HUSH, hush":                "secret [redacted], [redacted]",
		"two\r\n\tlines \x1b[31m":          "two lines [31m",
		"proxy http://me:pw@host":          "proxy http://host",
		"f85632530bf277ec9ac6f649fc327f17": "[…]",
		"some-shop.myharavan.com is shut":  "some-shop.myharavan.com is shut",
		"\xff\xfebroken":                   "broken",
		"Cửa hàng không tồn tại":           "Cửa hàng không tồn tại",
	} {
		if got := mask(in, sent, secret.String{}); got != want {
			t.Errorf("mask(%q) = %q, want %q", in, got, want)
		}
	}
}

func TestMaskFindsBase64AtAnyAlignment(t *testing.T) {
	t.Parallel()
	for _, prefix := range []string{"", "a", "ab", "abc"} {
		text := base64.StdEncoding.EncodeToString([]byte(prefix + "hush-hush" + "zz"))
		if got := mask(text, secret.New("hush-hush")); !strings.Contains(got, secret.Redacted) {
			t.Errorf("after %q: mask(%q) = %q", prefix, text, got)
		}
	}
}

// The text is cut before it is searched: half a credential at the cut would be
// recognised by nothing.
func TestMaskLeavesNoHalfAtTheCut(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("ab/", 1000) + "x"
	for _, text := range []string{long + long, strings.Repeat("y ", maxMasked/2-20) + long} {
		if got := mask(text, secret.New(long)); strings.Contains(got, "ab/") {
			t.Errorf("%d bytes: …%q", len(text), got[max(0, len(got)-100):])
		}
	}
	if got := mask(strings.Repeat("y ", maxMasked), secret.New("hush")); len(got) < maxDetail {
		t.Errorf("a long text without credentials was cut to %q", got)
	}
}

func TestLimited(t *testing.T) {
	t.Parallel()
	for _, s := range []string{strings.Repeat("a", 200), strings.Repeat("a", 201), strings.Repeat("ử", 90), strings.Repeat("a ", 300)} {
		got := limited(s)
		if len(got) > maxDetail || strings.ContainsRune(got, '\ufffd') || (len(s) <= maxDetail) != (got == s) {
			t.Errorf("limited(%d bytes) = %d bytes %q", len(s), len(got), got)
		}
	}
}

func FuzzMask(f *testing.F) {
	f.Add("text with a-Secret/value= in it", "a-Secret/value=")
	f.Add("%61-Secret", "a-Secret")
	f.Add("[redacted]", "red")
	f.Fuzz(func(t *testing.T, text, value string) {
		got := mask(text, secret.New(value))
		// What masking itself writes may contain a very short value.
		if len(value) >= 8 && strings.Contains(got, value) && !strings.Contains(withheld, value) {
			t.Fatalf("mask(%q, %q) = %q", text, value, got)
		}
	})
}
