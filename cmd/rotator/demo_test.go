package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/haravan-rotator/rotator/rotation"
)

// watched is a stderr that tells when something was said for the first time.
type watched struct {
	mu    sync.Mutex
	text  bytes.Buffer
	wants string
	seen  chan struct{}
}

func newWatched(wants string) *watched { return &watched{wants: wants, seen: make(chan struct{})} }

// Write implements io.Writer.
func (w *watched) Write(p []byte) (int, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.text.Write(p)
	if w.wants != "" && strings.Contains(w.text.String(), w.wants) {
		w.wants = ""
		close(w.seen)
	}
	return len(p), nil
}

func (w *watched) String() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.text.String()
}

var demoFolder = regexp.MustCompile(`PostgreSQL runs in (\S+)`)

// folderGone fails unless the demo had a database and left nothing of it.
func folderGone(t *testing.T, said string) {
	t.Helper()
	found := demoFolder.FindStringSubmatch(said)
	if found == nil {
		t.Fatalf("no word of the database: %s", said)
	}
	if _, err := os.Lstat(found[1]); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("left behind: %s (%v)", found[1], err)
	}
}

func TestDemo(t *testing.T) {
	t.Parallel()
	for name, args := range map[string][]string{
		"calm":    {"--calm", "--shops", "40", "--latency", "200ms"}, // so that the exchange is seen
		"hostile": {"--shops", "150", "--seed", "3"},
		"slow":    {"--calm", "--shops", "20", "--latency", "100ms"},
		"one":     {"--calm", "--shops", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			// The demo ignores an environment that is wrong for everything else.
			got := runOnce(t.Context(), []string{"DATABASE_URL=postgres://nobody@127.0.0.1:1/none"}, "", append([]string{"demo", "--json"}, args...)...)
			var r demoResult
			if err := json.Unmarshal([]byte(got.stdout), &r); err != nil || got.code != exitDone {
				t.Fatalf("exit code %d, %v\n%s%s", got.code, err, got.stdout, got.stderr)
			}
			if !r.OK || r.Shops == 0 || r.Live == 0 || r.Seconds == 0 || len(r.JournalHead) != 64 {
				t.Errorf("result: %+v", r)
			}
			want := map[string]int{"proven": r.Live, "skipped": r.Shops - r.Live, "parked": 0, "waived": 0, "old dead": r.Live, "old alive": 0, "new alive": r.Live}
			have := map[string]int{"proven": r.Proven, "skipped": r.Skipped, "parked": r.Parked, "waived": r.Waived, "old dead": r.OldTokensDead, "old alive": r.OldTokensAlive, "new alive": r.NewTokensAlive}
			if diff := cmp.Diff(want, have); diff != "" {
				t.Errorf("counts: %s", diff)
			}
			if calm := name != "hostile"; r.Hostile == calm || calm != (len(r.Faults) == 0) {
				t.Errorf("faults: %+v", r.Faults)
			}
			steps := []string{"Step 1", "Step 2", "Step 3", "Step 4", "Step 5", "Step 6", "Proven:"}
			if r.Live > 1 { // one shop may be done between two looks
				steps = append(steps, "exchanging")
			}
			for _, step := range steps {
				if !strings.Contains(got.stderr, step) {
					t.Errorf("nothing was said of %q: %s", step, got.stderr)
				}
			}
			folderGone(t, got.stderr)
		})
	}
}

func TestDemoReportInWords(t *testing.T) {
	t.Parallel()
	got := runOnce(t.Context(), nil, "", "demo", "--calm", "--shops", "30")
	for _, want := range []string{
		"every old token is dead", "30/30 proven", "30 of 30 live shops dead, 0 alive", "30 of 30 live shops alive",
		"faults:", "none", "head ", "Slowest exchanges", "shops/s",
	} {
		if !strings.Contains(got.stdout, want) {
			t.Errorf("the report lacks %q", want)
		}
	}
	if got.code != exitDone || strings.Contains(got.stdout, "Problems") {
		t.Errorf("exit code %d\n%s", got.code, got.stdout)
	}
}

// TestDemoInterrupted ends a demo at its different stages.
func TestDemoInterrupted(t *testing.T) {
	t.Parallel()
	for _, at := range []string{"PostgreSQL runs", "stored, each", "Step 3", "Step 5", "exchanging", "Step 6"} {
		t.Run(at, func(t *testing.T) {
			t.Parallel()
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			stderr := newWatched(at)
			var stdout bytes.Buffer
			code := make(chan int, 1)
			go func() {
				code <- run(ctx, []string{"demo", "--shops", "200", "--latency", "5ms", "--json"}, nil, strings.NewReader(""), &stdout, stderr)
			}()
			select {
			case <-stderr.seen:
			case c := <-code:
				t.Fatalf("ended with %d before %q: %s", c, at, stderr)
			}
			cancel()
			if c := <-code; c != exitFailed || stdout.Len() != 0 || !strings.Contains(stderr.String(), "interrupted") {
				t.Errorf("exit code %d\n%s%s", c, &stdout, stderr)
			}
			folderGone(t, stderr.String())
		})
	}
}

