package haravan

import (
	"encoding/json"
	"net/url"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// awkward has every character that a form or JSON must escape.
const awkward = "s&=+ %\"\\\n<ă>"

func request() ExchangeRequest {
	return ExchangeRequest{
		Shop: "some-shop.myharavan.com", ClientID: "id", Secret: secret.New(awkward),
		RefreshToken: secret.New("refresh" + awkward), AccessToken: secret.New("access" + awkward),
	}
}

func TestWiresEncode(t *testing.T) {
	t.Parallel()
	all := Wires()
	if len(all) != 48 {
		t.Errorf("%d wires, want 48", len(all))
	}
	if all[0] != DefaultWire() {
		t.Errorf("the first wire is %+v, want the default", all[0])
	}
	seen := map[Wire]bool{}
	for _, w := range all {
		if err := w.Validate(); err != nil || seen[w] {
			t.Errorf("wire %+v: %v, seen %v", w, err, seen[w])
		}
		seen[w] = true
		want := map[string]string{"client_id": "id", "refresh_token": "refresh" + awkward}
		if w.SecretParam != SecretParamShared {
			want["client_secret"] = awkward
		}
		if w.SecretParam != SecretParamClient {
			want["shared_secret"] = awkward
		}
		if w.SendAccessToken {
			want["access_token"] = "access" + awkward
		}
		if w.SendGrantType {
			want["grant_type"] = "refresh_token"
		}
		if diff := cmp.Diff(want, decode(t, w, w.encode(request()))); diff != "" {
			t.Errorf("%+v -want +got:\n%s", w, diff)
		}
	}
}

func decode(t *testing.T, w Wire, body []byte) map[string]string {
	t.Helper()
	got := map[string]string{}
	if w.Body == BodyJSON {
		if err := json.Unmarshal(body, &got); err != nil {
			t.Fatalf("%s: %v", body, err)
		}
		return got
	}
	values, err := url.ParseQuery(string(body))
	if err != nil {
		t.Fatalf("%s: %v", body, err)
	}
	for name, v := range values {
		got[name] = strings.Join(v, "|")
	}
	return got
}

func TestWireOmitsAnAbsentAccessToken(t *testing.T) {
	t.Parallel()
	r := request()
	r.AccessToken = secret.String{}
	w := Wire{SendAccessToken: true}.filled()
	if _, sent := decode(t, w, w.encode(r))["access_token"]; sent {
		t.Error("an empty access_token was sent")
	}
}

func TestWireValidate(t *testing.T) {
	t.Parallel()
	if err := (Wire{}).Validate(); err != nil {
		t.Errorf("the zero wire: %v", err)
	}
	if (Wire{}).filled() != DefaultWire() {
		t.Error("the zero wire is not the default")
	}
	err := Wire{SecretParam: "secret", Path: "admin", Body: "xml"}.Validate()
	for _, want := range []string{"secret_param", "path", "body"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v does not name %s", err, want)
		}
	}
	for _, path := range []string{
		"/", "//", "/a//b", "/a/", "/../b", "/a/..", "/a/.", "a", "/a?b", "/a#b", "/a%2fb", "/a b", "/ă", "/a\\b",
		"/" + strings.Repeat("a", 200),
	} {
		if (Wire{Path: path}).Validate() == nil {
			t.Errorf("path %q accepted", path)
		}
	}
	if err := (Wire{Path: "/connect/token.v2_x-y"}).Validate(); err != nil {
		t.Error(err)
	}
}

func TestWireJSON(t *testing.T) {
	t.Parallel()
	w := Wire{SecretParam: SecretParamBoth, Path: PathJSON, Body: BodyJSON, SendAccessToken: true, SendGrantType: true, RejectSame: true}
	text, err := json.Marshal(w)
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"secret_param":"both","path":"/admin/oauth/access_token.json","body":"json",` +
		`"send_access_token":true,"send_grant_type":true,"reject_same":true}`
	if string(text) != want {
		t.Errorf("got %s", text)
	}
	var back Wire
	if err := json.Unmarshal(text, &back); err != nil || back != w {
		t.Errorf("back: %+v, %v", back, err)
	}
}
