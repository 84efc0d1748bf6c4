package shopdomain

import (
	"errors"
	"regexp"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	t.Parallel()
	const want = "some-shop.myharavan.com"
	for _, in := range []string{
		"some-shop.myharavan.com",
		"some-shop",
		"SOME-Shop",
		"Some-Shop.MyHaravan.COM",
		"https://some-shop.myharavan.com",
		"http://some-shop.myharavan.com/",
		"HTTPS://some-shop.myharavan.com/",
		"some-shop.myharavan.com/",
		"https://some-shop/",
		" \tsome-shop.myharavan.com\r\n",
		"\u00a0some-shop\u00a0",
	} {
		got, err := Parse(in)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestParseEdges(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", maxLabel)
	for in, want := range map[string]string{
		"a":             "a" + Suffix,
		"1":             "1" + Suffix,
		"a--b":          "a--b" + Suffix,
		long:            long + Suffix,
		"myharavan":     "myharavan" + Suffix,
		long + Suffix:   long + Suffix,
		"xn--shop-1234": "xn--shop-1234" + Suffix,
	} {
		got, err := Parse(in)
		if err != nil || got != want {
			t.Errorf("Parse(%q) = %q, %v, want %q", in, got, err, want)
		}
	}
}

func TestParseRefuses(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]error{
		"":                                     errEmpty,
		" \n":                                  errEmpty,
		"/":                                    errEmpty,
		"https://":                             errEmpty,
		"cửa-hàng":                             errNonASCII,
		"some-shop.myharavan.com\u200b":        errNonASCII,
		"ftp://some-shop.myharavan.com":        errScheme,
		"://some-shop.myharavan.com":           errScheme,
		"javascript://some-shop.myharavan.com": errScheme,
		"https://user:pass@some-shop":          errUserinfo,
		"evil.com@some-shop.myharavan.com":     errUserinfo,
		"some-shop.myharavan.com:443":          errPort,
		"https://some-shop:8443/":              errPort,
		"https:some-shop":                      errPort,
		"some-shop.myharavan.com/admin":        errPath,
		"some-shop.myharavan.com//":            errPath,
		"//some-shop.myharavan.com":            errPath,
		"some-shop.myharavan.com?x=1":          errPath,
		"some-shop.myharavan.com#x":            errPath,
		`some-shop.myharavan.com\evil`:         errPath,
		"https://https://some-shop":            errPath,
		"evil.com":                             errHost,
		"myharavan.com.evil.com":               errHost,
		"some-shop.myharavan.com.evil.com":     errHost,
		"some-shop.myharavan.com.":             errDot,
		"some-shop.haravan.com":                errHost,
		"a.b.myharavan.com":                    errDepth,
		"..myharavan.com":                      errDepth,
		"myharavan.com":                        errNoName,
		".myharavan.com":                       errNoName,
		strings.Repeat("a", 64):                errLong,
		strings.Repeat("a", 64) + Suffix:       errLong,
		"-shop":                                errHyphen,
		"shop-":                                errHyphen,
		"-":                                    errHyphen,
		"some_shop":                            errLabel,
		"some shop":                            errLabel,
		"some\x00shop":                         errLabel,
		"some%2eshop":                          errLabel,
	} {
		if got, err := Parse(in); !errors.Is(err, want) || got != "" {
			t.Errorf("Parse(%q) = %q, %v, want %v", in, got, err, want)
		}
	}
}

func TestName(t *testing.T) {
	t.Parallel()
	if got := Name("some-shop.myharavan.com"); got != "some-shop" {
		t.Errorf("Name = %q", got)
	}
}

func FuzzParse(f *testing.F) {
	for _, s := range []string{"some-shop", "https://A.myharavan.com/", "evil.com", "a@b:1/c", "-", "\xff", "ſhop"} {
		f.Add(s)
	}
	canonical := regexp.MustCompile(`^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?\.myharavan\.com$`)
	f.Fuzz(func(t *testing.T, s string) {
		got, err := Parse(s)
		if err != nil {
			if got != "" {
				t.Fatalf("Parse(%q) = %q with error %v", s, got, err)
			}
			return
		}
		if !canonical.MatchString(got) {
			t.Fatalf("Parse(%q) = %q", s, got)
		}
		again, err := Parse(got)
		if err != nil || again != got {
			t.Fatalf("Parse(%q) = %q, %v: not idempotent", got, again, err)
		}
		short, err := Parse(Name(got))
		if err != nil || short != got {
			t.Fatalf("Parse(Name(%q)) = %q, %v", got, short, err)
		}
	})
}
