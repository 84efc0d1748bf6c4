package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/internal/secret"
)

const planted = "hush-planted"

var person = host{uid: 1000, user: "mai"}

// home is the least environment that is right.
var home = []string{"HOME=/home/mai", "PATH=/bin"}

func defaults() Config {
	return Config{
		DataDir: "/home/mai/.local/share/rotator", Keyring: "/home/mai/.local/share/rotator/keyring.json",
		APIURL: "https://{shop}", AccountsURL: "https://accounts.haravan.com", Actor: "mai", LogFormat: LogText, LogLevel: slog.LevelInfo,
	}
}

func TestLoad(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name  string
		env   []string
		flags Flags
		host  host
		want  func(*Config)
	}{
		{"defaults", home, nil, person, func(*Config) {}},
		{"set to nothing is not set", append(home, "ROTATOR_LISTEN=", "DATABASE_URL=", "ROTATOR_LOG_LEVEL=", "NO_COLOR="), nil, person, func(*Config) {}},
		{"others' variables", append(home, "ROTATORS=1", "XROTATOR_X=1", "odd"), nil, person, func(*Config) {}},
		{"last entry wins", append(home, "ROTATOR_ACTOR=a", "ROTATOR_ACTOR=b"), nil, person, func(c *Config) { c.Actor = "b" }},
		{"XDG folder", append(home, "XDG_DATA_HOME=/data"), nil, person, func(c *Config) { c.DataDir, c.Keyring = "/data/rotator", "/data/rotator/keyring.json" }},
		{"relative XDG folder is ignored", append(home, "XDG_DATA_HOME=data"), nil, person, func(*Config) {}},
		{"root", append(home, "XDG_DATA_HOME=/data"), nil, host{0, "root"}, func(c *Config) {
			c.DataDir, c.Keyring, c.Actor = "/var/lib/rotator", "/var/lib/rotator/keyring.json", "root"
		}},
		{"data folder", append(home, "ROTATOR_DATA_DIR=/d//x/"), nil, host{0, "mai"}, func(c *Config) { c.DataDir, c.Keyring = "/d/x", "/d/x/keyring.json" }},
		{"keyring beside the private database", append(home, "ROTATOR_KEYRING=keys/../k.json"), nil, person, func(c *Config) { c.Keyring = "k.json" }},
		{"database", append(home, "DATABASE_URL=postgres://u:"+planted+"@db:5433/app?sslmode=disable", "ROTATOR_KEYRING=/k"), nil, person, func(c *Config) {
			c.DatabaseURL, c.Keyring = secret.New("postgres://u:"+planted+"@db:5433/app?sslmode=disable"), "/k"
		}},
		{"database without a home", []string{"DATABASE_URL=host=db user=u password=" + planted}, Flags{"keyring": "/k"}, person, func(c *Config) {
			c.DatabaseURL, c.Keyring, c.DataDir = secret.New("host=db user=u password="+planted), "/k", ""
		}},
		{"everything from the environment", append(home, "ROTATOR_API_URL=http://127.0.0.1:8080/", "ROTATOR_ACCOUNTS_URL=https://accounts.hara.vn/",
			"ROTATOR_WEBHOOK_URL=https://app.example/hooks/", "ROTATOR_ACTOR=Mai Nguyễn <mai@example.com>", "ROTATOR_LISTEN=0.0.0.0:0",
			"ROTATOR_LOG_FORMAT=json", "ROTATOR_LOG_LEVEL=DEBUG", "NO_COLOR=0"), nil, person, func(c *Config) {
			c.APIURL, c.AccountsURL, c.WebhookURL = "http://127.0.0.1:8080", "https://accounts.hara.vn", "https://app.example/hooks/"
			c.Actor, c.Listen, c.LogFormat, c.LogLevel, c.NoColor = "Mai Nguyễn <mai@example.com>", "0.0.0.0:0", LogJSON, slog.LevelDebug, true
		}},
		{
			"flags beat the environment, right or wrong", append(home, "ROTATOR_ACTOR=env", "ROTATOR_LOG_LEVEL=wrong", "NO_COLOR=1", "ROTATOR_API_URL=https://h"),
			Flags{"actor": "flag", "log-level": "warn", "no-color": "false", "api-url": ""},
			person,
			func(c *Config) { c.Actor, c.LogLevel = "flag", slog.LevelWarn },
		},
		{"listening on an address of IPv6", append(home, "ROTATOR_LISTEN=[::1]:8080"), nil, person, func(c *Config) { c.Listen = "[::1]:8080" }},
		{"shops on a port", append(home, "ROTATOR_API_URL=https://{shop}:8443/"), nil, person, func(c *Config) { c.APIURL = "https://{shop}:8443" }},
		{"localhost in the clear", append(home, "ROTATOR_API_URL=http://localhost:1", "ROTATOR_ACCOUNTS_URL=http://[::1]:2"), nil, person, func(c *Config) {
			c.APIURL, c.AccountsURL = "http://localhost:1", "http://[::1]:2"
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			got, err := load(tt.env, tt.flags, tt.host)
			if err != nil {
				t.Fatal(err)
			}
			want := defaults()
			tt.want(&want)
			got.sources = nil
			if diff := cmp.Diff(want, got, cmp.AllowUnexported(Config{})); diff != "" {
				t.Errorf("(-want +got):\n%s", diff)
			}
		})
	}
}

