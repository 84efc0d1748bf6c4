package deliver

import (
	"errors"
	"net/url"
	"strings"

	"github.com/haravan-rotator/rotator/internal/outbound"
)

// maxURL is longer than any URL that proxies and servers reliably take.
const maxURL = 2000

// CheckURL tells what is wrong with a receiver's URL; nil if deliveries may go
// there. Its errors never repeat the URL, which may hold a password.
func CheckURL(raw string) error {
	_, err := parseURL(raw)
	return err
}

func parseURL(raw string) (*url.URL, error) {
	const example = "write it as https://host/path"
	u, err := url.Parse(raw)
	switch {
	case len(raw) > maxURL:
		return nil, errors.New("deliver url is longer than 2000 characters")
	case err != nil || u.Hostname() == "" || u.Opaque != "" || strings.ContainsFunc(raw, func(r rune) bool { return r <= ' ' || r > '~' }):
		return nil, errors.New("deliver url is not a URL with a host: " + example)
	case u.User != nil:
		return nil, errors.New("deliver url holds a user name or password: remove it, the signature proves who sends")
	case u.Fragment != "" || strings.HasSuffix(raw, "#"):
		return nil, errors.New("deliver url has a fragment, which is never sent: " + example)
	case u.Scheme == "http" && !outbound.Loopback(u.Hostname()):
		return nil, errors.New("deliver url is plain http to a host that is not loopback, and tokens would travel in clear: use https")
	case u.Scheme != "https" && u.Scheme != "http":
		return nil, errors.New("deliver url has a scheme other than https: " + example)
	}
	return u, nil
}
