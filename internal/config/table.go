package config

import (
	"fmt"
	"log/slog"
	"net"
	"path/filepath"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"
)

const (
	defaultAPIURL      = "https://" + shopPlaceholder
	defaultAccountsURL = "https://accounts.haravan.com"
)

// variables are in the order in which they are decided: DATABASE_URL before the
// folder, the folder before the keyring in it.
var variables = [...]variable{
	{
		Variable: Variable{"DATABASE_URL", "", "a private PostgreSQL", "PostgreSQL to use; it holds a password, so there is no flag"},
		accept:   (*Config).acceptDatabase,
		found:    func(string) string { return "a value that is not shown" },
		show:     (*Config).showDatabase,
	},
	{
		Variable: Variable{prefix + "DATA_DIR", "data-dir", "$XDG_DATA_HOME/rotator or ~/.local/share/rotator; as root /var/lib/rotator", "Folder of the private PostgreSQL and its keyring"},
		compute:  defaultDataDir,
		accept:   (*Config).acceptDataDir,
		show:     func(c *Config) string { return c.DataDir },
	},
	{
		Variable: Variable{prefix + "KEYRING", "keyring", "keyring.json in the data folder; must be set if DATABASE_URL is", "File of the keys that seal tokens and secrets"},
		compute:  defaultKeyring,
		accept:   (*Config).acceptKeyring,
		show:     func(c *Config) string { return c.Keyring },
	},
	{
		Variable: Variable{prefix + "API_URL", "api-url", defaultAPIURL, "Where shops' requests go; without {shop}, all to this host"},
		fallback: defaultAPIURL,
		accept:   (*Config).acceptAPIURL,
		found:    shownURL,
		show:     func(c *Config) string { return c.APIURL },
	},
	{
		Variable: Variable{prefix + "ACCOUNTS_URL", "", defaultAccountsURL, "The platform's OpenID Connect issuer"},
		fallback: defaultAccountsURL,
		accept:   (*Config).acceptAccountsURL,
		found:    shownURL,
		show:     func(c *Config) string { return c.AccountsURL },
	},
	{
		Variable: Variable{prefix + "WEBHOOK_URL", "", "", "The app's webhook receiver, to be probed"},
		accept:   (*Config).acceptWebhookURL,
		found:    shownURL,
		show:     func(c *Config) string { return c.WebhookURL },
	},
	{
		Variable: Variable{prefix + "ACTOR", "actor", "the user of the operating system", "Who acts, for the journal"},
		compute:  func(_ *Config, _ map[string]string, h host) string { return h.user },
		accept:   (*Config).acceptActor,
		show:     func(c *Config) string { return c.Actor },
	},
	{
		Variable: Variable{prefix + "LISTEN", "", "", "host:port of the HTTP surface"},
		accept:   (*Config).acceptListen,
		show:     func(c *Config) string { return c.Listen },
	},
	{
		Variable: Variable{prefix + "LOG_FORMAT", "log-format", LogText, "text or json"},
		fallback: LogText,
		accept:   (*Config).acceptLogFormat,
		show:     func(c *Config) string { return c.LogFormat },
	},
	{
		Variable: Variable{prefix + "LOG_LEVEL", "log-level", "info", "debug, info, warn or error"},
		fallback: "info",
		accept:   (*Config).acceptLogLevel,
		show:     func(c *Config) string { return strings.ToLower(c.LogLevel.String()) },
	},
	{
		Variable: Variable{"NO_COLOR", "no-color", "", "No colour, whatever the value (no-color.org)"},
		accept:   (*Config).acceptNoColor,
		show:     func(c *Config) string { return strconv.FormatBool(c.NoColor) },
	},
}

func (c *Config) acceptActor(value string, _ Source) string {
	n := utf8.RuneCountInString(value)
	switch {
	case n == 0:
		return "is not set, and the operating system does not know the user: say who acts"
	case n > 100:
		return fmt.Sprintf("has %d characters: write at most 100", n)
	case strings.ContainsFunc(value, func(r rune) bool { return !unicode.IsPrint(r) }):
		return "has characters that cannot be printed"
	}
	c.Actor = value
	return ""
}