// TestDemoKept looks at a kept demo with the commands that it names.
func TestDemoKept(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	stderr := newWatched("psql")
	code := make(chan int, 1)
	go func() {
		code <- run(ctx, []string{"demo", "--calm", "--shops", "25", "--keep"}, nil, strings.NewReader(""), io.Discard, stderr)
	}()
	select {
	case <-stderr.seen:
	case c := <-code:
		t.Fatalf("ended with %d: %s", c, stderr)
	}
	var env []string
	for _, found := range regexp.MustCompile(`export (\w+)='([^']+)'`).FindAllStringSubmatch(stderr.String(), -1) {
		env = append(env, found[1]+"="+found[2])
	}
	for _, command := range []string{"rotation report --json", "journal verify", "shop list --json"} {
		got := runOnce(t.Context(), env, "", strings.Fields(command)...)
		if got.code != exitDone {
			t.Errorf("%s: exit code %d\n%s%s", command, got.code, got.stdout, got.stderr)
		}
		if command == "rotation report --json" && !strings.Contains(got.stdout, `"proven":25`) {
			t.Errorf("report: %s", got.stdout)
		}
	}
	cancel()
	if c := <-code; c != exitDone {
		t.Errorf("exit code %d: %s", c, stderr)
	}
	folderGone(t, stderr.String())
}

// TestDemoWaives has a shop that cannot be proven: it answers for another.
func TestDemoWaives(t *testing.T) {
	t.Parallel()
	var stdout, stderr bytes.Buffer
	d := &demo{
		cli: newCLI(nil, strings.NewReader(""), &stdout, &stderr), flags: demoFlags{shops: 12, seed: 1, calm: true},
		screen: &demoScreen{out: &stderr},
	}
	defer func() {
		if err := d.strike(); err != nil {
			t.Error(err)
		}
		folderGone(t, stderr.String())
	}()
	if err := d.setUp(t.Context()); err != nil {
		t.Fatal(err)
	}
	const odd = "shop-000007.myharavan.com"
	if err := d.sim.AnswerAs(odd, "elsewhere.myharavan.com"); err != nil {
		t.Fatal(err)
	}
	if err := d.rotate(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, &stderr)
	}
	r, err := d.audit(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if r.OK || r.Waived != 1 || r.Proven != 11 || exitCodeOf(r.verdict()) != exitExceptions {
		t.Errorf("exit code %d: %+v", exitCodeOf(r.verdict()), r)
	}
	for _, want := range []string{"1 shop parked", "Waived by name: " + odd} {
		if !strings.Contains(stderr.String(), want) {
			t.Errorf("nothing was said of %q: %s", want, &stderr)
		}
	}
	// Its old token died with the secret all the same.
	if r.OldTokensDead != 12 || len(r.Problems) == 0 {
		t.Errorf("%+v", r)
	}
}

// TestDemoVerdict is about what must never pass.
func TestDemoVerdict(t *testing.T) {
	t.Parallel()
	sound := func() demoResult {
		return demoResult{
			Shops: 10, Live: 9, Proven: 9, Skipped: 1, OldTokensDead: 9, NewTokensAlive: 9,
			runReport: runReport{Items: rotation.Counts{Total: 10}, Journal: journalProof{OK: true}},
		}
	}
	for name, test := range map[string]struct {
		spoil func(*demoResult)
		want  int
	}{
		"sound":                {func(*demoResult) {}, exitDone},
		"shop missing":         {func(r *demoResult) { r.Shops = 9 }, exitFailed},
		"live shop not proven": {func(r *demoResult) { r.Proven = 8 }, exitFailed},
		"waived":               {func(r *demoResult) { r.Proven, r.NewTokensAlive, r.Waived = 8, 8, 1 }, exitExceptions},
		"waived, and an old token lives": {func(r *demoResult) {
			r.Proven, r.NewTokensAlive, r.Waived, r.OldTokensAlive = 8, 8, 1, 1
			r.problemf("it lives")
		}, exitFailed},
		"waived, and a shop is missing": {func(r *demoResult) {
			r.Shops, r.Proven, r.NewTokensAlive, r.Waived = 9, 8, 8, 1
		}, exitFailed},
		"old token lives":      {func(r *demoResult) { r.OldTokensAlive = 1; r.problemf("it lives") }, exitFailed},
		"misuse":               {func(r *demoResult) { r.calls.Misuse = 1 }, exitFailed},
		"minted under the old": {func(r *demoResult) { r.calls.MintedUnderOld = 1 }, exitFailed},
		"journal altered":      {func(r *demoResult) { r.runReport.Journal = journalProof{Problem: "altered"} }, exitFailed},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := sound()
			test.spoil(&r)
			r.judge(10)
			if got := exitCodeOf(r.verdict()); got != test.want || r.OK != (test.want == exitDone) {
				t.Errorf("exit code %d, want %d: %v", got, test.want, r.Problems)
			}
		})
	}
}
