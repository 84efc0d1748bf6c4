package haravan

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/haravan-rotator/rotator/internal/outbound"
)

// Defaults of Config.
const (
	DefaultInFlight  = 256
	DefaultTimeout   = 15 * time.Second
	DefaultUserAgent = "rotator"
)

// MaxInFlight is the most calls in flight: one address pair has no more ports.
const MaxInFlight = 1 << 16

// Config configures a Client. The zero Config is the platform as documented.
type Config struct {
	// APIURL is where calls go; DefaultAPIURL when empty. Without {shop} every
	// request goes to that one host with the shop's domain as Host header.
	// Plain http is for loopback only.
	APIURL string
	// InFlight is how many calls the caller keeps running at once; it sizes the
	// pool of kept connections and limits nothing. DefaultInFlight when 0.
	InFlight int
	// Timeout bounds one call, from dialling to the last byte of the answer.
	// DefaultTimeout when 0. An earlier deadline of the context holds.
	Timeout time.Duration
	// UserAgent names us to the platform; DefaultUserAgent when empty.
	UserAgent string
	// RootCAs are trusted instead of the system's; nil for the system's.
	RootCAs *x509.CertPool
	// Wire is the spelling of the exchange; the zero Wire is DefaultWire.
	Wire Wire
}

// Client calls the platform. It is safe for concurrent use, and one is enough
// for a process: it owns the connections.
type Client struct {
	transport *http.Transport
	address   address
	timeout   time.Duration
	wire      Wire

	// Shared by all requests, which only read them: a map and a URL per call
	// would be most of the garbage of a call.
	formHeader, jsonHeader http.Header
	exchangeURL, shopURL   *url.URL // of the one host; nil when every shop has its own
	agent                  []string
}

// New makes a Client. Its error joins every mistake of c and repeats none of
// c's values that may hold a password.
func New(c Config) (*Client, error) {
	var errs []error
	if c.APIURL == "" {
		c.APIURL = DefaultAPIURL
	}
	at, err := parseAddress(c.APIURL)
	errs = append(errs, err)
	if c.InFlight == 0 {
		c.InFlight = DefaultInFlight
	}
	if c.InFlight < 0 || c.InFlight > MaxInFlight {
		errs = append(errs, fmt.Errorf("calls in flight %d: use 1 to %d", c.InFlight, MaxInFlight))
	}
	if c.Timeout == 0 {
		c.Timeout = DefaultTimeout
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout per call %s: use a positive duration", c.Timeout))
	}
	if c.UserAgent == "" {
		c.UserAgent = DefaultUserAgent
	}
	if strings.ContainsFunc(c.UserAgent, func(r rune) bool { return r < ' ' || r > '~' }) {
		errs = append(errs, errors.New("user agent has characters that no header can carry: use printable ASCII"))
	}
	errs = append(errs, c.Wire.Validate(), checkProxy())
	if err := errors.Join(errs...); err != nil {
		return nil, err
	}
	agent := []string{c.UserAgent}
	client := &Client{
		transport:  newTransport(c, at),
		address:    at,
		timeout:    c.Timeout,
		wire:       c.Wire.filled(),
		formHeader: exchangeHeader("application/x-www-form-urlencoded", agent),
		jsonHeader: exchangeHeader("application/json", agent),
		agent:      agent,
	}
	if !at.perShop {
		client.exchangeURL = at.url("", client.wire.Path)
		client.shopURL = at.url("", identityPath)
	}
	return client, nil
}

// exchangeHeader asks for answers as they are: without Accept-Encoding any coding
// would do (RFC 9110, section 12.5.3), and a body is read only in the plain.
func exchangeHeader(contentType string, agent []string) http.Header {
	return http.Header{
		"Content-Type": {contentType}, "Accept": {"application/json"}, "User-Agent": agent,
		"Accept-Encoding": {"identity"},
	}
}

// newTransport tunes the one transport.
func newTransport(c Config, at address) *http.Transport {
	t := outbound.Transport(c.RootCAs, maxBody)
	t.MaxIdleConns, t.MaxIdleConnsPerHost = c.InFlight, c.InFlight
	if at.perShop {
		// A shop's connection serves its exchange and, moments later, its
		// identity read; after that nobody comes back.
		t.MaxIdleConnsPerHost = 2
		t.IdleConnTimeout = 5 * time.Second
	}
	return t
}

// checkProxy refuses a proxy address that is not one: net/http would pass over
// it in silence and connect directly. The address may hold a password, and so
// would the parser's error.
func checkProxy() error {
	for _, name := range []string{"HTTPS_PROXY", "https_proxy"} {
		address := os.Getenv(name)
		if !strings.Contains(address, "://") {
			address = "http://" + address // a bare host:port, as net/http reads it
		}
		if _, err := url.Parse(address); err != nil {
			return fmt.Errorf("proxy address in %s is not a URL: write it as http://host:port", name)
		}
	}
	return nil
}

// CloseIdle closes the kept connections that no call is using.
func (c *Client) CloseIdle() { c.transport.CloseIdleConnections() }