// acceptListen wants the host spelled out: ":8080" means every interface to
// net.Listen and "this machine" to most readers.
func (c *Config) acceptListen(value string, _ Source) string {
	if value == "" {
		c.Listen = ""
		return ""
	}
	const want = "write host:port, such as 127.0.0.1:8080"
	name, port, err := net.SplitHostPort(value)
	if err != nil {
		return want
	}
	if name == "" {
		return "name the host: 127.0.0.1:" + port + " for this machine only, 0.0.0.0:" + port + " for every interface"
	}
	if !isHost(name) {
		return want
	}
	if !isPort(port) {
		return "the port is no number from 0 to 65535: " + want
	}
	c.Listen = value
	return ""
}

func isHost(name string) bool {
	if net.ParseIP(name) != nil {
		return true
	}
	return name != "" && !strings.ContainsFunc(name, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

func isPort(port string) bool {
	_, err := strconv.ParseUint(port, 10, 16)
	return err == nil
}

func (c *Config) acceptLogFormat(value string, _ Source) string {
	switch value {
	case LogText, LogJSON:
		c.LogFormat = value
		return ""
	}
	return "write text or json"
}

func (c *Config) acceptLogLevel(value string, _ Source) string {
	switch strings.ToLower(value) {
	case "debug":
		c.LogLevel = slog.LevelDebug
	case "info":
		c.LogLevel = slog.LevelInfo
	case "warn":
		c.LogLevel = slog.LevelWarn
	case "error":
		c.LogLevel = slog.LevelError
	default:
		return "write debug, info, warn or error"
	}
	return ""
}

func (c *Config) acceptNoColor(value string, source Source) string {
	if source != SourceFlag {
		c.NoColor = value != ""
		return ""
	}
	var err error
	if c.NoColor, err = strconv.ParseBool(value); err != nil {
		return "write true or false"
	}
	return ""
}

// defaultDataDir follows the XDG Base Directory Specification, which says to
// ignore relative paths. Root's home is closed to the user that PostgreSQL runs
// as, hence /var/lib.
func defaultDataDir(_ *Config, env map[string]string, h host) string {
	if h.uid == 0 {
		return "/var/lib/rotator"
	}
	if data := env["XDG_DATA_HOME"]; filepath.IsAbs(data) {
		return filepath.Join(data, "rotator")
	}
	if home := env["HOME"]; filepath.IsAbs(home) {
		return filepath.Join(home, ".local", "share", "rotator")
	}
	return ""
}

func (c *Config) acceptDataDir(value string, _ Source) string {
	switch {
	case value == "" && c.DatabaseURL.IsZero():
		return "is not set, and neither is HOME: name a folder for the private PostgreSQL, or set DATABASE_URL"
	case value == "":
		return ""
	case !filepath.IsAbs(value):
		return "write an absolute path: from a relative one, every working folder would have a database of its own"
	}
	c.DataDir = filepath.Clean(value)
	return ""
}

func defaultKeyring(c *Config, _ map[string]string, _ host) string { return c.UsualKeyring() }

// UsualKeyring is where the keyring is unless another place is named; "" for a
// database that is not private.
func (c *Config) UsualKeyring() string {
	if !c.DatabaseURL.IsZero() || c.DataDir == "" {
		return ""
	}
	return filepath.Join(c.DataDir, "keyring.json")
}

func (c *Config) acceptKeyring(value string, _ Source) string {
	switch {
	case value == "" && !c.DatabaseURL.IsZero():
		return "is not set, but DATABASE_URL is: name the keyring's file; create one with: rotator keyring create FILE"
	case value == "":
		return "" // the data folder is the mistake, and is reported
	case strings.HasPrefix(value, "~"):
		return "~ has no meaning here: write the whole path"
	}
	c.Keyring = filepath.Clean(value)
	return ""
}
