package config

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"os/user"
	"slices"
	"strings"

	"github.com/haravan-rotator/rotator/internal/secret"
)

// The log formats.
const (
	LogText = "text"
	LogJSON = "json"
)

// Config is what a process runs with. Make it with Load.
type Config struct {
	// DatabaseURL is a PostgreSQL URL or key=value pairs; zero means the
	// private PostgreSQL in DataDir.
	DatabaseURL secret.String
	// DataDir is the absolute path of the folder that holds the private
	// PostgreSQL and its keyring; empty only if DatabaseURL is set and the
	// environment names no home.
	DataDir string
	// Keyring is the path of the keyring's file; never empty.
	Keyring string
	// APIURL is where shops' requests go, without a trailing slash. "{shop}"
	// is the shop's domain; without it every request goes to the one host,
	// with the shop's domain in the Host header.
	APIURL string
	// AccountsURL is the platform's OpenID Connect issuer, without a trailing
	// slash (Haravan, Create app and connect API).
	AccountsURL string
	// WebhookURL is the app's webhook receiver; empty when there is none to probe.
	WebhookURL string
	// Actor is who acts, for the journal: 1 to 100 printable characters.
	Actor string
	// Listen is the host:port of the HTTP surface; empty means none.
	Listen string
	// LogFormat is LogText or LogJSON.
	LogFormat string
	// LogLevel is the least level that is logged.
	LogLevel slog.Level
	// NoColor is whether output has no colour (no-color.org).
	NoColor bool

	sources map[string]Source // by environment variable
}

// Flags are the flags that were given, by name without dashes; an empty value
// puts the default in force. Variables lists the names.
type Flags map[string]string

// Mistake is one wrong value. Load joins them: errors.As finds the first.
type Mistake struct {
	// Variable is the environment variable, or the flag with its dashes.
	Variable string
	// Found is the value, fit to be shown; empty if there is none to show.
	Found string
	// Want says what is wrong and what would be right.
	Want string
}

// Error implements error.
func (m *Mistake) Error() string {
	if m.Found == "" {
		return m.Variable + ": " + m.Want
	}
	return fmt.Sprintf("%s: found %s: %s", m.Variable, m.Found, m.Want)
}

// host is what Load needs to know of the machine.
type host struct {
	uid  int
	user string // "" when the system does not know it
}

// Load reads the flags and the environment, which has the form of os.Environ.
// Its error joins a *Mistake for everything that is wrong.
func Load(environ []string, flags Flags) (Config, error) {
	h := host{uid: os.Getuid()}
	if u, err := user.Current(); err == nil {
		h.user = u.Username
	}
	return load(environ, flags, h)
}

func load(environ []string, flags Flags, h host) (Config, error) {
	env := make(map[string]string, len(environ))
	for _, entry := range environ {
		if name, value, ok := strings.Cut(entry, "="); ok {
			env[name] = value
		}
	}
	c := Config{sources: make(map[string]Source, len(variables))}
	var mistakes []error
	for i := range variables {
		v := &variables[i]
		value, source := v.lookup(env, flags)
		c.sources[v.Name] = source
		if source == SourceDefault {
			value = v.initial(&c, env, h)
		}
		if m := v.take(&c, value, source); m != nil {
			mistakes = append(mistakes, m)
		}
	}
	return c, errors.Join(append(mistakes, unknown(env, flags)...)...)
}

// unknown reports what no variable takes, in the order of the names.
func unknown(env map[string]string, flags Flags) []error {
	var mistakes []error
	for name := range env {
		if !strings.HasPrefix(name, prefix) || slices.ContainsFunc(variables[:], func(v variable) bool { return v.Name == name }) {
			continue
		}
		want := "is not a variable of rotator: unset it"
		if near := nearest(name); near != "" {
			want = "is not a variable of rotator: did you mean " + near + "?"
		}
		if stray(name) != "" {
			name = quoted(name) // it would break the line or the terminal
		}
		mistakes = append(mistakes, &Mistake{Variable: name, Want: want})
	}
	for name := range flags {
		if !slices.ContainsFunc(variables[:], func(v variable) bool { return v.Flag == name && name != "" }) {
			mistakes = append(mistakes, &Mistake{Variable: "--" + name, Want: "sets no variable of rotator"})
		}
	}
	slices.SortFunc(mistakes, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return mistakes
}
