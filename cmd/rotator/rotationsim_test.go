package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/haravan-rotator/rotator/haravan/haravansim"
)

// simulator starts a platform that lives as long as the script: simulator SHOPS
// [hostile | legacy N], where the first N shops have legacy credentials. It sets SIM_URL, MANAGE_URL, ROTATOR_API_URL and CLIENT_ID, and
// writes what the dashboard and the app's own records would show: secret-1,
// secret-2, shops.csv, and in ranked.csv the same shops with a priority: their
// number for every hundredth, 0 for the others.
func simulator(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 3 {
		ts.Fatalf("usage: simulator SHOPS [hostile | legacy N]")
	}
	shops, err := strconv.Atoi(args[0])
	ts.Check(err)
	o := haravansim.Options{Shops: shops, Seed: 5}
	if slices.Contains(args[1:], "hostile") {
		o.Faults = haravansim.Hostile()
	}
	if len(args) == 3 && args[1] == "legacy" {
		o.Legacy, err = strconv.Atoi(args[2])
		ts.Check(err)
	}
	sim, err := haravansim.Start(context.Background(), o, "127.0.0.1:0", "127.0.0.1:0")
	ts.Check(err)
	ts.Defer(func() {
		misuse := sim.Misuse()
		ts.Check(sim.Close())
		if len(misuse) > 0 {
			ts.Fatalf("a correct client never makes these calls: %v", misuse)
		}
	})
	fresh, err := sim.CreateSecret()
	ts.Check(err)
	var list, ranked strings.Builder
	list.WriteString("domain,access_token,legacy_token,legacy_password\n")
	ranked.WriteString("domain,access_token,priority\n")
	n := 0
	for s := range sim.Shops {
		fmt.Fprintf(&list, "%s,%s,%s,%s\n", s.Domain, s.AccessToken, s.LegacyToken, s.LegacyPassword)
		priority := 0
		if n++; n%100 == 0 {
			priority = n
		}
		fmt.Fprintf(&ranked, "%s,%s,%d\n", s.Domain, s.AccessToken, priority)
	}
	for name, text := range map[string]string{
		"secret-1": sim.Secrets()[0].Value, "secret-2": fresh.Value, "shops.csv": list.String(), "ranked.csv": ranked.String(),
	} {
		ts.Check(os.WriteFile(ts.MkAbs(name), []byte(text), 0o600))
	}
	ts.Setenv("SIM_URL", sim.PlatformURL)
	ts.Setenv("ROTATOR_API_URL", sim.PlatformURL)
	ts.Setenv("MANAGE_URL", sim.ManagementURL)
	ts.Setenv("CLIENT_ID", sim.App().ClientID)
}

// dashboard does something at the platform: dashboard PATH [BODY], and with a
// file's name in front keeps a created refresh token there: dashboard FILE=PATH.
func dashboard(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) == 0 || len(args) > 2 {
		ts.Fatalf("usage: dashboard [FILE=]PATH [BODY]")
	}
	file, path, keep := strings.Cut(args[0], "=")
	if !keep {
		path = args[0]
	}
	var body io.Reader
	if len(args) == 2 {
		body = strings.NewReader(args[1])
	}
	answer, err := http.Post(ts.Getenv("MANAGE_URL")+path, "application/json", body)
	ts.Check(err)
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	ts.Check(err)
	if answer.StatusCode != http.StatusOK {
		ts.Fatalf("POST %s: %s: %s", path, answer.Status, text)
	}
	if keep {
		_, value, _ := strings.Cut(string(text), `"value":"`)
		value, _, _ = strings.Cut(value, `"`)
		ts.Check(os.WriteFile(ts.MkAbs(file), []byte(value), 0o600))
	}
}

// until repeats a command until its stdout matches: until TEXT COMMAND...
func until(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) < 2 {
		ts.Fatalf("usage: until TEXT COMMAND...")
	}
	for end := time.Now().Add(30 * time.Second); ; {
		_ = ts.Exec(args[1], args[2:]...) // its exit code is not what is waited for
		if strings.Contains(ts.ReadFile("stdout"), args[0]) {
			return
		}
		if time.Now().After(end) {
			ts.Fatalf("%v never printed %q: %s%s", args[1:], args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
		}
	}
}
