package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"testing"
)

// running is a simulator command that another goroutine runs.
type running struct {
	PlatformURL   string `json:"platform_url"`
	ManagementURL string `json:"management_url"`
	ClientID      string `json:"client_id"`

	lines *bufio.Reader
	code  chan int
	stop  context.CancelFunc
}

func simulate(t *testing.T, args ...string) *running {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	t.Cleanup(cancel)
	out, stdout := io.Pipe()
	r := &running{lines: bufio.NewReader(out), code: make(chan int, 1), stop: cancel}
	args = append([]string{"simulator", "--listen", "127.0.0.1:0", "--manage", "127.0.0.1:0", "--json"}, args...)
	go func() {
		r.code <- run(ctx, args, nil, strings.NewReader(""), stdout, io.Discard)
		_ = stdout.Close() // never fails
	}()
	line, err := r.lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, r)
	}
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return r
}

// end stops the simulator and returns its last words and its exit code.
func (r *running) end(t *testing.T) (misuse []string, code int) {
	t.Helper()
	r.stop()
	var last struct {
		Misuse []string `json:"misuse"`
		Total  int      `json:"misuse_total"`
	}
	line, err := r.lines.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &last)
	}
	if err != nil || last.Total != len(last.Misuse) || last.Misuse == nil {
		t.Fatalf("%v: %s", err, line)
	}
	return last.Misuse, <-r.code
}

func TestSimulatorFeedsAnImport(t *testing.T) {
	t.Parallel()
	sim := simulate(t, "--shops", "7", "--calm", "--seed", "3", "--client-id", "client-1")
	if sim.ClientID != "client-1" {
		t.Errorf("client id %s", sim.ClientID)
	}
	response, err := http.Get(sim.ManagementURL + "/shops?format=csv")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	list, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	r.env = append(r.env, "ROTATOR_API_URL="+sim.PlatformURL)
	r.ok("", "app", "set", "--name", "main", "--client-id", sim.ClientID)
	if got := r.ok(string(list), "shop", "import", "-"); !strings.Contains(got.stdout, "added:         7") {
		t.Errorf("import: %s", got.stdout)
	}
	r.ok("one", "secret", "add")
	if got := r.ok("", "doctor"); strings.Contains(got.stdout, "warn") {
		t.Errorf("doctor: %s", got.stdout)
	}
	if misuse, code := sim.end(t); len(misuse) > 0 || code != exitDone {
		t.Errorf("exit code %d, %v", code, misuse)
	}
}

// TestSimulatorPrintsWhatIsThere reads what a stranger is told to type.
func TestSimulatorPrintsWhatIsThere(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stderr := newWatched("Ctrl-C")
	code := make(chan int, 1)
	go func() {
		args := []string{"simulator", "--listen", "127.0.0.1:0", "--manage", "127.0.0.1:0", "--shops", "7", "--legacy", "2"}
		code <- run(ctx, args, nil, strings.NewReader(""), io.Discard, stderr)
	}()
	<-stderr.seen
	cancel()
	if got := <-code; got != exitDone {
		t.Errorf("exit code %d", got)
	}
	text := stderr.String()
	for _, want := range []string{"unset DATABASE_URL ROTATOR_KEYRING", "export ROTATOR_DATA_DIR=", "app set --name main"} {
		if !strings.Contains(text, want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	root := newRoot(newCLI(nil, nil, nil, nil))
	seen := 0
	for _, m := range regexp.MustCompile(`(?m)(?:^  |\| |Afterwards )rotator ([^,\n]*)`).FindAllStringSubmatch(text, -1) {
		seen++
		cmd, rest, err := root.Find(strings.Fields(m[1]))
		if err != nil || !cmd.Runnable() || cmd == root {
			t.Errorf("rotator %s: %v", m[1], err)
			continue
		}
		if err := cmd.ParseFlags(rest); err != nil {
			t.Errorf("rotator %s: %v", m[1], err)
		}
	}
	if seen != 3 {
		t.Errorf("%d commands found in\n%s", seen, text)
	}
}

func TestSimulatorTellsMisuse(t *testing.T) {
	t.Parallel()
	sim := simulate(t)
	response, err := http.Get(sim.PlatformURL + "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	misuse, code := sim.end(t)
	if len(misuse) != 1 || !strings.Contains(misuse[0], "/nowhere") || code != exitExceptions {
		t.Errorf("exit code %d, %v", code, misuse)
	}
}

func TestSimulatorRefuses(t *testing.T) {
	t.Parallel()
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	for _, tt := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--shops", "-1"}, exitUsage, "shops is -1"},
		{[]string{"--calm", "--hostile"}, exitUsage, "exclude each other"},
		{[]string{"--listen", "0.0.0.0:0"}, exitUsage, "--allow-remote"},
		{[]string{"--listen", "nonsense"}, exitUsage, "host:port"},
		{[]string{"--listen", "127.0.0.1:99999"}, exitUsage, "up to 65535"},
		{[]string{"--listen", "127.0.0.1:0", "--manage", taken.Addr().String()}, exitFailed, "in use"},
		{[]string{"--latency", "-1s"}, exitUsage, "latency is -1s"},
	} {
		var stderr bytes.Buffer
		code := run(t.Context(), append([]string{"simulator", "--manage", "127.0.0.1:0"}, tt.args...), nil, strings.NewReader(""), io.Discard, &stderr)
		if code != tt.code || !strings.Contains(stderr.String(), tt.says) {
			t.Errorf("%v: exit code %d: %s", tt.args, code, stderr.String())
		}
	}
}

func TestSimulatorListsLegacyShopsForAnImport(t *testing.T) {
	t.Parallel()
	sim := simulate(t, "--shops", "12", "--legacy", "10", "--calm")
	response, err := http.Get(sim.ManagementURL + "/shops?format=csv")
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	list, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	r := newRig(t)
	r.ok("", "app", "set", "--name", "main", "--client-id", sim.ClientID)
	if got := r.ok(string(list), "shop", "import", "-"); !strings.Contains(got.stdout, "added:         12") {
		t.Errorf("import: %s", got.stdout)
	}
	got := r.ok("", "shop", "export", "--format", "jsonl")
	if n := strings.Count(got.stdout, `"legacy_token":`); n != 9 {
		t.Errorf("%d shops have a legacy token: %s", n, got.stdout)
	}
	if misuse, code := sim.end(t); len(misuse) > 0 || code != exitDone {
		t.Errorf("exit code %d, %v", code, misuse)
	}
}
