package haravan

import (
	"net/url"
	"testing"
)

func TestInstallURL(t *testing.T) {
	t.Parallel()
	got, err := InstallURL("Some-Shop", "k&y", []string{"write_orders", "read_customers"}, "https://app.example/callback?a=b")
	if err != nil {
		t.Fatal(err)
	}
	u, err := url.Parse(got)
	if err != nil || u.Scheme != "https" || u.Host != testShop || u.Path != "/admin/oauth/authorize" {
		t.Fatalf("%s, %v", got, err)
	}
	want := url.Values{
		"client_id": {"k&y"}, "scope": {"write_orders,read_customers"}, "response_type": {"code"},
		"redirect_uri": {"https://app.example/callback?a=b"},
	}
	if u.Query().Encode() != want.Encode() {
		t.Errorf("query %s", u.RawQuery)
	}
	without, err := InstallURL(testShop, "key", []string{"write_orders"}, "")
	if want := "https://" + testShop + "/admin/oauth/authorize?client_id=key&response_type=code&scope=write_orders"; err != nil || without != want {
		t.Errorf("%s, %v", without, err)
	}
	if _, err := InstallURL(testShop, "key", []string{"s"}, "http://localhost:3000/x"); err != nil {
		t.Error(err)
	}
}

func TestInstallURLRefuses(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		shop, id string
		scopes   []string
		redirect string
	}{
		"shop":           {"evil.com", "k", []string{"s"}, ""},
		"client id":      {testShop, "", []string{"s"}, ""},
		"no scopes":      {testShop, "k", nil, ""},
		"empty scope":    {testShop, "k", []string{""}, ""},
		"two in one":     {testShop, "k", []string{"a,b"}, ""},
		"open redirect":  {testShop, "k", []string{"s"}, "http://app.example/"},
		"no URL":         {testShop, "k", []string{"s"}, "callback"},
		"with fragment":  {testShop, "k", []string{"s"}, "https://app.example/#x"},
		"with user name": {testShop, "k", []string{"s"}, "https://u:p@app.example/"},
	} {
		if got, err := InstallURL(tt.shop, tt.id, tt.scopes, tt.redirect); err == nil || got != "" {
			t.Errorf("%s: %q, %v", name, got, err)
		}
	}
}
