package haravan

import (
	"errors"
	"fmt"
	"net/url"
	"strings"

	"github.com/haravan-rotator/rotator/internal/outbound"
	"github.com/haravan-rotator/rotator/internal/shopdomain"
)

// InstallURL returns the page on which a merchant installs the app, or installs
// it again after the old secret took the shop's token with it: the authorize
// prompt of Haravan, OAuth, step 2. An empty redirect leaves the choice to the
// callback URL in the app's settings.
//
// The URL holds no credential: the client id is public.
func InstallURL(shop, clientID string, scopes []string, redirect string) (string, error) {
	domain, err := shopdomain.Parse(shop)
	if err != nil {
		return "", fmt.Errorf("build install url: %w", err)
	}
	if clientID == "" {
		return "", errors.New("build install url: the client id is empty")
	}
	if len(scopes) == 0 {
		return "", errors.New("build install url: no scope is named")
	}
	for _, scope := range scopes {
		if scope == "" || strings.ContainsAny(scope, ", \t\r\n") {
			return "", errors.New("build install url: a scope is empty or contains a comma or blank")
		}
	}
	query := url.Values{
		"client_id": {clientID}, "scope": {strings.Join(scopes, ",")}, "response_type": {"code"},
	}
	if redirect != "" {
		if err := checkRedirectURI(redirect); err != nil {
			return "", fmt.Errorf("build install url: %w", err)
		}
		query.Set("redirect_uri", redirect)
	}
	u := url.URL{Scheme: "https", Host: domain, Path: "/admin/oauth/authorize", RawQuery: query.Encode()}
	return u.String(), nil
}

// checkRedirectURI keeps authorization codes off the open network.
func checkRedirectURI(raw string) error {
	u, err := url.Parse(raw)
	switch {
	case err != nil || u.Host == "" || u.Fragment != "" || u.User != nil:
		return errors.New("the redirect uri is not an absolute URL without user name and fragment")
	case u.Scheme != "https" && (u.Scheme != "http" || !outbound.Loopback(u.Hostname())):
		return errors.New("the redirect uri is not https")
	}
	return nil
}
