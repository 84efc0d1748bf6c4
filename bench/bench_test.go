package main

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"testing"
)

// TestMain lets the test binary be the parts that a bench starts.
func TestMain(m *testing.M) {
	if name := os.Getenv(partVariable); name != "" {
		os.Exit(runPart(context.Background(), name))
	}
	os.Exit(m.Run())
}

// TestEveryLegCounts runs the whole bench on a small fleet: each leg verifies
// itself against the simulator's books and the database.
func TestEveryLegCounts(t *testing.T) {
	t.Parallel()
	if runtime.GOOS != "linux" {
		t.Skip("the bench reads /proc")
	}
	folder := t.TempDir()
	var stdout bytes.Buffer
	// Several processes write to it at once, as they do to a terminal.
	stderr, err := os.Create(filepath.Join(t.TempDir(), "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	err = run(t.Context(), []string{"--shops", "300", "--few", "200", "--import", "1000", "--derive", "1000", "--inflight", "16", "--cpuprofile", folder}, &stdout, stderr)
	if err != nil {
		said, readErr := os.ReadFile(stderr.Name())
		t.Fatalf("%v\n%s%v", err, said, readErr)
	}
	want := regexp.MustCompile(`^ratio durable/job-per-shop \d+\.\d\d
ratio durable/bare \d+\.\d\d
cpu_us_per_shop bare worker \d+\.\d
(cpu_us_per_shop (bare simulator|durable (worker|postgres|simulator)) \d+\.\d
)*rss_mib 200 [1-9]\d*
rss_mib 300 [1-9]\d*
import_rows_per_s [1-9]\d*
rss_mib import 100 [1-9]\d*
rss_mib import 1000 [1-9]\d*
derive_seconds \d+\.\d
rss_mib derive 100 [1-9]\d*
rss_mib derive 1000 [1-9]\d*
$`)
	if !want.MatchString(stdout.String()) {
		t.Errorf("stdout:\n%s", &stdout)
	}
	profiles, err := os.ReadDir(folder)
	if err != nil || len(profiles) != 9 {
		t.Errorf("%d profiles, %v", len(profiles), err)
	}
}

// TestALegThatDidNothingDoesNotCount: the simulator's books are asked.
func TestALegThatDidNothingDoesNotCount(t *testing.T) {
	t.Parallel()
	b := &bench{options: options{inflight: 4, log: t.Output()}}
	pl, err := b.platform(t.Context(), 3)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := pl.end(); err != nil {
			t.Error(err)
		}
	}()
	err = pl.verify(t.Context(), 3)
	if err == nil || !strings.Contains(err.Error(), "0 tokens minted, want 3; 0 shops with a token minted, want 3") {
		t.Fatalf("verify: %v", err)
	}
	if _, err := b.bareOn(t.Context(), pl); err != nil {
		t.Fatal(err)
	}
	if err := pl.verify(t.Context(), 3); err != nil {
		t.Error(err)
	}
	// The same shops once more: now each has a token too many.
	if _, err := b.bareOn(t.Context(), pl); err != nil {
		t.Fatal(err)
	}
	if err := pl.verify(t.Context(), 3); err == nil || !strings.Contains(err.Error(), "6 tokens minted, want 3") {
		t.Errorf("verify: %v", err)
	}
}

func TestAPartThatFailsIsTold(t *testing.T) {
	t.Parallel()
	var log bytes.Buffer
	b := &bench{options: options{inflight: 4, log: &log}}
	p, err := b.begin(t.Context(), "bare", bareSpec{Address: address{ManagementURL: "http://127.0.0.1:1"}})
	if err != nil {
		t.Fatal(err)
	}
	running, stop := p.alive(t.Context())
	defer stop()
	<-running.Done() // nobody waits for what it cannot bring about any more
	var r result
	if err := p.hear(&r); err == nil || !strings.Contains(err.Error(), "bare said nothing more") || !strings.Contains(err.Error(), "exit status 1") {
		t.Errorf("error: %v", err)
	}
	if !strings.Contains(log.String(), "ask the simulator") {
		t.Errorf("the part's own words are lost: %q", &log)
	}
}

func TestFlags(t *testing.T) {
	t.Parallel()
	for _, args := range [][]string{
		{"--shops", "10", "--few", "20"}, {"--few", "0"}, {"--inflight", "0"}, {"--import", "5"}, {"--derive", "5"}, {"now"}, {"--bogus"},
	} {
		var stdout, stderr bytes.Buffer
		if err := run(t.Context(), args, &stdout, &stderr); err == nil || stdout.Len() > 0 {
			t.Errorf("%v: taken: %s", args, &stdout)
		}
	}
}