func TestMistakes(t *testing.T) {
	t.Parallel()
	const db = "DATABASE_URL"
	tests := []struct{ entry, want string }{
		{db + "=mysql://u:" + planted + "@h/d", "write postgres://"},
		{db + "='postgres://u:" + planted + "@h/d'", "remove the quotes"},
		{db + "=postgres://u:" + planted + "/x@h/d", "percent-encode"},
		{db + "=postgres://u:12/" + planted + "@h/d", "percent-encode"},
		{db + "=postgres://u:%zz" + planted + "@h/d", "percent-encode"},
		{db + "=postgres://u:" + planted + "@h:99999/d", "port is no number"},
		{db + "=postgres://u:" + planted + "@h:" + planted + "/d", "port is no number"},
		{db + "=postgres://u:" + planted + "@h/d?sslmode=" + planted, "sslmode is wrong"},
		{db + "=postgres://u:" + planted + "@h/d?sslrootcert=/none/" + planted, "sslrootcert"},
		{db + "=postgres://u:" + planted + "@h/d?connect_timeout=" + planted, "connect_timeout"},
		{db + "=postgres://u:" + planted + "@h/d?pool_max_conns=" + planted, "pool_"},
		{db + "=postgres://u:" + planted + "@h/d?pool_max_conns=0", "pool_max_conns"},
		{db + "=postgres://u:" + planted + "@h/d?pool_max_conn_lifetime=1", "pool_"},
		{db + "=postgres://u:" + planted + "@h/d?target_session_attrs=" + planted, "try it with psql"},
		{db + "=postgres://u:" + planted + "@h1,h2:1,h3:2:3/d", "found a value that is not shown"},
		{db + "=postgres://u:" + planted + "@h/d?service=" + planted + "&servicefile=/none", "service"},
		{db + "=password " + planted, "neither a postgres:// URL nor"},
		{db + "=password='" + planted, "neither a postgres:// URL nor"},
		{db + "=postgres://u:" + planted + "@h/d\n", "white space around it"},
		{"ROTATOR_DATA_DIR=data", "absolute path"},
		{"ROTATOR_DATA_DIR=/d\x00x", "control characters"},
		{"ROTATOR_KEYRING=~/keyring", "~ has no meaning"},
		{"ROTATOR_KEYRING=/k ", "white space around it"},
		{"ROTATOR_KEYRING=/\xff", "not UTF-8"},
		{"ROTATOR_API_URL=https://{shop}.myharavan.com", "whole domain"},
		{"ROTATOR_API_URL=http://{shop}", "needs https"},
		{"ROTATOR_API_URL=https://x.{shop}", "whole domain"},
		{"ROTATOR_API_URL=https://{shop}{shop}", "whole domain"},
		{"ROTATOR_API_URL=https://{shop}/{shop}", "no path"},
		{"ROTATOR_API_URL=https://{shop}:x", "write a URL"},
		{"ROTATOR_API_URL=https://{shop}:70000", "host or port is wrong"},
		{"ROTATOR_API_URL=https://h:", "host or port is wrong"},
		{"ROTATOR_API_URL=http://haravan.example", "plain http goes only to this machine"},
		{"ROTATOR_API_URL=http://localhost.example", "plain http goes only to this machine"},
		{"ROTATOR_API_URL=http://10.0.0.1", "plain http goes only to this machine"},
		{"ROTATOR_API_URL=https://u:" + planted + "@h", "no user name or password"},
		{"ROTATOR_API_URL=https://h?token=" + planted, "no query"},
		{"ROTATOR_API_URL=https://h#" + planted, "no fragment"},
		{"ROTATOR_API_URL=https://h/admin", "no path"},
		{"ROTATOR_API_URL=localhost:8080", "write a URL"},
		{"ROTATOR_API_URL=h", "write a URL"},
		{"ROTATOR_API_URL=https://", "write a URL"},
		{"ROTATOR_API_URL=https://h x", "write a URL"},
		{"ROTATOR_ACCOUNTS_URL=ftp://h", "begins with https://"},
		{"ROTATOR_ACCOUNTS_URL=https://{shop}", "write a URL"},
		{"ROTATOR_WEBHOOK_URL=https://:8080/x", "host or port is wrong"},
		{"ROTATOR_WEBHOOK_URL=https://h/x?key=" + planted, "no query"},
		{"ROTATOR_ACTOR=" + strings.Repeat("ầ", 101), "at most 100"},
		{"ROTATOR_ACTOR=a\u202eb", "cannot be printed"},
		{"ROTATOR_LISTEN=8080", "write host:port"},
		{"ROTATOR_LISTEN=:8080", "127.0.0.1:8080 for this machine only"},
		{"ROTATOR_LISTEN=h:http", "port is no number"},
		{"ROTATOR_LISTEN=h:65536", "port is no number"},
		{"ROTATOR_LISTEN=http://h:80", "write host:port"},
		{"ROTATOR_LISTEN=a b:80", "write host:port"},
		{"ROTATOR_LOG_FORMAT=xml", "text or json"},
		{"ROTATOR_LOG_LEVEL=loud", "debug, info, warn or error"},
	}
	for _, tt := range tests {
		name, _, _ := strings.Cut(tt.entry, "=")
		_, err := load(append([]string{tt.entry, "ROTATOR_KEYRING=/k"}, append(home, tt.entry)...), nil, person)
		var m *Mistake
		if !errors.As(err, &m) {
			t.Errorf("%s: error %v, want a Mistake", tt.entry, err)
			continue
		}
		text := err.Error()
		if m.Variable != name || !strings.Contains(text, tt.want) || strings.Count(text, "\n") > 0 {
			t.Errorf("%q:\n got %s\nwant %q in it", tt.entry, text, tt.want)
		}
		if strings.Contains(text, planted) {
			t.Errorf("%q: the password is shown: %s", tt.entry, text)
		}
	}
}

