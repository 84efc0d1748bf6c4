package config

import (
	"net/url"
	"strings"

	"github.com/haravan-rotator/rotator/internal/outbound"
)

// shopPlaceholder stands for a shop's domain in APIURL.
const shopPlaceholder = "{shop}"

func (c *Config) acceptAPIURL(value string, _ Source) string {
	sample := value
	if strings.Contains(value, shopPlaceholder) {
		rest, ok := strings.CutPrefix(value, "https://"+shopPlaceholder)
		if !ok || rest != "" && rest[0] != ':' && rest[0] != '/' {
			return "{shop} is the shop's whole domain and needs https: write https://{shop}, or one host without {shop}"
		}
		sample = "https://shop" + rest // braces are no part of a URL
	}
	if want := checkURL(sample, false); want != "" {
		return want
	}
	c.APIURL = strings.TrimSuffix(value, "/")
	return ""
}

func (c *Config) acceptAccountsURL(value string, _ Source) string {
	if want := checkURL(value, false); want != "" {
		return want
	}
	c.AccountsURL = strings.TrimSuffix(value, "/")
	return ""
}

func (c *Config) acceptWebhookURL(value string, _ Source) string {
	if value == "" {
		return ""
	}
	if want := checkURL(value, true); want != "" {
		return want
	}
	c.WebhookURL = value
	return ""
}

// checkURL says what is wrong with a base URL. Tokens travel to these hosts, so
// plain http goes to this machine only; and these URLs are shown and logged, so
// nothing secret may be in them.
func checkURL(value string, withPath bool) string {
	u, err := url.Parse(value) // its error quotes the value
	switch {
	case err != nil, u.Opaque != "", u.Host == "":
		return "write a URL such as https://host"
	case u.User != nil:
		return "a URL here holds no user name or password: remove the part before the @"
	case strings.ContainsAny(value, "?#"):
		return "a URL here has no query and no fragment: remove what follows the ? or #"
	case !withPath && strings.Trim(u.Path, "/") != "":
		return "a URL here has no path: write scheme and host only"
	case !isHost(u.Hostname()) || u.Port() != "" && !isPort(u.Port()) || strings.HasSuffix(u.Host, ":"):
		return "host or port is wrong: write a URL such as https://host:8443"
	case u.Scheme == "http" && !outbound.Loopback(u.Hostname()):
		return "plain http goes only to this machine (localhost, 127.0.0.1, [::1]): write https"
	case u.Scheme != "http" && u.Scheme != "https":
		return "write a URL that begins with https://"
	}
	return ""
}

// shownURL shows a wrong URL without what may be a password.
func shownURL(value string) string {
	cut := strings.IndexAny(value, "?#")
	switch {
	case strings.Contains(value, "@"):
		return "a value that is not shown"
	case cut >= 0:
		return quoted(value[:cut]) + " and more"
	}
	return quoted(value)
}
