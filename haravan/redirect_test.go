package haravan

import (
	"encoding/hex"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
)

const (
	redirectQuery = "shop=some-shop.myharavan.com&code=a94a110d86d2452eb3e2af4cfb8a3828&timestamp=1337178173"
	// Signatures of redirectQuery under the key "hush".
	plainSignature  = "3fe58024cfa28353f80b59083fea6ad99d3641aff531ced95292b4d5422d2a05"
	joinedSignature = "b0a5dd62e8a070491b40d5f5b6f8c82263604442293fc7a8ee21445f4263def4"
)

var (
	hush       = secret.New("hush")
	redirectAt = time.Unix(1337178173, 0).UTC()
)

func TestVerifyRedirect(t *testing.T) {
	t.Parallel()
	want := Redirect{
		Shop: "some-shop.myharavan.com", Code: secret.New("a94a110d86d2452eb3e2af4cfb8a3828"), SignedAt: redirectAt,
	}
	for name, query := range map[string]string{
		"signature": redirectQuery + "&signature=" + plainSignature,
		"hmac":      redirectQuery + "&hmac=" + joinedSignature,
		"escaped":   strings.Replace(redirectQuery, "-", "%2D", 1) + "&signature=" + plainSignature,
	} {
		for by, secrets := range [][]secret.String{{hush, newSecret}, {newSecret, hush}} {
			got, err := VerifyRedirect(query, redirectAt.Add(time.Minute), secrets...)
			want.SignedBy = by
			if diff := cmp.Diff(want, got, cmp.Comparer(secret.String.Equal)); err != nil || diff != "" {
				t.Errorf("%s: %v -want +got:\n%s", name, err, diff)
			}
		}
	}
	params, err := url.ParseQuery(redirectQuery + "&signature=x&hmac=y")
	if err != nil {
		t.Fatal(err)
	}
	if got := RedirectSignature(params, hush); got != plainSignature {
		t.Errorf("RedirectSignature = %s", got)
	}
}

// signed appends the right signature to a query, whatever is in it.
func signed(t *testing.T, query string) string {
	t.Helper()
	params, err := url.ParseQuery(query)
	if err != nil {
		t.Fatal(err)
	}
	return query + "&signature=" + RedirectSignature(params, hush)
}

func TestVerifyRedirectRefuses(t *testing.T) {
	t.Parallel()
	late, early := redirectAt.Add(redirectLife+time.Second), redirectAt.Add(-redirectSkew-time.Second)
	for name, tt := range map[string]struct {
		query string
		now   time.Time
		want  error // nil: any error
	}{
		"no signature":            {redirectQuery, redirectAt, ErrUnsigned},
		"empty":                   {"", redirectAt, ErrUnsigned},
		"both":                    {redirectQuery + "&signature=" + plainSignature + "&hmac=" + joinedSignature, redirectAt, ErrUnsigned},
		"forms exchanged":         {redirectQuery + "&signature=" + joinedSignature, redirectAt, ErrBadSignature},
		"forms exchanged, hmac":   {redirectQuery + "&hmac=" + plainSignature, redirectAt, ErrBadSignature},
		"the document's leftover": {redirectQuery + "&signature=6e39a2ea9e497af6cb806720da1f1bf3", redirectAt, ErrBadSignature},
		"upper case":              {redirectQuery + "&signature=" + strings.ToUpper(plainSignature), redirectAt, ErrBadSignature},
		"not hex":                 {redirectQuery + "&signature=zz", redirectAt, ErrBadSignature},
		"parameter added":         {redirectQuery + "&x=1&signature=" + plainSignature, redirectAt, ErrBadSignature},
		"parameter twice":         {redirectQuery + "&shop=a&signature=" + plainSignature, redirectAt, nil},
		"other shop":              {strings.Replace(redirectQuery, "some", "evil", 1) + "&signature=" + plainSignature, redirectAt, ErrBadSignature},
		"bad escape":              {redirectQuery + "&signature=%zz", redirectAt, nil},
		"too old":                 {redirectQuery + "&signature=" + plainSignature, late, ErrStale},
		"in the future":           {redirectQuery + "&signature=" + plainSignature, early, ErrStale},
		"no shop":                 {signed(t, "timestamp=1337178173"), redirectAt, nil},
		"foreign shop":            {signed(t, "shop=evil.com&timestamp=1337178173"), redirectAt, nil},
		"no timestamp":            {signed(t, "shop=some-shop"), redirectAt, nil},
		"timestamp of words":      {signed(t, "shop=some-shop&timestamp=now"), redirectAt, nil},
		"timestamp too large":     {signed(t, "shop=some-shop&timestamp=9223372036854775807"), redirectAt, nil},
		// The same signed text, cut elsewhere: the code swallows the shop.
		"shifted": {
			"code=a94a110d86d2452eb3e2af4cfb8a3828shop%3Dsome-shop.myharavan.com&timestamp=1337178173&shop=&signature=" + plainSignature,
			redirectAt, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			got, err := VerifyRedirect(tt.query, tt.now, hush)
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) {
				t.Fatalf("error %v, want %v", err, tt.want)
			}
			if !cmp.Equal(got, Redirect{}, cmp.Comparer(secret.String.Equal)) {
				t.Errorf("something returned beside the error: %+v", got)
			}
			if strings.Contains(err.Error(), "a94a110d") {
				t.Errorf("the error repeats the code: %v", err)
			}
		})
	}
	if _, err := VerifyRedirect(redirectQuery+"&signature="+hex.EncodeToString(sign([]byte("x"), hush)), redirectAt); !errors.Is(err, ErrBadSignature) {
		t.Errorf("no secrets: %v", err)
	}
	for _, at := range []time.Time{redirectAt.Add(redirectLife), redirectAt.Add(-redirectSkew)} {
		if _, err := VerifyRedirect(redirectQuery+"&signature="+plainSignature, at, hush); err != nil {
			t.Errorf("at the edge: %v", err)
		}
	}
}

// A value that holds a separator of its own: the message is ambiguous.
func TestVerifyRedirectAmbiguity(t *testing.T) {
	t.Parallel()
	honest := signed(t, "code=c&shop=some-shop&state=xshop=victim&timestamp=1337178173")
	if _, err := VerifyRedirect(honest, redirectAt, hush); err != nil {
		t.Fatalf("a state with an equals sign: %v", err)
	}
	_, signature, _ := strings.Cut(honest, "&signature=")
	shifted := url.Values{
		"code": {"cshop=some-shopstate=x"}, "shop": {"victim"}, "timestamp": {"1337178173"}, "signature": {signature},
	}
	if r, err := VerifyRedirect(shifted.Encode(), redirectAt, hush); err == nil {
		t.Errorf("the shop was changed to %s under the same signature", r.Shop)
	}
}

func FuzzVerifyRedirect(f *testing.F) {
	f.Add(redirectQuery + "&signature=" + plainSignature)
	f.Add(redirectQuery + "&hmac=" + joinedSignature)
	f.Add("signature=&hmac=&;=%")
	f.Fuzz(func(t *testing.T, query string) {
		r, err := VerifyRedirect(query, redirectAt, hush)
		if err != nil {
			return
		}
		if r.Shop != "some-shop.myharavan.com" || r.SignedAt != redirectAt {
			t.Fatalf("%q accepted as %+v", query, r)
		}
	})
}