const whollyWrong = `DATABASE_URL: found a value that is not shown: the port is no number from 1 to 65535; if the password has one of / ? # @ : % in it, percent-encode it
ROTATOR_DATA_DIR: found "data": write an absolute path: from a relative one, every working folder would have a database of its own
ROTATOR_KEYRING: is not set, but DATABASE_URL is: name the keyring's file; create one with: rotator keyring create FILE
ROTATOR_API_URL: found "http://haravan.example": plain http goes only to this machine (localhost, 127.0.0.1, [::1]): write https
ROTATOR_ACCOUNTS_URL: found a value that is not shown: a URL here holds no user name or password: remove the part before the @
ROTATOR_WEBHOOK_URL: found "https://app.example/hook" and more: a URL here has no query and no fragment: remove what follows the ? or #
ROTATOR_ACTOR: is not set, and the operating system does not know the user: say who acts
ROTATOR_LISTEN: found ":80": name the host: 127.0.0.1:80 for this machine only, 0.0.0.0:80 for every interface
ROTATOR_LOG_FORMAT: found "xmlxmlxmlxmlxmlxmlxmlxmlxmlxmlxmlxmlxmlxmlxmlxmlxmlxmlxmlxml"…: write text or json
ROTATOR_LOG_LEVEL: found "loud": write debug, info, warn or error
--no-color: found "perhaps": write true or false
"ROTATOR_A\nB": is not a variable of rotator: unset it
--lissten: sets no variable of rotator
ROTATOR_DATABASE_URL: is not a variable of rotator: did you mean DATABASE_URL?
ROTATOR_LOGLEVEL: is not a variable of rotator: did you mean ROTATOR_LOG_LEVEL?
ROTATOR_TOKEN: is not a variable of rotator: unset it`

func TestEveryMistakeAtOnce(t *testing.T) {
	t.Parallel()
	env := []string{
		"DATABASE_URL=postgres://u:" + planted + "/x@h/d", "ROTATOR_DATA_DIR=data", "ROTATOR_API_URL=http://haravan.example",
		"ROTATOR_ACCOUNTS_URL=https://u:" + planted + "@h", "ROTATOR_WEBHOOK_URL=https://app.example/hook?key=" + planted,
		"ROTATOR_LOG_FORMAT=" + strings.Repeat("xml", 30), "ROTATOR_LOG_LEVEL=loud", "ROTATOR_LOGLEVEL=info",
		"ROTATOR_LISTEN=:80", "ROTATOR_TOKEN=" + planted, "ROTATOR_A\nB=1", "ROTATOR_DATABASE_URL=postgres://u:" + planted + "@h/d",
	}
	_, err := load(env, Flags{"no-color": "perhaps", "lissten": planted}, host{uid: 1000})
	if err == nil {
		t.Fatal("no error")
	}
	if diff := cmp.Diff(whollyWrong, err.Error()); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
}

