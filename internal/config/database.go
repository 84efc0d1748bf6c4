package config

import (
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// databaseFaults maps parts of the driver's errors to words of our own. The
// driver's text is never shown: it masks passwords by guess and lets those of
// malformed URLs through (pgconn, ParseConfigError).
var databaseFaults = []struct{ part, want string }{
	{"failed to configure TLS", "sslmode is wrong, or a file that sslrootcert, sslcert or sslkey names cannot be used"},
	{"failed to read service", "the service that it or PGSERVICE names is not in the service file"},
	{"could not match", "the numbers of hosts and ports differ"},
	{"invalid port", "the port is no number from 1 to 65535; if the password has one of / ? # @ : % in it, percent-encode it"},
	{"invalid connect_timeout", "connect_timeout is no number of seconds"},
	{": cannot parse pool_", "a setting of the pool of connections is wrong: remove those that begin with pool_"},
	{": pool_max_conns too small", "pool_max_conns is no number from 1: remove it"},
	{"failed to parse as URL", "it is no valid postgres:// URL; if the password has one of / ? # @ : % in it, percent-encode it"},
	{"failed to parse as keyword/value", "it is neither a postgres:// URL nor a list of key=value"},
}

func (c *Config) acceptDatabase(value string, _ Source) string {
	// Kept even if wrong: what depends on its being set is not wrong for that.
	c.DatabaseURL = secret.New(value)
	if value == "" {
		return ""
	}
	scheme, _, isURL := strings.Cut(value, "://")
	switch {
	case value[0] == '"' || value[0] == '\'':
		return "it begins with a quote: remove the quotes"
	case isURL && scheme != "postgres" && scheme != "postgresql" && !strings.Contains(scheme, "="):
		return "write postgres://user:password@host:5432/database"
	}
	pool, err := pgxpool.ParseConfig(value) // as package store does
	if err != nil {
		text := err.Error()
		for _, f := range databaseFaults {
			if strings.Contains(text, f.part) {
				return f.want
			}
		}
		return "the PostgreSQL driver does not understand it: try it with psql"
	}
	if strayPassword(pool.ConnConfig) {
		return "there is an @ outside the user's name and password; if the password has one of / ? # @ : % in it, percent-encode it"
	}
	return ""
}

// strayPassword reports whether a part of the password was probably taken for
// another part of the URL: an unencoded slash in it ends the host.
func strayPassword(parsed *pgx.ConnConfig) bool {
	return strings.Contains(parsed.Host, "@") || strings.Contains(parsed.Database, "@")
}

// showDatabase names user, host and database.
func (c *Config) showDatabase() string {
	if c.DatabaseURL.IsZero() {
		return ""
	}
	parsed, err := pgx.ParseConfig(c.DatabaseURL.Reveal())
	if err != nil || strayPassword(parsed) {
		return secret.Redacted
	}
	u := url.URL{Scheme: "postgres", User: url.User(parsed.User), Path: "/" + parsed.Database}
	if strings.HasPrefix(parsed.Host, "/") {
		u.RawQuery = "host=" + strings.ReplaceAll(url.QueryEscape(parsed.Host), "+", "%20")
	} else {
		u.Host = net.JoinHostPort(parsed.Host, strconv.Itoa(int(parsed.Port)))
	}
	return u.String()
}
