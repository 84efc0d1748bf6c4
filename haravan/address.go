package haravan

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/haravan-rotator/rotator/internal/outbound"
)

// DefaultAPIURL sends every call to the shop's own host, as documented.
const DefaultAPIURL = "https://{shop}"

const shopPlaceholder = "{shop}"

// address is a parsed APIURL: where the calls for a shop go.
type address struct {
	scheme string
	host   string // host[:port], still with the placeholder when perShop
	// perShop: every shop is a host of its own. Otherwise all calls go to one
	// host, which tells shops apart by the Host header.
	perShop bool
}

// parseAddress checks raw. Its errors never repeat raw, which may hold a
// password.
func parseAddress(raw string) (address, error) {
	const example = "write it as " + DefaultAPIURL + " or https://host[:port]"
	count := strings.Count(raw, shopPlaceholder)
	// The placeholder's braces are not valid in a host name: parse with a name
	// in its place.
	u, err := url.Parse(strings.Replace(raw, shopPlaceholder, "shop", 1))
	switch {
	case err != nil || u.Host == "" || u.Hostname() == "":
		return address{}, errors.New("api url is not a URL with a host: " + example)
	case u.User != nil:
		return address{}, errors.New("api url holds a user name or password: remove it")
	case u.Scheme != "https" && u.Scheme != "http":
		return address{}, errors.New("api url has a scheme other than https: " + example)
	case u.Path != "" && u.Path != "/", u.RawQuery != "", u.ForceQuery, u.Fragment != "":
		return address{}, errors.New("api url has a path, query or fragment: " + example)
	case count > 1:
		return address{}, errors.New("api url names " + shopPlaceholder + " more than once: " + example)
	}
	a := address{scheme: u.Scheme, host: u.Host, perShop: count == 1}
	if a.perShop {
		_, authority, _ := strings.Cut(raw, "://")
		a.host = strings.TrimSuffix(authority, "/")
		if !strings.HasPrefix(a.host, shopPlaceholder) {
			return address{}, fmt.Errorf("api url has %s in the middle of the host: %s", shopPlaceholder, example)
		}
		if port := strings.TrimPrefix(a.host, shopPlaceholder); port != "" && port[0] != ':' {
			// The shop's domain is a whole host name: anything after it would
			// send credentials to a host under somebody else's domain.
			return address{}, fmt.Errorf("api url has a host that continues after %s: %s", shopPlaceholder, example)
		}
	}
	if a.scheme == "http" && (a.perShop || !outbound.Loopback(u.Hostname())) {
		return address{}, errors.New("api url is plain http to a host that is not loopback: use https")
	}
	return a, nil
}

// url returns the address of path at shop's host.
func (a address) url(shop, path string) *url.URL {
	host := a.host
	if a.perShop {
		host = shop + strings.TrimPrefix(a.host, shopPlaceholder)
	}
	return &url.URL{Scheme: a.scheme, Host: host, Path: path}
}