func TestNoHome(t *testing.T) {
	t.Parallel()
	_, err := load(nil, nil, person)
	const want = "ROTATOR_DATA_DIR: is not set, and neither is HOME: name a folder for the private PostgreSQL, or set DATABASE_URL"
	if err == nil || err.Error() != want {
		t.Errorf("error %v, want %s alone", err, want)
	}
}

func TestDescribe(t *testing.T) {
	t.Parallel()
	c, err := load(append(home, "DATABASE_URL=postgres://u:"+planted+"@db/app?sslpassword="+planted, "ROTATOR_LISTEN=127.0.0.1:80"),
		Flags{"keyring": "/k", "log-level": "warn"}, person)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, s := range c.Describe() {
		if s.Meaning == "" {
			t.Errorf("%s has no meaning", s.Name)
		}
		got = append(got, fmt.Sprintf("%s=%s (%s)", s.Name, s.Value, s.Source))
	}
	want := []string{
		"DATABASE_URL=postgres://u@db:5432/app (environment)",
		"ROTATOR_DATA_DIR=/home/mai/.local/share/rotator (default)",
		"ROTATOR_KEYRING=/k (flag)",
		"ROTATOR_API_URL=https://{shop} (default)",
		"ROTATOR_ACCOUNTS_URL=https://accounts.haravan.com (default)",
		"ROTATOR_WEBHOOK_URL= (default)",
		"ROTATOR_ACTOR=mai (default)",
		"ROTATOR_LISTEN=127.0.0.1:80 (environment)",
		"ROTATOR_LOG_FORMAT=text (default)",
		"ROTATOR_LOG_LEVEL=warn (flag)",
		"NO_COLOR=false (default)",
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("(-want +got):\n%s", diff)
	}
	if n := len(Variables()); n != len(want) {
		t.Errorf("Variables lists %d, want %d", n, len(want))
	}

	encoded, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range []string{fmt.Sprintf("%v %+v %#v", c, c, &c), fmt.Sprint(c.Describe()), string(encoded)} {
		if strings.Contains(text, planted) {
			t.Errorf("the password is shown: %s", text)
		}
	}
}

func TestDescribeDatabase(t *testing.T) {
	t.Parallel()
	tests := []struct{ url, want string }{
		{"", ""},
		{"postgres://u:" + planted + "@db:6000/app", "postgres://u@db:6000/app"},
		{"host=db user=u password=" + planted + " dbname=app port=1", "postgres://u@db:1/app"},
		{"postgres:///app?host=/run/pg&user=u", "postgres://u@/app?host=%2Frun%2Fpg"},
		{"postgres://u:12/" + planted + "@h/d", secret.Redacted},
		{"postgres://u:" + planted + "@h:x/d", secret.Redacted},
	}
	for _, tt := range tests {
		c := Config{DatabaseURL: secret.New(tt.url)}
		if got := c.showDatabase(); got != tt.want {
			t.Errorf("%q is shown as %q, want %q", tt.url, got, tt.want)
		}
	}
}

func TestNearest(t *testing.T) {
	t.Parallel()
	for name, want := range map[string]string{
		"ROTATOR_LISTN": "ROTATOR_LISTEN", "ROTATOR_KEY_RING": "ROTATOR_KEYRING", "ROTATOR_API_URI": "ROTATOR_API_URL",
		"ROTATOR_NOCOLOR": "NO_COLOR", "ROTATOR_DATADIR": "ROTATOR_DATA_DIR", "ROTATOR_": "", "ROTATOR_WORKERS": "",
	} {
		if got := nearest(name); got != want {
			t.Errorf("nearest to %s is %q, want %q", name, got, want)
		}
	}
}

func TestLoadKnowsTheUser(t *testing.T) {
	t.Parallel()
	c, err := Load([]string{"ROTATOR_DATA_DIR=/d"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	if c.Actor == "" {
		t.Error("no actor")
	}
}

func FuzzLoad(f *testing.F) {
	f.Add("DATABASE_URL", "postgres://u:p@h/d")
	f.Add("ROTATOR_API_URL", "https://{shop}:1/")
	f.Add("ROTATOR_LISTEN", "[::1]:0")
	f.Fuzz(func(t *testing.T, name, value string) {
		c, err := load([]string{"HOME=/h", "ROTATOR_KEYRING=/k", name + "=" + value}, nil, person)
		if err != nil {
			if strings.Contains(err.Error(), "\n") {
				t.Errorf("one value makes several lines: %q", err)
			}
			return
		}
		if c.Keyring == "" || c.APIURL == "" || c.AccountsURL == "" || c.Actor == "" {
			t.Errorf("accepted without a value: %+v", c)
		}
	})
}
